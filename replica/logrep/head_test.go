package logrep_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// short makes a log of n entries.
func short(t testing.TB, n int) *writer {
	w := newWriter(t, 3)
	db := &database{}
	db.resize(2 * manifest.ChunkSize)
	db.write(0, w.content(100))
	w.append(db, how{})
	for range n - 1 {
		w.touch(how{quiet: true})
	}
	w.entries.requests()
	return w
}

func TestNoLog(t *testing.T) {
	w := newWriter(t, 1)
	l := w.log()
	_, err := l.Head(t.Context(), nil)
	wantIs(t, "head", err, logrep.ErrNotFound)
	wantIs(t, "head", err, store.ErrNotExist)
	w.wantCalls("head", calls{"get": 1, "list": 1}, calls{})
	_, err = l.At(t.Context(), time.Now())
	wantIs(t, "at", err, logrep.ErrNotFound)
	for p, err := range l.History(t.Context()) {
		t.Errorf("history: %v, %v", p, err)
	}
	list, stats := faults(t, l, 100)
	if len(list) > 0 || stats != (logrep.CheckStats{}) {
		t.Errorf("check: %v, %+v", list, stats)
	}
}

// TestHead looks for the newest of n entries with every copy of a header that there may be, and with holes.
func TestHead(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 16, 17, 40} {
		w := short(t, n)
		var last *logrep.Head
		for copied := range n + 1 {
			if copied == 0 {
				check(t, w.entries.Delete(t.Context(), remotelog.LatestKey(name)))
			} else {
				h, err := w.log().Entry(t.Context(), uint64(copied))
				check(t, err)
				_, err = w.entries.Put(t.Context(), remotelog.LatestKey(name), h.Encoded, store.Condition{})
				check(t, err)
			}
			for _, before := range []*logrep.Head{nil, last} {
				h, err := w.log().Head(t.Context(), before)
				check(t, err)
				if h.Entry.Number != uint64(n) {
					t.Errorf("%d entries, a copy of %d: got %d", n, copied, h.Entry.Number)
				}
				last = h
			}
			// What was kept of the old ones has holes.
			if number := uint64(copied - 1); number > 0 && number%3 > 0 {
				check(t, w.entries.Delete(t.Context(), remotelog.EntryKey(name, number)))
			}
		}
	}
}

// TestHeadWithLostEntry: an entry that is lost is not taken for the end by whoever opens the log.
func TestHeadWithLostEntry(t *testing.T) {
	const n, copied = 40, 16
	w := short(t, n)
	h, err := w.log().Entry(t.Context(), copied)
	check(t, err)
	for lost := uint64(copied + 1); lost < n; lost++ {
		_, err = w.entries.Put(t.Context(), remotelog.LatestKey(name), h.Encoded, store.Condition{})
		check(t, err)
		key := remotelog.EntryKey(name, lost)
		whole, _, err := store.ReadAll(t.Context(), w.entries, key, 1<<20)
		check(t, err)
		check(t, w.entries.Delete(t.Context(), key))
		newest, err := w.log().Head(t.Context(), nil)
		check(t, err)
		if newest.Entry.Number != n {
			t.Errorf("without entry %d the newest is %d", lost, newest.Entry.Number)
		}
		list, _ := faults(t, w.log(), 0)
		if len(list) != 1 || list[0].Object != key {
			t.Errorf("without entry %d: faults %v", lost, list)
		}
		_, err = w.entries.Put(t.Context(), key, whole, store.Condition{})
		check(t, err)
	}
}

// TestHeadOfStaleCopy: a copy that was put late, of an entry before others that were pruned, does not hide the newest one.
func TestHeadOfStaleCopy(t *testing.T) {
	const n = 40
	w := short(t, n)
	var pruned remotelog.Pruned
	var copies [][]byte
	for number := uint64(1); number < 30; number++ {
		h, err := w.log().Entry(t.Context(), number)
		check(t, err)
		copies = append(copies, h.Encoded)
		pruned.Add(remotelog.Run{First: number, Last: number})
		if number%7 != 0 { // others have to stay
			check(t, w.entries.Delete(t.Context(), remotelog.EntryKey(name, number)))
		}
	}
	list := remotelog.EncodePruned(name, pruned)
	damaged := append(bytes.Clone(list[:len(list)-1]), list[len(list)-1]+1)
	for _, list := range [][]byte{list, damaged} {
		_, err := w.entries.Put(t.Context(), remotelog.PrunedKey(name), list, store.Condition{})
		check(t, err)
		for i, b := range copies {
			_, err := w.entries.Put(t.Context(), remotelog.LatestKey(name), b, store.Condition{})
			check(t, err)
			h, err := w.log().Head(t.Context(), nil)
			check(t, err)
			if h.Entry.Number != n {
				t.Errorf("with the copy of entry %d the newest is %d", i+1, h.Entry.Number)
			}
		}
	}
}

