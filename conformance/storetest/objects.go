package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/boule-db/boule/store"
)

func readAndClose(r io.ReadCloser) (string, error) {
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

// noise returns a body that no compression and no accident reproduces.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	var s [32]byte
	s[0], s[1] = byte(seed), byte(seed>>8)
	_, _ = rand.NewChaCha8(s).Read(b) // never fails
	return string(b)
}

func objectChecks() []check {
	return []check{
		{"PutThenGet", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			info, err := p.put(ctx, key, "hello", store.Condition{})
			if err != nil {
				return err
			}
			if info.Key != key || info.Size != 5 || info.ETag == "" || strings.Contains(info.ETag, `"`) {
				return fmt.Errorf("put returns %+v, want the key, the size 5 and an ETag without quotes", info)
			}
			return p.same(ctx, key, "hello")
		}},
		{"PutEmpty", func(ctx context.Context, p *probe) error {
			if _, err := p.put(ctx, p.key("empty"), "", store.Condition{}); err != nil {
				return err
			}
			return p.same(ctx, p.key("empty"), "")
		}},
		{"PutOverwrites", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			seen := make(map[string]string)
			for _, body := range []string{"first", "second, longer", "x", "y"} {
				info, err := p.put(ctx, key, body, store.Condition{})
				if err != nil {
					return err
				}
				if old, ok := seen[info.ETag]; ok {
					return fmt.Errorf("%q has the same ETag as %q", body, old)
				}
				seen[info.ETag] = body
				if err := p.same(ctx, key, body); err != nil {
					return err
				}
			}
			return nil
		}},
		{"PutDoesNotKeepTheBody", func(ctx context.Context, p *probe) error {
			key, body := p.key("object"), []byte("before")
			if _, err := p.s.Put(ctx, key, body, store.Condition{}); err != nil {
				return err
			}
			p.keys = append(p.keys, key)
			copy(body, "after!")
			return p.same(ctx, key, "before")
		}},
		{"PutBig", func(ctx context.Context, p *probe) error {
			key, body := p.key("big"), noise(1, 8<<20)
			if _, err := p.put(ctx, key, body, store.Condition{}); err != nil {
				return err
			}
			return p.same(ctx, key, body)
		}},
		{"AllBytes", func(ctx context.Context, p *probe) error {
			var b strings.Builder
			for i := range 256 {
				b.WriteByte(byte(i))
			}
			body := "\r\n" + b.String() + "\n\n\x00"
			if _, err := p.put(ctx, p.key("object"), body, store.Condition{}); err != nil {
				return err
			}
			return p.same(ctx, p.key("object"), body)
		}},
		{"HeadAgrees", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			put, err := p.put(ctx, key, "hello", store.Condition{})
			if err != nil {
				return err
			}
			head, err := p.s.Head(ctx, key)
			if err != nil {
				return err
			}
			_, get, err := p.get(ctx, key, nil)
			if err != nil {
				return err
			}
			if head.Key != key || head.Size != 5 || head.ETag != put.ETag || head != get {
				return fmt.Errorf("put says %+v, head %+v, get %+v", put, head, get)
			}
			if d := head.ModTime.Sub(put.ModTime).Abs(); d > 5*time.Second || head.ModTime.Location() != time.UTC {
				return fmt.Errorf("put says it is of %v, head of %v; want UTC and within 5 s", put.ModTime, head.ModTime)
			}
			return nil
		}},
		{"Absent", func(ctx context.Context, p *probe) error {
			if err := p.must(ctx, p.key("neighbour")); err != nil {
				return err
			}
			return p.absent(ctx, p.key("nothing"))
		}},
		{"PrefixIsNoObject", func(ctx context.Context, p *probe) error {
			if err := p.must(ctx, p.key("dir/object")); err != nil {
				return err
			}
			return errors.Join(p.absent(ctx, p.key("dir")), p.absent(ctx, p.key("di")), p.absent(ctx, p.key("dir/object/below")))
		}},
		{"DeleteThenAbsent", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			if err := p.must(ctx, key); err != nil {
				return err
			}
			if err := p.s.Delete(ctx, key); err != nil {
				return err
			}
			return p.absent(ctx, key)
		}},
		{"DeleteAbsent", func(ctx context.Context, p *probe) error {
			return errors.Join(p.s.Delete(ctx, p.key("nothing")), p.s.Delete(ctx, p.key("no/thing/at/all")))
		}},
		{"DeleteSparesOthers", func(ctx context.Context, p *probe) error {
			if err := p.must(ctx, p.key("a"), p.key("ab"), p.key("b/c")); err != nil {
				return err
			}
			if err := errors.Join(p.s.Delete(ctx, p.key("a")), p.s.Delete(ctx, p.key("b"))); err != nil {
				return err
			}
			return errors.Join(p.same(ctx, p.key("ab"), "body of "+p.key("ab")), p.same(ctx, p.key("b/c"), "body of "+p.key("b/c")))
		}},
		{"CancelledChangesNothing", cancelled},
		{"BadKeys", badKeys},
	}
}

