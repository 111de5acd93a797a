package logrep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// small makes a log of a few entries with frames of all kinds at all places.
func small(t testing.TB) *writer {
	w := newWriter(t, 7)
	db := &database{}
	db.resize(4*manifest.ChunkSize + 1536)
	for i := range 5 {
		db.write(int64(i)*manifest.ChunkSize, w.content(manifest.ChunkLen(db.size, i)))
	}
	for k, h := range []how{
		{pack: true, store: true, index: true},
		{},
		{pack: true, store: true},
		{store: true},
		{pack: true},
		{index: true},
		{patch: true},
		{pack: true},
		{patch: true, index: true},
		{},
	} {
		for i := range 5 {
			if (i+k)%2 == 0 {
				db.write(int64(i)*manifest.ChunkSize+512, w.content(900))
			}
		}
		if k == 3 {
			db.resize(db.size - 512)
		}
		w.append(db, h)
	}
	return w
}

// An object is where it is.
type object struct {
	s   *mem.Store
	key string
}

func (w *writer) objects() (all []object) {
	for _, s := range []*mem.Store{w.entries.Store, w.packs.Store} {
		for info, err := range s.List(context.Background(), "") {
			check(w.t, err)
			all = append(all, object{s, info.Key})
		}
	}
	return all
}

func (o object) get(t testing.TB) []byte {
	t.Helper()
	b, _, err := store.ReadAll(t.Context(), o.s, o.key, 1<<30)
	check(t, err)
	return b
}

func (o object) put(t testing.TB, b []byte) {
	t.Helper()
	_, err := o.s.Put(t.Context(), o.key, b, store.Condition{})
	check(t, err)
}

// wantDamage reads and checks everything: nothing must have wrong bytes, and what fails must name one of these objects.
func (w *writer) wantDamage(t *testing.T, what string, keys ...string) {
	t.Helper()
	if failures := w.wantFault(t, what, keys...); failures == 0 && keys[0] != remotelog.LatestKey(name) {
		t.Errorf("%s: no read failed", what)
	}
}