// TestHeadOfLostNewest: an entry that is gone is the newest nevertheless if the copy tells, be the list of pruned ones whole, damaged or gone.
func TestHeadOfLostNewest(t *testing.T) {
	for what, list := range map[string][]byte{"whole": remotelog.EncodePruned(name, remotelog.Pruned{}), "damaged": []byte("no list"), "gone": nil} {
		w := short(t, 20)
		h, err := w.log().Entry(t.Context(), 20)
		check(t, err)
		_, err = w.entries.Put(t.Context(), remotelog.LatestKey(name), h.Encoded, store.Condition{})
		check(t, err)
		if list != nil {
			_, err := w.entries.Put(t.Context(), remotelog.PrunedKey(name), list, store.Condition{})
			check(t, err)
		}
		check(t, w.entries.Delete(t.Context(), remotelog.EntryKey(name, 20)))
		l := w.log()
		if h, err = l.Head(t.Context(), nil); err != nil || h.Entry.Number != 20 {
			t.Errorf("%s: %+v, %v", what, h, err)
			continue
		}
		doubts, err := l.Doubts(t.Context(), h)
		check(t, err)
		if len(doubts) != 1 || !strings.Contains(doubts[0].Error(), remotelog.EntryKey(name, 20)) {
			t.Errorf("%s: doubts %v", what, doubts)
		}
	}
}

// TestSoundHead: who appends goes on behind damaged entries, from the newest sound one that was not pruned.
func TestSoundHead(t *testing.T) {
	w := short(t, 20)
	damage := func(n uint64) {
		_, err := w.entries.Put(t.Context(), remotelog.EntryKey(name, n), []byte("damaged"), store.Condition{})
		check(t, err)
	}
	want := func(number, of uint64) {
		t.Helper()
		before, err := w.log().Entry(t.Context(), of)
		check(t, err)
		h, err := w.log().SoundHead(t.Context())
		if err != nil || h.Entry.Number != number || h.Entry.Sequence != before.Entry.Sequence || h.Sum() != before.Sum() {
			t.Errorf("got %+v, %v, want entry %d as %d", h, err, of, number)
		}
	}
	want(20, 20)
	damage(20)
	damage(19)
	want(20, 18)
	check(t, w.entries.Delete(t.Context(), remotelog.EntryKey(name, 20)))
	want(19, 18)
	var pruned remotelog.Pruned
	pruned.Add(remotelog.Run{First: 10, Last: 18})
	_, err := w.entries.Put(t.Context(), remotelog.PrunedKey(name), remotelog.EncodePruned(name, pruned), store.Condition{})
	check(t, err)
	want(19, 9)
	for n := range uint64(9) {
		damage(n + 1)
	}
	if h, err := w.log().SoundHead(t.Context()); !errors.Is(err, remotelog.ErrCorrupt) {
		t.Errorf("none is sound: %+v, %v", h, err)
	}
}

// TestHeadOfSparseLog finds the newest of some entries wherever they are, without a copy.
func TestHeadOfSparseLog(t *testing.T) {
	w := short(t, 60)
	check(t, w.entries.Delete(t.Context(), remotelog.LatestKey(name)))
	l := w.log()
	_, err := l.Head(t.Context(), nil)
	check(t, err)
	for n := range uint64(59) {
		if n%7 != 3 {
			check(t, w.entries.Delete(t.Context(), remotelog.EntryKey(name, n)))
		}
	}
	w.entries.requests()
	h, err := w.log().Head(t.Context(), nil)
	check(t, err)
	if h.Entry.Number != 60 {
		t.Errorf("got %d", h.Entry.Number)
	}
	if n := w.entries.requests()["list"]; n > 12 {
		t.Errorf("%d lists", n)
	}
}

// TestHeadOfForeignCopy has a copy that is damaged, of another replica, or of another version.
func TestHeadOfForeignCopy(t *testing.T) {
	w := short(t, 5)
	h, err := w.log().Entry(t.Context(), 4)
	check(t, err)
	put := func(b []byte) {
		_, err := w.entries.Put(t.Context(), remotelog.LatestKey(name), b, store.Condition{})
		check(t, err)
	}
	other := *h.Entry
	other.Name = remotelog.NameSum("another")
	encoded, err := remotelog.EncodeEntry(&other)
	check(t, err)
	for what, b := range map[string][]byte{
		"damaged": append([]byte{1}, h.Encoded[1:]...), "cut": h.Encoded[:100], "empty": {}, "of another": encoded,
		"too long": make([]byte, remotelog.MaxHeader+1),
	} {
		put(b)
		got, err := w.log().Head(t.Context(), nil)
		check(t, err)
		if got.Entry.Number != 5 {
			t.Errorf("%s: got %d", what, got.Entry.Number)
		}
	}
	version := bytes.Clone(h.Encoded)
	version[13] = 99
	put(version)
	_, err = w.log().Head(t.Context(), nil)
	wantIs(t, "of another version", err, remotelog.ErrVersion)
}

