package logwriter_test

import (
	"bytes"
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
	key := remotelog.GarbageKey(testName)
	if (want[key] == "") != (got[key] == "") || !slices.Equal(wasteOf(p.t, p.s), wasteOf(p.t, to)) {
		p.t.Errorf("the garbage of the copy is\n%v, want\n%v", wasteOf(p.t, to), wasteOf(p.t, p.s))
	}
	want[key], got[key] = "", "" // the copy has its own times
	latest := remotelog.LatestKey(testName)
	want[latest], got[latest] = "", "" // that of the source may be stale
	if !maps.Equal(want, got) {
		p.t.Errorf("the copy has the objects\n%v, want\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	p.restorable(to)
	sound(p.t, to)
}

// garbageOf returns the list of garbage.
func garbageOf(t testing.TB, s store.Store) remotelog.Garbage {
	t.Helper()
	list, _, err := logrep.New(s, s, testName).Garbage(t.Context())
	check(t, err)
	return list
}

// wasteOf returns what the list of garbage has that is there.
func wasteOf(t testing.TB, s store.Store) (list []remotelog.GarbageObject) {
	t.Helper()
	there := keys(t, s, "")
	for _, b := range garbageOf(t, s).Batches {
		for _, o := range b.Objects {
			if slices.Contains(there, keyOf(o.ObjectID)) {
				list = append(list, o)
			}
		}
	}
	slices.SortFunc(list, func(x, y remotelog.GarbageObject) int { return x.Compare(y.ObjectID) })
	return list
}

// restorable says which of the recovery points of a copy are not what was appended.
func (p *past) restorable(to store.Store) {
	p.t.Helper()
	pruned := p.pruned()
	for _, n := range entries(p.t, to) {
		if !pruned.Has(n) && !bytes.Equal(restore(p.t, to, n), p.states[n]) {
			p.t.Errorf("entry %d restores to something else", n)
		}
	}
}

func (p *past) pruned() remotelog.Pruned {
	p.t.Helper()
	list, err := logrep.New(p.s, p.s, testName).Pruned(p.t.Context())
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
	got, err := logrep.New(to, to, testName).Pruned(t.Context())
	check(t, err)
	if want := p.pruned(); !slices.Equal(got.Runs(), want.Runs()) || !got.Garbage {
		t.Errorf("the list of pruned entries is %+v, want %+v", got, want)
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

// TestCopyEndsWithPruned continues a copy whose newest entry, and some behind it, were pruned in the source since, though nothing was removed yet.
func TestCopyEndsWithPruned(t *testing.T) {
	p := newPast(t, 20, time.Hour)
	to := mem.New()
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		p.next()
	}
	p.once(logwriter.Policy{Last: 2})
	for range 2 {
		if _, err := p.copyTo(to); err != nil {
			t.Fatal(err)
		}
		sound(t, to)
	}
	p.restorable(to)
}

// TestCopyIsPruned prunes a copy right before it is told what was pruned in the source.
func TestCopyIsPruned(t *testing.T) {
	p := newPast(t, 40, time.Hour)
	to := mem.New()
	if _, err := p.copyTo(to); err != nil {
		t.Fatal(err)
	}
	p.once(logwriter.Policy{Last: 30})
	pruned := false
	s := storefault.New(to, func(c storefault.Call) storefault.Fault {
		if c.Verb == store.VerbPut && c.Key == remotelog.PrunedKey(testName) && !pruned {
			pruned = true
			_, err := logwriter.Prune(t.Context(), to, to, testName, logwriter.Policy{Last: 3}, logwriter.PruneOptions{})
			check(t, err)
		}
		return storefault.Fault{}
	})
	if _, err := p.copyTo(s); err != nil || !pruned {
		t.Fatalf("pruned %t, %v", pruned, err)
	}
	list, err := logrep.New(to, to, testName).Pruned(t.Context())
	check(t, err)
	all := entries(t, to)
	if left := slices.DeleteFunc(slices.Clone(all), list.Has); !slices.Equal(left, all[len(all)-3:]) {
		t.Errorf("%v are recovery points", left)
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
		p.restorable(to)
		if _, err := p.copyTo(to); err != nil {
			t.Fatalf("after request %d failed: %v", i, err)
		}
		p.same(to)
	}
}

// TestCopyOfDamage: no copy of a damaged log looks complete, and it is continued once that is mended.
func TestCopyOfDamage(t *testing.T) {
	p := newPast(t, 25, time.Hour)
	check(t, p.w.RefreshLatest(t.Context()))
	bundles := p.bundles()
	for _, key := range keys(t, p.s, "") {
		if key == remotelog.LatestKey(testName) || slices.Contains(bundles, key) {
			continue
		}
		whole := object(t, p.s, key)
		for what, damage := range damages(whole) {
			put(t, p.s.Store, key, damage)
			to := mem.New()
			_, err := p.copyTo(to)
			if _, herr := to.Head(t.Context(), remotelog.LatestKey(testName)); (err == nil) != (herr == nil) {
				t.Errorf("%s is %s: got %v, and for the newest header %v", key, what, err, herr)
			}
			put(t, p.s.Store, key, whole)
			if err == nil || !errors.Is(err, remotelog.ErrCorrupt) && !store.IsNotExist(err) && !strings.Contains(err.Error(), key) {
				t.Errorf("%s is %s: got %v", key, what, err)
			}
			_, err = p.copyTo(to)
			if check(t, err); t.Failed() {
				t.FailNow()
			}
			p.same(to)
		}
	}
	if _, err := logwriter.Copy(t.Context(), logwriter.Stores{Packs: mem.New(), Entries: mem.New()}, logwriter.Stores{Packs: p.s, Entries: p.s},
		testName, logwriter.CopyOptions{}); !store.IsNotExist(err) {
		t.Errorf("nothing: %v", err)
	}
}

// bundles returns the keys of all bundles.
func (p *past) bundles() (bundles []string) {
	p.t.Helper()
	log := logrep.New(p.s, p.s, testName)
	for _, n := range entries(p.t, p.s) {
		h, err := log.Entry(p.t.Context(), n)
		check(p.t, err)
		for _, u := range h.Entry.Own() {
			bundles = append(bundles, remotelog.PackKey(testName, u.Pack))
		}
	}
	return bundles
}

// TestCopyOfDamagedBundle: bundles are second copies, so that the copy of a log has them whole if the entries are.
func TestCopyOfDamagedBundle(t *testing.T) {
	p := newPast(t, 45, time.Hour)
	bundles := p.bundles()
	if len(bundles) < 2 {
		t.Fatalf("the bundles are %v", bundles)
	}
	whole := contents(t, p.s)
	for i, key := range bundles {
		all := damages([]byte(whole[key]))
		all["swapped"] = []byte(whole[bundles[(i+1)%len(bundles)]])
		for what, damage := range all {
			put(t, p.s.Store, key, damage)
			to := mem.New()
			_, err := p.copyTo(to)
			if check(t, err); t.Failed() {
				t.Fatalf("%s is %s", key, what)
			}
			put(t, p.s.Store, key, []byte(whole[key]))
			p.same(to)
		}
	}
	// Without the entries there is nothing to make them of.
	key := bundles[0]
	put(t, p.s.Store, key, []byte("no frame"))
	put(t, p.s.Store, remotelog.EntryKey(testName, 2), nil)
	if _, err := p.copyTo(mem.New()); !store.IsNotExist(err) {
		t.Errorf("neither bundle nor entries: %v", err)
	}
}

// damages returns what may become of an object.
func damages(whole []byte) map[string][]byte {
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2]++
	all := map[string][]byte{"flipped": flipped, "cut short": whole[:len(whole)/2], "empty": {}, "deleted": nil}
	if _, n, err := remotelog.FrameLen(whole); err == nil && n < len(whole) {
		all["cut behind a frame"] = whole[:n]
	}
	return all
}

// put puts an object, or deletes it if there is nothing to put.
func put(t testing.TB, s store.Store, key string, b []byte) {
	t.Helper()
	err := s.Delete(t.Context(), key)
	if b != nil {
		_, err = s.Put(t.Context(), key, b, store.Condition{})
	}
	check(t, err)
}
