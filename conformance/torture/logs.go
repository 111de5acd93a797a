//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/file"
	"github.com/boule-db/boule/store/target"
)

// A logStore is a store in the layout log, or a copy of all that was put to it.
type logStore struct {
	name           string // "s3" or "file"
	packs, entries store.Store
}

// logsIn reads a directory with the layout of a store.
func logsIn(name, dir string) (logStore, error) {
	s, err := file.New(dir, nil)
	if err != nil {
		return logStore{}, err
	}
	return logStore{name, store.WithPrefix(s, "chunks/"), store.WithPrefix(s, "manifests/")}, nil
}

// replicas returns the names of the replicas that have entries, or a copy of one.
func (s logStore) replicas(ctx context.Context) ([]string, error) {
	names := map[string]bool{}
	for info, err := range s.entries.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		kind, rest, _ := strings.Cut(info.Key, "/")
		name, _, _ := strings.Cut(rest, "/")
		if _, ok := remotelog.ParseEntryKey(name, info.Key); !ok && info.Key != remotelog.LatestKey(name) {
			return nil, fmt.Errorf("an object %s (%s), which is neither an entry nor a copy of one", info.Key, kind)
		}
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// times returns when the packs of a replica were put.
func (s logStore) times(ctx context.Context, name string) (map[remotelog.ObjectID]time.Time, error) {
	times := map[remotelog.ObjectID]time.Time{}
	for info, err := range s.packs.List(ctx, remotelog.PackPrefix(name)) {
		if err != nil {
			return nil, err
		}
		id, ok := remotelog.ParsePackKey(name, info.Key)
		if !ok {
			return nil, fmt.Errorf("an object %s, which is no pack", info.Key)
		}
		times[id] = info.ModTime
	}
	return times, nil
}

// logs judges every entry that was ever appended, since nobody prunes, and returns what is wrong.
func (j *judge) logs(ctx context.Context, s logStore) []string {
	names, err := s.replicas(ctx)
	if err != nil {
		return []string{fmt.Sprintf("store %s: %v", s.name, err)}
	}
	var all []string
	for i, name := range names {
		l := logJudge{judge: j, s: s, name: name, log: logrep.New(s.packs, s.entries, name)}
		l.scratch = filepath.Join(j.scratch, fmt.Sprintf("%s-%d", s.name, i))
		if err := l.run(ctx); err != nil {
			l.complain("%v", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		all = append(all, l.wrong...)
	}
	return all
}

// A logJudge judges one replica.
type logJudge struct {
	*judge
	s       logStore
	name    string
	log     *logrep.Log
	scratch string // what the names of restored files begin with
	wrong   []string
}

func (l *logJudge) complain(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf("log %s in store %s: ", l.name, l.s.name)+fmt.Sprintf(format, args...))
}

func (l *logJudge) run(ctx context.Context) error {
	heads, err := l.heads(ctx)
	if err != nil {
		return err
	}
	l.rep.Logs++
	l.rep.Entries[l.s.name] += len(heads)
	if len(heads) == 0 {
		return errors.New("a copy of an entry, and no entry")
	}
	newest, err := l.log.Head(ctx, nil)
	if err != nil {
		return err
	}
	if last := heads[len(heads)-1]; newest.Entry.Number != last.Entry.Number {
		l.complain("%d is found to be the newest entry, and is %d", newest.Entry.Number, last.Entry.Number)
	}
	if err := l.order(ctx, heads); err != nil {
		return err
	}
	l.states(ctx, heads)
	stats, err := l.log.Check(ctx, &logrep.CheckOptions{Percent: 100}, func(f *logrep.Fault) { l.complain("check: %v", f) })
	l.rep.Packs += stats.Packs
	l.rep.Unused += stats.Unused
	return err
}

// heads reads all entries, the oldest first, and sees whether they follow each other.
func (l *logJudge) heads(ctx context.Context) ([]*logrep.Head, error) {
	var heads []*logrep.Head
	for item, err := range l.log.List(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if want := uint64(len(heads)) + 1; item.Number != want {
			return nil, fmt.Errorf("entry %d is where %d should be", item.Number, want)
		}
		h, err := l.log.Entry(ctx, item.Number)
		if err != nil {
			return nil, err
		}
		if len(heads) > 0 {
			if err := follows(heads[len(heads)-1].Entry, h.Entry); err != nil {
				l.complain("entry %d: %v", item.Number, err)
			}
			if h.Entry.Takeover && !l.takeovers {
				l.complain("entry %d: it took the replica over", item.Number)
			}
		}
		heads = append(heads, h)
	}
	return heads, nil
}

// follows says what is wrong with two successive entries. That each names the one before it, a check sees.
func follows(a, b *remotelog.Entry) error {
	switch {
	case b.Appended.Before(a.Appended):
		return fmt.Errorf("appended at %v, the one before it at %v", b.Appended, a.Appended)
	case b.Sequence == a.Sequence && b.Size == a.Size && b.Contents() == a.Contents():
		return nil // the same state, compacted
	case b.Sequence <= a.Sequence:
		return fmt.Errorf("sequence %d, the one before it has %d", b.Sequence, a.Sequence)
	}
	return nil
}

// order sees whether all objects that an entry names were there before it.
func (l *logJudge) order(ctx context.Context, heads []*logrep.Head) error {
	times, err := l.s.times(ctx, l.name)
	if err != nil {
		return err
	}
	for _, h := range heads {
		times[remotelog.ObjectID{Entry: h.Entry.Number}] = h.Info.ModTime
		for id := range l.named(ctx, h.Entry) {
			if t, ok := times[id]; !ok || t.After(h.Info.ModTime) {
				l.complain("entry %d: put before %v, which it names", h.Entry.Number, id)
			}
		}
	}
	return nil
}

// named returns the objects that an entry names. What cannot be read, a check tells.
func (l *logJudge) named(ctx context.Context, e *remotelog.Entry) map[remotelog.ObjectID]bool {
	ids := map[remotelog.ObjectID]bool{}
	for b := range e.Blocks {
		for _, p := range []remotelog.Place{e.Blocks[b].Stored, e.Blocks[b].Patch} {
			if !p.IsZero() {
				ids[p.Object] = true
			}
		}
		chunks, _ := l.log.Block(ctx, e, b)
		for _, c := range chunks {
			for _, layer := range c.Layers {
				ids[layer.Frame.Object] = true
			}
		}
	}
	return ids
}

// states judges the states that the entries are in.
func (l *logJudge) states(ctx context.Context, heads []*logrep.Head) {
	errs := make([]error, len(heads))
	var g errgroup.Group
	g.SetLimit(2)
	for i, h := range heads {
		g.Go(func() error {
			errs[i] = l.state(ctx, h.Entry)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	for i, err := range errs {
		if err != nil {
			l.complain("entry %d: %v", heads[i].Entry.Number, err)
			continue
		}
		l.rep.EntriesVerified++
	}
}

func (l *logJudge) state(ctx context.Context, e *remotelog.Entry) error {
	out := fmt.Sprintf("%s-%d.db", l.scratch, e.Number)
	return l.verdict(judged{l.s.name, e.Size, e.Contents()}, func() error {
		return l.restore(ctx, out, e.Size, func(f *os.File) error { return logrep.Restore(ctx, l.log, e, f, &logrep.RestoreOptions{Written: f}) })
	})
}

// sameObjects says where what a store holds differs from what was put to it.
func sameObjects(ctx context.Context, kept logStore, t target.Target) error {
	there, err := target.Open(ctx, t, nil)
	if err != nil {
		return err
	}
	list := func(s store.Store) (map[string]int64, error) {
		sizes := map[string]int64{}
		for info, err := range s.List(ctx, "") {
			if err != nil {
				return nil, err
			}
			sizes[info.Key] = info.Size
		}
		return sizes, nil
	}
	for _, pair := range [][2]store.Store{{kept.packs, there.Chunks}, {kept.entries, there.Manifests}} {
		want, err := list(pair[0])
		if err != nil {
			return err
		}
		got, err := list(pair[1])
		if err != nil {
			return err
		}
		for key := range want {
			if strings.HasPrefix(key, "latest/") {
				got[key] = want[key] // of two at the same time either may be the last
			}
		}
		if !maps.Equal(want, got) {
			return fmt.Errorf("what was put is %v, what is there is %v", want, got)
		}
	}
	return nil
}

// unexpected are words in the logs of children that no fault of a round explains.
var unexpected = []string{
	"another writer overwrote an entry",
	"two writers append to the same replica",
	"the store has no conditional puts",
}

// listen looks for unexpected words in the logs of the children.
func listen(dir string, unexpected []string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	var heard []string
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(body)) {
			if slices.ContainsFunc(unexpected, func(words string) bool { return strings.Contains(line, words) }) {
				heard = append(heard, fmt.Sprintf("%s says: %s", filepath.Base(name), strings.TrimSpace(line)))
				break
			}
		}
	}
	return heard, nil
}