// TestLongHeader reads entries whose header does not come with the first request, and what is behind it.
func TestLongHeader(t *testing.T) {
	w := newWriter(t, 1)
	db := &database{size: 4000 * manifest.ChunkSize}
	for i := range 4000 {
		db.write(int64(i)*manifest.ChunkSize, w.content(16))
	}
	w.append(db, how{whole: true})
	for _, i := range []int{0, 1, 1000, 3999} {
		l := w.log()
		w.entries.requests()
		h, err := l.Entry(t.Context(), 1)
		check(t, err)
		if h.HeaderLen <= 64<<10 || h.HeaderLen != len(h.Encoded) || h.Info.Size <= int64(h.HeaderLen) {
			t.Fatalf("a header of %d bytes in an object of %d", h.HeaderLen, h.Info.Size)
		}
		w.wantCalls("entry", calls{"get": 2}, calls{})
		// By one who has the entry, but has not seen where it was.
		for _, l := range []*logrep.Log{l, w.log()} {
			got, err := l.Chunk(t.Context(), h.Entry, i)
			check(t, err)
			if !bytes.Equal(got, db.chunk(i)) {
				t.Errorf("chunk %d has other bytes", i)
			}
		}
	}
	w.entries.requests()
	l := w.log()
	out := newBuffer(w.db.size)
	check(t, logrep.Restore(t.Context(), l, w.entry, out, nil))
	w.wantCalls("restore", calls{"get": 2}, calls{})
	if !bytes.Equal(out.b, db.bytes()) {
		t.Error("restored to other bytes")
	}
}

func TestHistory(t *testing.T) {
	w := short(t, 30)
	check(t, w.entries.Delete(t.Context(), remotelog.EntryKey(name, 7)))
	key := remotelog.EntryKey(name, 9)
	b, _, err := store.ReadAll(t.Context(), w.entries, key, 1<<20)
	check(t, err)
	b[50]++
	_, err = w.entries.Put(t.Context(), key, b, store.Condition{})
	check(t, err)
	_, err = w.entries.Put(t.Context(), remotelog.EntryPrefix(name)+"something else", b, store.Condition{})
	check(t, err)
	w.entries.requests()
	l := w.log()
	var numbers []uint64
	for p, err := range l.History(t.Context()) {
		numbers = append(numbers, p.Entry)
		if p.Entry == 9 {
			wantIs(t, "entry 9", err, remotelog.ErrCorrupt)
			continue
		}
		check(t, err)
		want := w.now.Add(time.Duration(int(p.Entry)-30) * time.Second)
		if p.Size != w.db.size || !p.Time.Equal(want) || !p.SourceTime.Equal(want) || p.ObjectSize < 100 {
			t.Errorf("got %+v, want the time %v", p, want)
		}
	}
	if len(numbers) != 29 || !slices.IsSorted(numbers) || slices.Contains(numbers, 7) || !slices.Contains(numbers, 9) {
		t.Errorf("got %v", numbers)
	}
	w.wantCalls("history", calls{"list": 1, "get": 1 + 29}, calls{})
	for range l.History(t.Context()) {
		break
	}
	for item, err := range l.List(t.Context(), 20) {
		check(t, err)
		if item.Number != 21 || item.Info.Key != remotelog.EntryKey(name, 21) {
			t.Errorf("got %+v", item)
		}
		break
	}
}

// TestCancel ends everything that waits for a store.
func TestCancel(t *testing.T) {
	w := small(t)
	h, err := w.log().Head(t.Context(), nil)
	check(t, err)
	why := errors.New("why")
	for what, run := range map[string]func(ctx context.Context, l *logrep.Log) error{
		"head": func(ctx context.Context, l *logrep.Log) error { _, err := l.Head(ctx, nil); return err },
		"restore": func(ctx context.Context, l *logrep.Log) error {
			return logrep.Restore(ctx, l, h.Entry, newBuffer(h.Entry.Size), nil)
		},
		"chunk":    func(ctx context.Context, l *logrep.Log) error { _, err := l.Chunk(ctx, h.Entry, 2); return err },
		"prefetch": func(ctx context.Context, l *logrep.Log) error { return l.Open(h.Entry, nil).Prefetch(ctx, -1, 0) },
		"read": func(ctx context.Context, l *logrep.Log) error {
			_, err := l.Open(h.Entry, nil).ReadAt(ctx, make([]byte, 10), 5)
			return err
		},
		"history": func(ctx context.Context, l *logrep.Log) error {
			for _, err := range l.History(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"check": func(ctx context.Context, l *logrep.Log) error {
			_, err := l.Check(ctx, &logrep.CheckOptions{Percent: 100}, func(f *logrep.Fault) { t.Errorf("fault: %v", f) })
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			for i, more := 0, true; more; i++ {
				ctx, cancel := context.WithCancelCause(t.Context())
				packs, entries := storefault.New(w.packs, nil), storefault.New(w.entries, nil)
				hang := func(storefault.Call) storefault.Fault {
					if len(packs.Calls())+len(entries.Calls()) > i {
						cancel(why)
						return storefault.Fault{Until: make(chan struct{})}
					}
					return storefault.Fault{}
				}
				packs.SetPlan(hang)
				entries.SetPlan(hang)
				err := run(ctx, logrep.New(packs, entries, name))
				more = len(packs.Calls())+len(entries.Calls()) > i
				if more {
					if !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
						t.Errorf("request %d: got %v", i, err)
					}
				} else {
					check(t, err)
				}
				cancel(nil)
			}
		})
	}
}