// wantFault is wantDamage for what a check must find, and perhaps nobody who reads. It returns how many reads failed.
func (w *writer) wantFault(t *testing.T, what string, keys ...string) (failures int) {
	t.Helper()
	named := func(how string, err error) {
		t.Helper()
		if !errors.Is(err, remotelog.ErrCorrupt) && !errors.Is(err, store.ErrNotExist) && !errors.Is(err, remotelog.ErrVersion) {
			t.Errorf("%s: %s: got %v", what, how, err)
		}
		for _, key := range keys {
			if strings.Contains(err.Error(), key) {
				return
			}
		}
		t.Errorf("%s: %s: the error does not name the object: %v", what, how, err)
	}
	for number, db := range w.states {
		l := w.log()
		h, err := l.Entry(t.Context(), number)
		if err != nil {
			named("entry", err)
			failures++
			continue
		}
		out := newBuffer(h.Entry.Size)
		if err := logrep.Restore(t.Context(), l, h.Entry, out, &logrep.RestoreOptions{Jobs: 1}); err != nil {
			named("restore", err)
			failures++
			for i := range manifest.Count(db.size) { // what was written is right nevertheless
				got := out.b[i*manifest.ChunkSize:][:manifest.ChunkLen(db.size, i)]
				if !bytes.Equal(got, db.chunk(i)) && !bytes.Equal(got, bytes.Repeat([]byte{0xee}, len(got))) {
					t.Errorf("%s: wrong bytes were written", what)
				}
			}
		} else if !bytes.Equal(out.b, db.bytes()) {
			t.Errorf("%s: entry %d was restored to other bytes", what, number)
		}
		out = newBuffer(h.Entry.Size)
		if err := logrep.Restore(t.Context(), l, h.Entry, out, waiting(out, false)); err != nil {
			named("restore and read back", err)
		} else if !bytes.Equal(out.b, db.bytes()) {
			t.Errorf("%s: entry %d was restored to other bytes, read back between", what, number)
		}
		s := w.log().Open(h.Entry, nil)
		for i := range manifest.Count(db.size) {
			want := db.chunk(i)
			got := make([]byte, len(want))
			if n, err := s.ReadAt(t.Context(), got, int64(i)*manifest.ChunkSize); err != nil {
				named("read", err)
				failures++
				if n != 0 {
					t.Errorf("%s: an error, and %d bytes of a chunk", what, n)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s: entry %d has other bytes", what, number)
			}
		}
	}
	if h, err := w.log().Head(t.Context(), nil); err != nil {
		named("head", err)
	} else if got, err := read(t, w.log(), h.Entry); err == nil && !bytes.Equal(got, w.states[h.Entry.Number].bytes()) {
		t.Errorf("%s: the newest entry has other bytes", what)
	}
	list, _ := faults(t, w.log(), 100)
	for _, f := range list {
		named("check", f)
		if !strings.Contains(strings.Join(keys, " "), f.Object) || f.Object == "" {
			t.Errorf("%s: check: the fault is with %q", what, f.Object)
		}
	}
	if len(list) == 0 {
		t.Errorf("%s: no fault, %d failures of reads", what, failures)
	}
	return failures
}

// sealAt returns where in an object its seal begins, or its end if it has none.
func sealAt(o object, b []byte) int {
	if _, ok := remotelog.ParsePackKey(name, o.key); ok {
		return len(b) - remotelog.SealSize
	}
	return len(b)
}

func TestDamage(t *testing.T) {
	w := small(t)
	if list, stats := faults(t, w.log(), 100); len(list) > 0 || stats.Unused > 0 {
		t.Fatalf("%v, %+v", list, stats)
	}
	all := w.objects()
	for k, o := range all {
		t.Run(o.key[strings.LastIndexByte(o.key, '/')+1:], func(t *testing.T) {
			whole := o.get(t)
			defer o.put(t, whole)
			for i := 0; i < 8; i++ {
				at := (len(whole) - 1) * i / 7
				b := bytes.Clone(whole)
				b[at] ^= 1 << (i % 8)
				o.put(t, b)
				what := fmt.Sprintf("%s, byte %d of %d", o.key, at, len(b))
				if at < sealAt(o, whole) {
					w.wantDamage(t, what, o.key)
				} else if failures := w.wantFault(t, what, o.key); failures > 0 {
					t.Errorf("%s: %d reads failed", what, failures)
				}
			}
			for _, n := range []int{0, 1, 13, len(whole) / 2, len(whole) - 1} {
				o.put(t, whole[:n])
				what := fmt.Sprintf("%s, %d bytes of %d", o.key, n, len(whole))
				if failures := w.wantFault(t, what, o.key); failures == 0 && n < sealAt(o, whole) && o.key != remotelog.LatestKey(name) {
					t.Errorf("%s: no read failed", what)
				}
			}
			other := all[(k+1)%len(all)]
			if latest := remotelog.LatestKey(name); o.s == other.s && o.key != latest && other.key != latest {
				b := other.get(t)
				defer other.put(t, b)
				o.put(t, b)
				w.wantDamage(t, o.key+" is another", o.key)
				other.put(t, whole)
				w.wantDamage(t, o.key+" and another swapped", o.key, other.key)
				other.put(t, b)
			}
			o.put(t, whole)
		})
	}
	if list, _ := faults(t, w.log(), 100); len(list) > 0 {
		t.Fatalf("afterwards: %v", list)
	}
}

// TestMissingObjects deletes each object: a check tells it, once, and a restore of what needs it fails.
func TestMissingObjects(t *testing.T) {
	w := small(t)
	for _, o := range w.objects() {
		whole := o.get(t)
		check(t, o.s.Delete(t.Context(), o.key))
		list, _ := faults(t, w.log(), 0)
		if len(list) != 1 || list[0].Object != o.key {
			t.Errorf("%s: faults %v", o.key, list)
		}
		number, isEntry := remotelog.ParseEntryKey(name, o.key)
		switch {
		case isEntry:
			_, err := w.log().Entry(t.Context(), number)
			wantIs(t, o.key, err, logrep.ErrNotFound)
		case o.key != remotelog.LatestKey(name):
			w.wantDamage(t, o.key, o.key)
		}
		h, err := w.log().Head(t.Context(), nil)
		if check(t, err); h.Entry.Number != w.entry.Number {
			t.Errorf("%s: the newest entry is %d", o.key, h.Entry.Number)
		}
		o.put(t, whole)
	}
}

// TestNoEntries: packs without any entry are no replica.
func TestNoEntries(t *testing.T) {
	w := small(t)
	for _, o := range w.objects() {
		if _, ok := remotelog.ParsePackKey(name, o.key); !ok {
			check(t, o.s.Delete(t.Context(), o.key))
		}
	}
	list, stats := faults(t, w.log(), 0)
	if len(list) != 1 || !errors.Is(list[0], store.ErrNotExist) || stats.Packs == 0 {
		t.Errorf("faults %v, %+v", list, stats)
	}
}

// TestOnlyLists checks what is left of a log whose objects were all removed: nothing.
func TestOnlyLists(t *testing.T) {
	w := small(t)
	for _, o := range w.objects() {
		check(t, o.s.Delete(t.Context(), o.key))
	}
	var list remotelog.Pruned
	list.Add(remotelog.Run{First: 1, Last: 3})
	_, err := w.entries.Put(t.Context(), remotelog.PrunedKey(name), remotelog.EncodePruned(name, list), store.Condition{})
	check(t, err)
	if found, stats := faults(t, w.log(), 0); len(found) > 0 || stats.Entries != 0 {
		t.Errorf("faults %v, %+v", found, stats)
	}
}

// TestFailures lets every request of a restore, a read and a check fail: that is an error, but no fault of what is stored.
func TestFailures(t *testing.T) {
	w := small(t)
	for what, run := range map[string]func(l *logrep.Log) error{
		"head": func(l *logrep.Log) error { _, err := l.Head(t.Context(), nil); return err },
		"restore": func(l *logrep.Log) error {
			return logrep.Restore(t.Context(), l, w.entry, newBuffer(w.entry.Size), nil)
		},
		"restore and read back": func(l *logrep.Log) error {
			out := newBuffer(w.entry.Size)
			return logrep.Restore(t.Context(), l, w.entry, out, waiting(out, false))
		},
		"read":     func(l *logrep.Log) error { _, err := read(t, l, w.entry); return err },
		"prefetch": func(l *logrep.Log) error { return l.Open(w.entry, nil).Prefetch(t.Context(), -1, 0) },
		"at":       func(l *logrep.Log) error { _, err := l.At(t.Context(), w.entry.Appended.Add(-2e9)); return err },
		"history": func(l *logrep.Log) error {
			for _, err := range l.History(t.Context()) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"check": func(l *logrep.Log) error {
			_, err := l.Check(t.Context(), &logrep.CheckOptions{Percent: 100}, func(f *logrep.Fault) { t.Errorf("fault: %v", f) })
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			for _, fault := range []storefault.Fault{{Fail: true}, {Fail: true, After: 3}} {
				failed := 0
				for i, more := 0, true; more; i++ {
					packs, entries := storefault.New(w.packs, nil), storefault.New(w.entries, nil)
					total := func() int { return len(packs.Calls()) + len(entries.Calls()) }
					plan := func(storefault.Call) storefault.Fault {
						if total() == i+1 {
							return fault
						}
						return storefault.Fault{}
					}
					packs.SetPlan(plan)
					entries.SetPlan(plan)
					err := run(logrep.New(packs, entries, name))
					more = total() > i
					if err != nil {
						wantIs(t, fmt.Sprint("request ", i), err, storefault.ErrInjected)
						failed++
					}
					if err != nil && !more {
						t.Fatalf("without a fault: %v", err)
					}
				}
				if failed == 0 {
					t.Errorf("nothing failed")
				}
			}
		})
	}
}
