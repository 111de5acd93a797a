package logwriter_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// newCopy is a log of which a prune has found garbage a grace ago, and a copy of it.
func newCopy(t *testing.T) (*past, *dated) {
	t.Helper()
	p := newPast(t, 50, time.Hour)
	p.once(logwriter.Policy{Hourly: 6, Last: 1})
	p.pass()
	to := newDated()
	to.clock = p.s.clock
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	return p, to
}

// pruneCopy prunes a copy of p.
func (p *past) pruneCopy(to store.Store, policy logwriter.Policy) logwriter.PruneReport {
	p.t.Helper()
	r, err := logwriter.Prune(p.t.Context(), to, to, testName, policy, p.o)
	check(p.t, err)
	return r
}

// faulty returns the objects in which faults are.
func faulty(t testing.TB, s store.Store) (objects []string) {
	t.Helper()
	_, err := logrep.New(s, s, testName).Check(t.Context(), nil, func(f *logrep.Fault) { objects = append(objects, f.Object) })
	check(t, err)
	return objects
}

// TestCopyOfGarbage: what was pruned in the source, and waits to be removed, is missed in the copy, too; and removed when a grace has passed there.
func TestCopyOfGarbage(t *testing.T) {
	p, to := newCopy(t)
	p.same(to)
	waste := wasteOf(t, to)
	if packs := slices.IndexFunc(waste, func(o remotelog.GarbageObject) bool { return o.Part > 0 }); len(waste) < 20 || packs < 0 {
		t.Fatalf("the garbage is %v", waste)
	}
	for _, key := range keys(t, to, "") {
		whole := object(t, to, key)
		for _, b := range [][]byte{nil, whole[:len(whole)/2]} {
			put(t, to.Store, key, b)
			if got := faulty(t, to); !slices.Contains(got, key) {
				t.Errorf("%s has %d bytes, but there are faults in %v", key, len(b), got)
			}
		}
		put(t, to.Store, key, whole)
	}
	if r := p.pruneCopy(to, logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks > 0 || r.Waiting != len(waste) {
		t.Errorf("at once: %+v", r)
	}
	p.pass()
	if r := p.pruneCopy(to, logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks != len(waste) || r.Waiting > 0 {
		t.Errorf("after the grace: %+v", r)
	}
	sound(t, to)
	p.restorable(to)
}

// TestCopyContinuesGarbage: the copy's list keeps what it has, with its times, when that of the source is added.
func TestCopyContinuesGarbage(t *testing.T) {
	p, to := newCopy(t)
	first := p.s.clock.Now()
	before := contents(t, to)
	p.s.clock.set(first.Add(time.Hour))
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(before, contents(t, to)) {
		t.Error("the copy is another one when it is made again")
	}
	// Some is being removed.
	list := garbageOf(t, to)
	all := list.Batches[0].Objects
	half := len(all) / 2
	list.Batches = []remotelog.GarbageBatch{{Found: first, Removing: true, Objects: all[:half]}, {Found: first, Objects: all[half:]}}
	put(t, to.Store, remotelog.GarbageKey(testName), remotelog.EncodeGarbage(testName, list))
	put(t, to.Store, keyOf(all[0].ObjectID), nil)
	for range 5 {
		p.next()
	}
	p.once(logwriter.Policy{Last: 2})
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	got := garbageOf(t, to)
	if len(got.Batches) != 3 || !slices.Equal(got.Batches[0].Objects, all[:half]) || !got.Batches[0].Removing || !got.Batches[0].Found.Equal(first) ||
		!slices.Equal(got.Batches[1].Objects, all[half:]) || got.Batches[1].Removing || !got.Batches[1].Found.Equal(first) {
		t.Fatalf("the list is %+v", got)
	}
	if b := got.Batches[2]; !b.Found.IsZero() || b.Removing || len(b.Objects) == 0 {
		t.Errorf("what is new is %+v", b)
	}
	sound(t, to)
	p.s.clock.set(first.Add(logwriter.DefaultGrace))
	if r := p.pruneCopy(to, logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks != len(all)-1 || r.Waiting != len(got.Batches[2].Objects) {
		t.Errorf("of %d and %d: %+v", len(all), len(got.Batches[2].Objects), r)
	}
	sound(t, to)
	p.restorable(to)
	// What was removed there is not listed again.
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	p.pruneCopy(to, logwriter.Policy{})
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	if n := len(wasteOf(t, to)); n != len(got.Batches[2].Objects) {
		t.Errorf("%d objects wait", n)
	}
	sound(t, to)
}

// TestCopyWithoutGarbageList copies a log whose list of garbage is damaged or gone, and continues copies of which that is true.
func TestCopyWithoutGarbageList(t *testing.T) {
	key := remotelog.GarbageKey(testName)
	for _, damage := range [][]byte{nil, []byte("no list")} {
		p, to := newCopy(t)
		whole := object(t, p.s, key)
		put(t, p.s.Store, key, damage)
		fresh := mem.New()
		if _, err := p.copyTo(fresh); err != nil {
			t.Fatal(err)
		}
		sound(t, fresh)
		p.restorable(fresh)
		if list := garbageOf(t, fresh); len(list.Batches) > 0 || list.Pruned.Last() == 0 {
			t.Errorf("without a list: %+v", list)
		}
		before := contents(t, to)
		if _, err := p.copyTo(to); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(before, contents(t, to)) {
			t.Error("the copy has lost something")
		}
		put(t, p.s.Store, key, whole)
		put(t, to.Store, key, damage)
		if _, err := p.copyTo(to); err != nil {
			t.Fatal(err)
		}
		if damage == nil {
			p.same(to)
		} else if got := faulty(t, to); !slices.Equal(got, []string{key}) {
			t.Errorf("the list of the copy is damaged, but there are faults in %v", got)
		}
		p.pruneCopy(to, logwriter.Policy{})
		p.same(to)
	}
}

// TestCopyOfUnpruned: a log that was never pruned has no list of garbage, and nobody asks for one.
func TestCopyOfUnpruned(t *testing.T) {
	p := newPast(t, 10, time.Hour)
	to, from := storefault.New(mem.New(), nil), storefault.New(p.s, nil)
	for range 2 {
		_, err := logwriter.Copy(t.Context(), logwriter.Stores{Packs: from, Entries: from}, logwriter.Stores{Packs: to, Entries: to}, testName, logwriter.CopyOptions{})
		check(t, err)
	}
	for _, c := range append(from.Calls(), to.Calls()...) {
		if strings.HasPrefix(c.Key, remotelog.GarbageKey("")) {
			t.Errorf("%v", c)
		}
	}
}

// TestCopyNewestIsPruned prunes the newest entry of a copy in the source while it is copied: in the copy it is a recovery point, so what it needs is no garbage.
func TestCopyNewestIsPruned(t *testing.T) {
	p := newPast(t, 45, time.Hour)
	p.once(logwriter.Policy{Last: 30})
	to, pruned := newDated(), false
	to.clock = p.s.clock
	s := storefault.New(to, func(c storefault.Call) storefault.Fault {
		if c.Verb == store.VerbPut && c.Key == remotelog.EntryKey(testName, 1) && !pruned {
			pruned = true
			for range 25 {
				p.next()
			}
			p.compact()
			p.once(logwriter.Policy{Last: 2})
		}
		return storefault.Fault{}
	})
	if _, err := p.copyTo(s); err != nil || !pruned {
		t.Fatalf("pruned %t, %v", pruned, err)
	}
	sound(t, to)
	all := entries(t, to)
	list := p.pruned()
	if n := all[len(all)-1]; !list.Has(n) {
		t.Fatalf("%d was not pruned", n)
	}
	before := wasteOf(t, to)
	p.pruneCopy(to, logwriter.Policy{})
	after := wasteOf(t, to)
	for _, o := range before {
		if !slices.Contains(after, o) {
			t.Errorf("%v is listed, and no garbage", o)
		}
	}
	if len(before) == 0 {
		t.Error("nothing is listed")
	}
}

// TestCopyThatLostPruned continues a copy whose list of pruned entries is gone, so that its states were offered again: what they need stays for a grace more,
// wherever that was interrupted.
func TestCopyThatLostPruned(t *testing.T) {
	p, to := newCopy(t)
	whole := contents(t, to)
	delete(whole, remotelog.PrunedKey(testName))
	p.pass()
	for i := 0; ; i++ {
		to := newDated()
		for key, b := range whole {
			put(t, to, key, []byte(b))
		}
		to.clock = p.s.clock
		if got := faulty(t, to); !slices.Equal(got, []string{remotelog.PrunedKey(testName)}) {
			t.Fatalf("there are faults in %v", got)
		}
		fault := storefault.New(to, storefault.Nth(i, storefault.Fault{Fail: true, Lost: i%2 == 1}))
		_, err := p.copyTo(fault)
		if _, err := p.copyTo(to); err != nil {
			t.Fatalf("after request %d failed: %v", i, err)
		}
		p.same(to)
		if r := p.pruneCopy(to, logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks > 0 {
			t.Fatalf("after request %d failed: %+v", i, r)
		}
		if len(fault.Calls()) <= i {
			check(t, err)
			break
		}
	}
	// One that was pruned itself can't be told what it has lost.
	p.pruneCopy(to, logwriter.Policy{Last: 1})
	put(t, to.Store, remotelog.PrunedKey(testName), nil)
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	if got := faulty(t, to); !slices.Equal(got, []string{remotelog.PrunedKey(testName)}) {
		t.Errorf("there are faults in %v", got)
	}
}

// TestCopyIsPrunedMeanwhile prunes a copy right before each put to it.
func TestCopyIsPrunedMeanwhile(t *testing.T) {
	for i := 0; ; i++ {
		p := newPast(t, 40, time.Hour)
		to := newDated()
		to.clock = p.s.clock
		p.once(logwriter.Policy{Last: 35})
		if _, err := p.copyTo(to); err != nil {
			t.Fatal(err)
		}
		p.next()
		p.once(logwriter.Policy{Last: 30})
		puts := 0
		s := storefault.New(to, func(c storefault.Call) storefault.Fault {
			if c.Verb == store.VerbPut {
				if puts++; puts == i+1 {
					p.pruneCopy(to, logwriter.Policy{Last: 3})
				}
			}
			return storefault.Fault{}
		})
		if _, err := p.copyTo(s); err != nil {
			t.Fatalf("before put %d: %v", i, err)
		}
		sound(t, to)
		want := wasteOf(t, to)
		if puts <= i {
			if puts < 3 {
				t.Errorf("only %d puts", puts)
			}
			break
		}
		p.pass()
		if r := p.pruneCopy(to, logwriter.Policy{}); r.RemovedEntries+r.RemovedPacks != len(want) {
			t.Errorf("before put %d: of %d %+v", i, len(want), r)
		}
		sound(t, to)
	}
}

// TestCopyGarbagePlain copies to stores without conditions, and such that refuse them.
func TestCopyGarbagePlain(t *testing.T) {
	p := newPast(t, 30, time.Hour)
	for i, wrap := range []func(store.Store) store.Store{
		func(s store.Store) store.Store { return unsupporting{s} },
		func(s store.Store) store.Store { return unconditional{s} },
		func(s store.Store) store.Store { return refusing{s} },
	} {
		p.once(logwriter.Policy{Last: 20 - i})
		to := mem.New()
		for range 2 {
			if _, err := p.copyTo(wrap(to)); err != nil {
				t.Fatal(err)
			}
			p.same(to)
			p.next()
			p.once(logwriter.Policy{Last: 19 - i})
		}
		if err := to.Delete(t.Context(), remotelog.PrunedKey(testName)); err != nil && !errors.Is(err, store.ErrNotExist) {
			t.Fatal(err)
		}
		if got := faulty(t, to); !slices.Contains(got, remotelog.PrunedKey(testName)) {
			t.Errorf("there are faults in %v", got)
		}
	}
}
