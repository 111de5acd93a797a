package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/store"
)

// collect returns what a listing yields, the first limit of it if limit is positive.
func collect(seq iter.Seq2[store.Info, error], limit int) ([]store.Info, error) {
	var infos []store.Info
	for info, err := range seq {
		if err != nil {
			return infos, err
		}
		infos = append(infos, info)
		if len(infos) == limit {
			break
		}
	}
	return infos, nil
}

// listed checks which keys, without the probe's prefix, a listing yields.
func (p *probe) listed(ctx context.Context, prefix string, want ...string) error {
	infos, err := collect(p.s.List(ctx, p.key(prefix)), 0)
	if err != nil {
		return err
	}
	var got []string
	for _, info := range infos {
		got = append(got, strings.TrimPrefix(info.Key, p.prefix))
	}
	if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		return fmt.Errorf("list of %q (- want, + got):\n%s", prefix, d)
	}
	return nil
}

func (p *probe) mustAll(ctx context.Context, names ...string) error {
	for _, n := range names {
		if err := p.must(ctx, p.key(n)); err != nil {
			return err
		}
	}
	return nil
}

func listChecks() []check {
	return []check{
		{"ListOrder", func(ctx context.Context, p *probe) error {
			names := []string{"a-", "a.", "a/b", "a0", "aa", "b", "B", "~", "%2F", "a/-", "a/b0", "é", "z/z/z"}
			if err := p.mustAll(ctx, names...); err != nil {
				return err
			}
			slices.Sort(names)
			return p.listed(ctx, "", names...)
		}},
		{"ListPrefix", func(ctx context.Context, p *probe) error {
			if err := p.mustAll(ctx, "chunks/00aa", "chunks/00ab", "chunks/01", "chunksx", "manifests/00a"); err != nil {
				return err
			}
			return errors.Join(
				p.listed(ctx, "chunks/", "chunks/00aa", "chunks/00ab", "chunks/01"),
				p.listed(ctx, "chunks/00a", "chunks/00aa", "chunks/00ab"),
				p.listed(ctx, "chunks", "chunks/00aa", "chunks/00ab", "chunks/01", "chunksx"),
				p.listed(ctx, "chunks/01", "chunks/01"),
				p.listed(ctx, "chunks/02"),
				p.listed(ctx, "nothing/at/all/"))
		}},
		{"ListPrefixIsNoPattern", func(ctx context.Context, p *probe) error {
			if err := p.mustAll(ctx, "a*b", "axb", "a%2Fb", "a[x]b", "a.b", `a\b`); err != nil {
				return err
			}
			return errors.Join(p.listed(ctx, "a*", "a*b"), p.listed(ctx, "a%", "a%2Fb"), p.listed(ctx, "a[", "a[x]b"),
				p.listed(ctx, "a.", "a.b"), p.listed(ctx, `a\`, `a\b`))
		}},
		{"ListAgreesWithHead", func(ctx context.Context, p *probe) error {
			if err := p.mustAll(ctx, "one", "dir/two"); err != nil {
				return err
			}
			infos, err := collect(p.s.List(ctx, p.prefix), 0)
			if err != nil {
				return err
			}
			if len(infos) != 2 {
				return fmt.Errorf("list yields %v, want 2 objects", infos)
			}
			for _, info := range infos {
				head, err := p.s.Head(ctx, info.Key)
				if err != nil {
					return err
				}
				// One of the two may be rounded to seconds.
				near := info.ModTime.Sub(head.ModTime).Abs() < time.Second
				info.ModTime, head.ModTime = time.Time{}, time.Time{}
				if info != head || !near {
					return fmt.Errorf("list yields %+v, head says %+v", info, head)
				}
			}
			return nil
		}},
		{"ListStopsEarly", func(ctx context.Context, p *probe) error {
			if err := p.mustAll(ctx, "a", "b", "c/d"); err != nil {
				return err
			}
			infos, err := collect(p.s.List(ctx, p.prefix), 2)
			if err == nil && (len(infos) != 2 || infos[0].Key != p.key("a") || infos[1].Key != p.key("b")) {
				err = fmt.Errorf("the first two are %v", infos)
			}
			return err
		}},
		{"ListAfter", func(ctx context.Context, p *probe) error {
			if err := p.mustAll(ctx, "a/a", "a/b", "a/c", "b"); err != nil {
				return err
			}
			infos, err := collect(store.ListAfter(ctx, p.s, p.prefix, p.key("a/b")), 0)
			if err == nil && (len(infos) != 2 || infos[0].Key != p.key("a/c") || infos[1].Key != p.key("b")) {
				err = fmt.Errorf("after a/b come %v, want a/c and b", infos)
			}
			return err
		}},
		{"ListAfterAbsent", func(ctx context.Context, p *probe) error {
			if err := p.mustAll(ctx, "a", "c", "d"); err != nil {
				return err
			}
			infos, err := collect(store.ListAfter(ctx, p.s, p.prefix, p.key("b")), 0)
			if err == nil && (len(infos) != 2 || infos[0].Key != p.key("c") || infos[1].Key != p.key("d")) {
				err = fmt.Errorf("after b come %v, want c and d", infos)
			}
			return err
		}},
		{"ListSeesEveryChange", func(ctx context.Context, p *probe) error {
			if err := p.listed(ctx, ""); err != nil {
				return err
			}
			if err := p.mustAll(ctx, "x/y/a", "x/y/b"); err != nil {
				return err
			}
			if err := p.listed(ctx, "", "x/y/a", "x/y/b"); err != nil {
				return err
			}
			if err := p.s.Delete(ctx, p.key("x/y/a")); err != nil {
				return err
			}
			if err := p.listed(ctx, "x/", "x/y/b"); err != nil {
				return err
			}
			if err := p.s.Delete(ctx, p.key("x/y/b")); err != nil {
				return err
			}
			return p.listed(ctx, "") // and no ghosts of x and x/y
		}},
		{"ListLong", listLong},
		{"ListBadPrefix", func(ctx context.Context, p *probe) error {
			_, err := collect(p.s.List(ctx, p.key("\xff")), 0)
			return wantErr("list", err, store.ErrBadKey)
		}},
	}
}

// listLong lists more keys than any service returns at once.
func listLong(ctx context.Context, p *probe) error {
	const n = 1100
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("k%d", i))
	}
	errs := make([]error, racers)
	race(racers, func(w int) {
		for i := w; i < n && errs[w] == nil; i += racers {
			_, errs[w] = p.put(ctx, p.key(want[i]), "x", store.Condition{})
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	slices.SortFunc(want, cmp.Compare[string])
	if err := p.listed(ctx, "k", want...); err != nil {
		return err
	}
	infos, err := collect(store.ListAfter(ctx, p.s, p.key("k"), p.key(want[1050])), 0)
	if err == nil && len(infos) != n-1051 {
		err = fmt.Errorf("after the 1051st key come %d, want %d", len(infos), n-1051)
	}
	return err
}

func touchChecks() []check {
	return []check{
		{"TouchMovesModTime", touchMoves},
		{"TouchKeepsContents", func(ctx context.Context, p *probe) error {
			for _, name := range []string{"object", "0123%2Fabcd", "sp ace+plus"} {
				key := p.key(name)
				if err := p.must(ctx, key); err != nil {
					return err
				}
				info, err := p.s.Touch(ctx, key)
				if err != nil {
					return err
				}
				head, err := p.s.Head(ctx, key)
				if err != nil {
					return err
				}
				if info.Key != key || info.Size != head.Size || info.ETag != head.ETag {
					return fmt.Errorf("touch returns %+v, head says %+v", info, head)
				}
				if err := p.same(ctx, key, "body of "+key); err != nil {
					return err
				}
			}
			return nil
		}},
		{"TouchAbsent", func(ctx context.Context, p *probe) error {
			_, err := p.s.Touch(ctx, p.key("nothing"))
			return errors.Join(wantErr("touch", err, store.ErrNotExist), p.absent(ctx, p.key("nothing")))
		}},
	}
}

// touchMoves touches an object until its time has changed. A store may leave
// objects alone that are only seconds old.
func touchMoves(ctx context.Context, p *probe) error {
	key := p.key("object")
	if err := p.must(ctx, key); err != nil {
		return err
	}
	first, err := p.s.Head(ctx, key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := p.s.Touch(ctx, key)
		if err != nil {
			return err
		}
		head, err := p.s.Head(ctx, key)
		if err != nil {
			return err
		}
		if head.ModTime.After(first.ModTime) {
			if info.ModTime.Before(first.ModTime) {
				return fmt.Errorf("touch says %v, and it is of %v now and was of %v", info.ModTime, head.ModTime, first.ModTime)
			}
			return p.same(ctx, key, "body of "+key)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("still of %v after 30 s of touching", head.ModTime)
		}
	}
}