func cancelled(ctx context.Context, p *probe) error {
	key := p.key("object")
	if err := p.must(ctx, key); err != nil {
		return err
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, putErr := p.s.Put(done, key, []byte("other"), store.Condition{})
	_, newErr := p.s.Put(done, p.key("new"), []byte("other"), store.Condition{IfAbsent: true})
	_, _, getErr := p.get(done, key, nil)
	_, headErr := p.s.Head(done, key)
	_, touchErr := p.s.Touch(done, key)
	_, listErr := collect(p.s.List(done, p.prefix), 0)
	return errors.Join(
		wantErr("put", putErr, context.Canceled),
		wantErr("conditional put", newErr, context.Canceled),
		wantErr("get", getErr, context.Canceled),
		wantErr("head", headErr, context.Canceled),
		wantErr("touch", touchErr, context.Canceled),
		wantErr("list", listErr, context.Canceled),
		wantErr("delete", p.s.Delete(done, key), context.Canceled),
		p.same(ctx, key, "body of "+key),
		p.absent(ctx, p.key("new")),
	)
}

func badKeys(ctx context.Context, p *probe) error {
	var errs []error
	for name, key := range map[string]string{
		"empty":     "",
		"too long":  p.key("") + strings.Repeat("k", store.MaxKey),
		"not UTF-8": p.key("\xff"),
	} {
		want := func(verb string, err error) {
			if !errors.Is(err, store.ErrBadKey) || !store.IsPermanent(err) {
				errs = append(errs, fmt.Errorf("%s with a key that is %s: got error %s, want a permanent %s", verb, name, says(err), says(store.ErrBadKey)))
			}
		}
		_, err := p.s.Put(ctx, key, []byte("x"), store.Condition{})
		want("put", err)
		_, _, err = p.get(ctx, key, nil)
		want("get", err)
		_, err = p.s.Head(ctx, key)
		want("head", err)
		_, err = p.s.Touch(ctx, key)
		want("touch", err)
		want("delete", p.s.Delete(ctx, key))
	}
	return errors.Join(errs...)
}

func rangeChecks() []check {
	const body = "0123456789"
	part := func(name string, opts store.GetOptions, want string) check {
		return check{"Range" + name, func(ctx context.Context, p *probe) error {
			key := p.key("object")
			if _, err := p.put(ctx, key, body, store.Condition{}); err != nil {
				return err
			}
			got, info, err := p.get(ctx, key, &opts)
			if err != nil {
				return err
			}
			if got != want || info.Size != int64(len(body)) {
				return fmt.Errorf("%+v: got %q of %d bytes, want %q of %d", opts, got, info.Size, want, len(body))
			}
			return nil
		}}
	}
	bad := func(name, body string, opts store.GetOptions) check {
		return check{"Range" + name, func(ctx context.Context, p *probe) error {
			key := p.key("object")
			if _, err := p.put(ctx, key, body, store.Condition{}); err != nil {
				return err
			}
			_, _, err := p.get(ctx, key, &opts)
			if !store.IsPermanent(err) {
				return errors.New("this error is not permanent: " + says(err))
			}
			return wantErr(fmt.Sprintf("get %+v of %d bytes", opts, len(body)), err, store.ErrBadRange)
		}}
	}
	return []check{
		part("All", store.GetOptions{}, body),
		part("Middle", store.GetOptions{Offset: 3, Length: 4}, "3456"),
		part("Start", store.GetOptions{Length: 1}, "0"),
		part("ToEnd", store.GetOptions{Offset: 8}, "89"),
		part("PastEnd", store.GetOptions{Offset: 8, Length: 100}, "89"),
		bad("FromEnd", body, store.GetOptions{Offset: 10}),
		bad("FromBeyond", body, store.GetOptions{Offset: 1 << 40, Length: 1}),
		bad("NegativeOffset", body, store.GetOptions{Offset: -1}),
		bad("NegativeLength", body, store.GetOptions{Length: -1}),
		bad("OfEmptyBeyond", "", store.GetOptions{Offset: 1}),
		{"RangeOfEmpty", func(ctx context.Context, p *probe) error {
			key := p.key("object")
			if _, err := p.put(ctx, key, "", store.Condition{}); err != nil {
				return err
			}
			got, _, err := p.get(ctx, key, &store.GetOptions{Length: 5})
			if err == nil && got != "" {
				err = fmt.Errorf("got %q of an empty object", got)
			}
			return err
		}},
		{"RangeOfAbsent", func(ctx context.Context, p *probe) error {
			_, _, err := p.get(ctx, p.key("nothing"), &store.GetOptions{Offset: 5, Length: 5})
			return wantErr("get of a range of nothing", err, store.ErrNotExist)
		}},
	}
}
