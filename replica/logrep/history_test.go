package logrep_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// TestDamagedListOfPruned: states are read without it, and verified; who lists them is told.
func TestDamagedListOfPruned(t *testing.T) {
	w := short(t, 12)
	_, err := w.entries.Put(t.Context(), remotelog.PrunedKey(name), []byte("no list"), store.Condition{})
	check(t, err)
	var listed []uint64
	var errs []error
	for p, err := range w.log().History(t.Context()) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		listed = append(listed, p.Entry)
	}
	if len(listed) != 12 || len(errs) != 1 || !errors.Is(errs[0], remotelog.ErrCorrupt) {
		t.Errorf("listed %v, errors %v", listed, errs)
	}
	h, err := w.log().RecoveryPoint(t.Context(), 5)
	if check(t, err); h.Entry.Number != 5 {
		t.Errorf("got entry %d", h.Entry.Number)
	}
	at, err := w.log().At(t.Context(), h.Entry.Appended)
	if check(t, err); at.Entry.Number != 5 {
		t.Errorf("at its time: got entry %d", at.Entry.Number)
	}
	if list, _ := faults(t, w.log(), 0); len(list) != 1 || list[0].Object != remotelog.PrunedKey(name) {
		t.Errorf("faults %v", list)
	}
}

// TestRandomHistories appends random changes, and reads every state there ever was.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWriter(t, seed)
			db := &database{}
			for range 14 {
				w.change(db, 1<<20)
				first := w.entry == nil
				w.append(db, how{
					pack: w.rng.IntN(2) == 0, index: w.rng.IntN(2) == 0, patch: w.rng.IntN(3) == 0, whole: w.rng.IntN(6) == 0,
					store: !first && w.rng.IntN(4) == 0, quiet: !first && w.rng.IntN(3) > 0,
				})
			}
			for number, db := range w.states {
				l := w.log()
				h, err := l.Entry(t.Context(), number)
				check(t, err)
				want := db.bytes()
				for _, inMemory := range []bool{true, false} {
					if got := restore(t, l, h.Entry, inMemory); !bytes.Equal(got, want) {
						t.Errorf("entry %d was restored to other bytes (pages waiting in memory: %t)", number, inMemory)
					}
				}
				for _, l := range []*logrep.Log{l, w.log()} {
					got, err := read(t, l, h.Entry)
					check(t, err)
					if !bytes.Equal(got, want) {
						t.Errorf("entry %d has other bytes", number)
					}
				}
			}
			h, err := w.log().Head(t.Context(), nil)
			check(t, err)
			if h.Entry.Number != uint64(len(w.states)) {
				t.Errorf("the newest entry is %d, want %d", h.Entry.Number, len(w.states))
			}
			list, stats := faults(t, w.log(), 100)
			for _, f := range list {
				t.Errorf("check: %s: %v", f.Object, f)
			}
			if stats.Entries != 14 || stats.Unused != 0 || stats.Versions != stats.Read || stats.Read == 0 && len(w.db.chunks) > 0 {
				t.Errorf("check: %+v", stats)
			}
		})
	}
}
