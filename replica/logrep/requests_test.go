package logrep_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

type calls = map[store.Verb]int

// wantCalls compares the requests since the last time, of entries and of packs.
func (w *writer) wantCalls(what string, entries, packs calls) {
	w.t.Helper()
	if d := cmp.Diff(entries, w.entries.requests()); d != "" {
		w.t.Errorf("%s: requests about entries (- want, + got):\n%s", what, d)
	}
	if d := cmp.Diff(packs, w.packs.requests()); d != "" {
		w.t.Errorf("%s: requests about packs (- want, + got):\n%s", what, d)
	}
}

// touch appends an entry with one changed page, inline.
func (w *writer) touch(h how) {
	db := w.db.clone()
	db.write(w.rng.Int64N(db.size/4096)*4096, w.content(4096))
	w.append(db, h)
}

func TestRequestsOfFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter(t, 1)
		db := &database{size: 20 * manifest.ChunkSize}
		for i := range 20 {
			db.write(int64(i)*manifest.ChunkSize, w.content(manifest.ChunkSize))
		}
		w.append(db, how{pack: true, store: true, index: true})
		l := w.log()
		get := func(last *logrep.Head, want uint64) *logrep.Head {
			t.Helper()
			h, err := l.Head(t.Context(), last)
			check(t, err)
			if h.Entry.Number != want {
				t.Errorf("got entry %d, want %d", h.Entry.Number, want)
			}
			return h
		}
		h := get(nil, 1)
		w.wantCalls("open", calls{"get": 4}, calls{}) // the copy, the second entry, the list of pruned ones, the third
		for range 3 {
			time.Sleep(30 * time.Second)
			if again := get(h, 1); again != h {
				t.Error("got another head")
			}
			w.wantCalls("idle poll", calls{"get": 1}, calls{})
		}
		time.Sleep(logrep.Contiguous)
		if again := get(h, 1); again != h {
			t.Error("got another head")
		}
		w.wantCalls("poll after long", calls{"get": 3}, calls{})

		w.touch(how{quiet: true})
		h = get(h, 2)
		w.wantCalls("poll with one more", calls{"get": 2}, calls{})
		s := l.Open(h.Entry, replica.NewCache(1<<20))
		place := h.Entry.Blocks[0].Overrides[0].Place
		buf := make([]byte, 4096)
		_, err := s.ReadAt(t.Context(), buf, int64(place)*manifest.ChunkSize)
		check(t, err)
		w.wantCalls("read of what has changed, which came with the entry", calls{}, calls{"get": 2}) // index and the rest of the chunk
		_, err = s.ReadAt(t.Context(), buf, int64(place)*manifest.ChunkSize+4096)
		check(t, err)
		w.wantCalls("again", calls{}, calls{})

		for range 14 {
			w.touch(how{quiet: true})
		}
		get(h, 16)
		w.wantCalls("poll with 14 more", calls{"get": 4 + 4}, calls{}) // +1 +2 +4 +8, which is not there, and halves of that
		l = w.log()
		get(nil, 16)
		w.wantCalls("open with a stale copy", calls{"get": 1 + 1 + 4 + 4 + 1}, calls{})
		w.touch(how{})
		l = w.log()
		get(nil, 17)
		w.wantCalls("open with a fresh copy", calls{"get": 4}, calls{})
	})
}

// TestRequestsOfRestore restores 64 MB from packs of 8 MiB, then with some deltas on top.
func TestRequestsOfRestore(t *testing.T) {
	w := newWriter(t, 1)
	db := &database{size: 64e6}
	for i := range manifest.Count(db.size) {
		db.write(int64(i)*manifest.ChunkSize, w.content(manifest.ChunkLen(db.size, i)))
	}
	w.append(db, how{pack: true, store: true, index: true})
	packs := 0
	for range w.packs.Store.List(t.Context(), "") {
		packs++
	}
	run := func(what string, entries, packs calls) {
		t.Helper()
		for _, inMemory := range []bool{true, false} {
			l := w.log()
			h, err := l.Head(t.Context(), nil)
			check(t, err)
			w.wantCalls("open", calls{"get": 4}, calls{})
			got := restore(t, l, h.Entry, inMemory)
			fetched := w.packs.read() + w.entries.read()
			w.wantCalls(what, entries, packs)
			if !bytes.Equal(got, w.db.bytes()) {
				t.Errorf("%s: got other bytes", what)
			}
			if fetched > w.live+w.live/20 {
				t.Errorf("%s: %d bytes were read for %d in frames", what, fetched, w.live)
			}
		}
	}
	run("packs", calls{}, calls{"get": packs + 1})
	w.touch(how{quiet: true})
	for range 10 {
		w.touch(how{pack: true})
	}
	// The page that is inline comes from entry 2, the others from ten packs.
	run("packs and deltas", calls{"get": 1}, calls{"get": packs + 1 + 10})

	s := w.log().Open(w.entry, replica.NewCache(100<<20))
	check(t, s.Prefetch(t.Context(), -1, 0))
	w.wantCalls("prefetch", calls{"get": 1}, calls{"get": packs + 1 + 10})
	b := make([]byte, w.db.size)
	_, err := s.ReadAt(t.Context(), b, 0)
	check(t, err)
	if !bytes.Equal(b, w.db.bytes()) {
		t.Error("the snapshot has other bytes")
	}
	check(t, s.Prefetch(t.Context(), -1, 0))
	w.wantCalls("after the prefetch", calls{}, calls{})
}

