package logwriter_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// copyTo copies the log of p.
func (p *past) copyTo(to store.Store) (logwriter.CopyReport, error) {
	return logwriter.Copy(p.t.Context(), logwriter.Stores{Packs: p.s, Entries: p.s}, logwriter.Stores{Packs: to, Entries: to}, testName, logwriter.CopyOptions{Jobs: 3})
}

// contents returns all objects.
func contents(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range keys(t, s, "") {
		all[key] = string(object(t, s, key))
	}
	return all
}

// same says how a copy differs from the log.
func (p *past) same(to store.Store) {
	p.t.Helper()
	want, got := contents(p.t, p.s), contents(p.t, to)
	latest := remotelog.LatestKey(testName)
	want[latest], got[latest] = "", "" // that of the source may be stale
	if !maps.Equal(want, got) {
		p.t.Errorf("the copy has the objects\n%v, want\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for n, data := range p.states {
		if _, ok := got[remotelog.EntryKey(testName, n)]; ok && !slices.Contains(p.pruned(), n) && !bytes.Equal(restore(p.t, to, n), data) {
			p.t.Errorf("entry %d restores to something else", n)
		}
	}
	sound(p.t, to)
}

func (p *past) pruned() []uint64 {
	b, _, err := store.ReadAll(p.t.Context(), p.s, remotelog.PrunedKey(testName), remotelog.MaxPruned)
	if store.IsNotExist(err) {
		return nil
	}
	check(p.t, err)
	list, err := remotelog.DecodePruned(testName, b)
	check(p.t, err)
	return list
}

func TestCopy(t *testing.T) {
	p := newPast(t, 60, time.Hour)
	to := mem.New()
	r, err := p.copyTo(to)
	check(t, err)
	if all := entries(t, p.s); r.Entries != len(all) || r.Packs == 0 || r.Head.Entry.Number != all[len(all)-1] {
		t.Errorf("%d entries, %d packs, newest %d", r.Entries, r.Packs, r.Head.Entry.Number)
	}
	p.same(to)
	r, err = p.copyTo(to)
	if check(t, err); r.Entries+r.Packs != 0 {
		t.Errorf("again: %+v", r)
	}

	// What came since is added; the writer goes on in the copy.
	for range 20 {
		p.next()
	}
	p.compact()
	r, err = p.copyTo(to)
	if check(t, err); r.Entries < 20 {
		t.Errorf("later: %+v", r)
	}
	p.same(to)
	w := logwriter.New(to, to, testName, logwriter.Options{Owner: owner(1), Adopt: -1})
	p.d.change(6)
	res, err := w.Append(t.Context(), p.d.m, p.d)
	check(t, err)
	if res.Entry != r.Head.Entry.Number+1 || !bytes.Equal(restore(t, to, res.Entry), p.d.data) {
		t.Errorf("appended to the copy: %+v", res)
	}
	// Now it is another log.
	for _, more := range []bool{false, true} {
		if more {
			p.next()
			p.next()
		}
		before := contents(t, to)
		if _, err := p.copyTo(to); !errors.Is(err, logwriter.ErrNotContinued) {
			t.Errorf("onto another log: %v", err)
		}
		if !maps.Equal(before, contents(t, to)) {
			t.Error("another log was changed")
		}
	}
}

func TestCopyPruned(t *testing.T) {
	p := newPast(t, 100, 3*time.Hour)
	to := mem.New()
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
	p.prune(logwriter.Policy{Last: 3, Daily: 4})
	fresh := mem.New()
	r, err := p.copyTo(fresh)
	if err != nil {
		t.Fatal(err)
	}
	p.same(fresh)
	log := logrep.New(fresh, fresh, testName)
	points := map[uint64]bool{}
	for point, err := range log.History(t.Context()) {
		check(t, err)
		points[point.Entry] = true
	}
	if all := entries(t, fresh); r.Points != len(points) || r.Entries != len(all) || r.Points >= r.Entries {
		t.Errorf("%d entries and %d recovery points were copied; there are %d and %d", r.Entries, r.Points, len(all), len(points))
	}
	for _, n := range entries(t, fresh) {
		if _, err := log.RecoveryPoint(t.Context(), n); points[n] != (err == nil) || !points[n] && !errors.Is(err, logrep.ErrNotFound) {
			t.Errorf("entry %d, a recovery point: %t: got %v", n, points[n], err)
		}
	}
	// The old copy learns what is no recovery point any more, and keeps its objects.
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	if got, want := object(t, to, remotelog.PrunedKey(testName)), object(t, p.s, remotelog.PrunedKey(testName)); !bytes.Equal(got, want) {
		t.Error("the list of pruned entries was not copied")
	}
	// Gaps behind what a reader knows hide what follows.
	for range 10 {
		p.next()
		p.s.clock.set(p.s.clock.Now().Add(3 * time.Hour))
	}
	p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
	p.prune(logwriter.Policy{Last: 1})
	if _, err := p.copyTo(to); !errors.Is(err, logwriter.ErrNotContinued) {
		t.Errorf("onto a copy behind a gap: %v", err)
	}
	sound(t, to)
}

// TestCopyIsInterrupted lets each request to the copy fail, one after the other, and then goes on.
func TestCopyIsInterrupted(t *testing.T) {
	p := newPast(t, 25, time.Hour)
	p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
	p.prune(logwriter.Policy{Last: 20})
	for i := 0; ; i++ {
		to := mem.New()
		fault := storefault.New(to, storefault.Nth(i, storefault.Fault{Fail: true, Lost: i%2 == 1}))
		_, err := p.copyTo(fault)
		if len(fault.Calls()) <= i {
			if check(t, err); i < 30 {
				t.Errorf("only %d requests", i)
			}
			break
		}
		if got := entries(t, to); len(got) > 0 {
			sound(t, to)
		}
		if _, err := p.copyTo(to); err != nil {
			t.Fatalf("after request %d failed: %v", i, err)
		}
		p.same(to)
	}
}

// TestCopyOfDamage copies nothing that is damaged.
func TestCopyOfDamage(t *testing.T) {
	p := newPast(t, 25, time.Hour)
	for _, key := range keys(t, p.s, "") {
		if key == remotelog.LatestKey(testName) {
			continue
		}
		whole := object(t, p.s, key)
		damaged := bytes.Clone(whole)
		damaged[len(damaged)/2]++
		put := func(b []byte) {
			_, err := p.s.Store.Put(t.Context(), key, b, store.Condition{})
			check(t, err)
		}
		put(damaged)
		to := mem.New()
		if _, err := p.copyTo(to); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Errorf("%s is damaged: %v", key, err)
		}
		if _, err := to.Head(context.Background(), remotelog.LatestKey(testName)); !store.IsNotExist(err) {
			t.Errorf("%s is damaged: the copy looks complete: %v", key, err)
		}
		put(whole)
	}
	if _, err := logwriter.Copy(t.Context(), logwriter.Stores{Packs: mem.New(), Entries: mem.New()}, logwriter.Stores{Packs: p.s, Entries: p.s},
		testName, logwriter.CopyOptions{}); !store.IsNotExist(err) {
		t.Errorf("nothing: %v", err)
	}
}