// TestRequestsOfAt finds entries that are some hundreds back, of a log that has grown by one a second.
func TestRequestsOfAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWriter(t, 1)
		w.now = time.Now().Add(-3 * time.Second).UTC() // the clock of the writer is late
		db := &database{size: 3 * 4096}
		db.write(0, w.content(4096))
		w.append(db, how{})
		for range 4999 {
			time.Sleep(time.Second)
			w.touch(how{quiet: len(w.states)%16 != 0})
		}
		w.entries.requests()
		newest := w.now
		for _, back := range []int{0, 1, 5, 300, 600, 998, 999, 1000, 1500, 4000, 4998, 4999} {
			h, err := w.log().At(t.Context(), newest.Add(-time.Duration(back)*time.Second))
			check(t, err)
			if got := h.Entry.Number; got != uint64(5000-back) {
				t.Errorf("%d back: got entry %d", back, got)
			}
			requests, most := 0, 9
			if back <= 600 {
				most = 7 // beside those of Head
			}
			got := w.entries.requests()
			for _, n := range got {
				requests += n
			}
			heads := 9 // the copy is 8 entries old
			t.Logf("%d back: %v", back, got)
			if requests > heads+most {
				t.Errorf("%d back: %d requests", back, requests)
			}
		}
		for _, d := range []time.Duration{time.Millisecond, 500 * time.Millisecond, 999 * time.Millisecond} {
			h, err := w.log().At(t.Context(), newest.Add(-100*time.Second+d))
			check(t, err)
			if got := h.Entry.Number; got != 4900 {
				t.Errorf("a bit later: got entry %d", got)
			}
		}
		_, err := w.log().At(t.Context(), newest.Add(-5000*time.Second))
		wantIs(t, "before the first", err, logrep.ErrNotFound)
		wantIs(t, "before the first", err, store.ErrNotExist)
	})
}

// TestAtOfCopies finds entries of a log that was copied, so that the times of its objects mean nothing, and has holes.
func TestAtOfCopies(t *testing.T) {
	for _, newestLast := range []bool{true, false} {
		w := newWriter(t, 1)
		db := &database{size: 3 * 4096}
		db.write(0, w.content(4096))
		w.append(db, how{})
		const n = 2500
		for range n - 1 {
			w.touch(how{quiet: len(w.states)%16 != 15})
		}
		var pruned remotelog.Pruned
		for number := uint64(1); number < 2400; number++ {
			if number%8 != 0 {
				check(t, w.entries.Delete(t.Context(), remotelog.EntryKey(name, number)))
				pruned.Add(remotelog.Run{First: number, Last: number})
			}
		}
		_, err := w.entries.Put(t.Context(), remotelog.PrunedKey(name), remotelog.EncodePruned(name, pruned), store.Condition{})
		check(t, err)
		for k := range uint64(n) {
			number := n - k
			if newestLast {
				number = k + 1
			}
			if number%8 == 0 || number >= 2400 {
				_, err := w.entries.Touch(t.Context(), remotelog.EntryKey(name, number))
				check(t, err)
			}
		}
		for back, want := range map[int]uint64{0: n, 3: n - 3, 99: 2401, 100: 2400, 101: 2392, 1000: 1496, 2491: 8, 2492: 8, 2493: 0} {
			h, err := w.log().At(t.Context(), w.now.Add(-time.Duration(back)*time.Second))
			if want == 0 {
				wantIs(t, "before all", err, logrep.ErrNotFound)
				continue
			}
			check(t, err)
			if h.Entry.Number != want {
				t.Errorf("%d back: got entry %d, want %d", back, h.Entry.Number, want)
			}
		}
	}
}

// TestAtOfLost asks for times of which the newest entry may have been lost: nobody gets an older one for it.
func TestAtOfLost(t *testing.T) {
	w := newWriter(t, 1)
	db := &database{size: 3 * 4096}
	db.write(0, w.content(4096))
	w.append(db, how{})
	for range 19 {
		w.touch(how{})
	}
	var pruned remotelog.Pruned
	pruned.Add(remotelog.Run{First: 10, Last: 12})
	_, err := w.entries.Put(t.Context(), remotelog.PrunedKey(name), remotelog.EncodePruned(name, pruned), store.Condition{})
	check(t, err)
	for _, lost := range []uint64{1, 5, 6, 10, 11, 12, 13, 20} {
		check(t, w.entries.Delete(t.Context(), remotelog.EntryKey(name, lost)))
	}
	for back, want := range map[int]uint64{2: 18, 1: 19, 0: 20, 16: 4, 15: 0, 14: 0, 13: 7, 11: 9, 10: 0, 8: 0, 7: 0, 6: 14, 19: 0, 30: 0} {
		h, err := w.log().At(t.Context(), w.now.Add(-time.Duration(back)*time.Second))
		switch {
		case want > 0 && err != nil:
			t.Errorf("%d back: %v, want entry %d", back, err, want)
		case want > 0 && h.Entry.Number != want:
			t.Errorf("%d back: got entry %d, want %d", back, h.Entry.Number, want)
		case want == 0 && err == nil:
			t.Errorf("%d back: got entry %d, want an error", back, h.Entry.Number)
		case want == 0:
			var f *logrep.Fault
			if !errors.As(err, &f) || !strings.Contains(err.Error(), f.Object) || errors.Is(err, store.ErrNotExist) {
				t.Errorf("%d back: got error %v, want one that names the entry", back, err)
			}
		}
	}
}
