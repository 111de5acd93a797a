package logwriter_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// examine returns the newest entry, and what of it can't be had.
func examine(t *testing.T, s store.Store) (*logrep.Head, *logrep.Damage) {
	t.Helper()
	h, err := logrep.New(s, s, testName).Head(t.Context(), nil)
	check(t, err)
	d, err := logrep.New(s, s, testName).Examine(t.Context(), h.Entry, func(*logrep.Fault) {})
	check(t, err)
	return h, d
}

// TestDamageIsRepaired deletes, cuts, flips and swaps objects, and appends the newest state once more, or another one: then it is whole, and nothing more was sent
// than what was damaged.
func TestDamageIsRepaired(t *testing.T) {
	for seed := range uint64(60) {
		if seed%uint64(1+sampled(4)) > 0 {
			continue
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPast(t, 0, 0)
			p.d = newChanging(random((17+int(seed%30))*manifest.ChunkSize, seed), seed) // with stored index blocks
			for i := range 30 {
				p.next()
				if i == 15 {
					p.compact()
				}
			}
			check(t, p.w.RefreshLatest(t.Context()))
			h, d := examine(t, p.s)
			if !d.Empty() {
				t.Fatalf("before: %+v", d)
			}
			rng := rand.New(rand.NewPCG(seed, 3))
			all := append(keys(t, p.s, remotelog.EntryPrefix(testName)), keys(t, p.s, remotelog.PackPrefix(testName))...)
			for range 1 + rng.IntN(4) {
				key := all[rng.IntN(len(all))]
				if rng.IntN(4) == 0 {
					key = h.Info.Key // more often than others
					if key == remotelog.LatestKey(testName) {
						key = remotelog.EntryKey(testName, h.Entry.Number)
					}
				}
				if _, err := p.s.Head(t.Context(), key); store.IsNotExist(err) {
					continue
				}
				b := object(t, p.s, key)
				switch rng.IntN(4) {
				case 0:
					check(t, p.s.Delete(t.Context(), key))
					continue
				case 1:
					b = b[:rng.IntN(len(b))]
				case 2:
					b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
				case 3:
					b = object(t, p.s, all[0])
				}
				put(t, p.s.Store, key, b)
			}
			if _, err := p.s.Head(t.Context(), all[0]); err != nil && !store.IsNotExist(err) {
				t.Fatal(err)
			}
			h, d = examine(t, p.s)
			t.Logf("entry %d: %d blocks and %d chunks of %d", h.Entry.Number, len(d.Blocks), len(d.Chunks), len(p.d.data)/manifest.ChunkSize)
			if seed%2 == 0 {
				p.w = p.writer() // one that remembers nothing
			}
			p.w.Suspect(d)
			changed := 0
			if seed%3 == 0 {
				p.d.change(1)
				changed = 1
			}
			res, err := p.w.Append(t.Context(), p.d.m, p.d)
			check(t, err)
			if res.Unchanged != (d.Empty() && changed == 0) {
				t.Errorf("%+v", res)
			}
			if most := int64(len(d.Chunks)+changed)*(manifest.ChunkSize+1000) + 20_000; len(d.Blocks) == 0 && res.Bytes > most {
				t.Errorf("%d bytes were sent, at most %d are needed", res.Bytes, most)
			}
			if after, d := examine(t, p.s); after.Entry.Number != res.Entry || !d.Empty() {
				t.Errorf("entry %d, damaged %+v", after.Entry.Number, d)
			}
			if !bytes.Equal(restore(t, p.s, res.Entry), p.d.data) {
				t.Error("restored to other bytes")
			}
			// From then on all is as ever.
			for range 3 {
				p.next()
			}
			if _, d := examine(t, p.s); !d.Empty() {
				t.Errorf("later: %+v", d)
			}
			_, err = p.w.Compact(t.Context(), logwriter.Budget{})
			check(t, err)
			h, d = examine(t, p.s)
			if !d.Empty() {
				t.Errorf("compacted: %+v", d)
			}
			if !bytes.Equal(restore(t, p.s, h.Entry.Number), p.d.data) {
				t.Error("later, restored to other bytes")
			}
		})
	}
}

// TestLostIndexIsStoredAgain loses the object that an index block, or a patch of one, is in: the next append, which has to read it, has all of its chunks anew, also
// that of the same state, if a compaction finds it out.
func TestLostIndexIsStoredAgain(t *testing.T) {
	for _, c := range []struct {
		name           string
		patch, compact bool
	}{{"index", false, false}, {"patch", true, false}, {"index, compaction", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			p := newPast(t, 0, 0)
			p.d = newChanging(random(40*manifest.ChunkSize, 1), 1)
			place := remotelog.Place{}
			for i := 0; place.IsZero(); i++ {
				if i == 500 {
					t.Fatal("there is none")
				}
				p.next()
				h, _ := examine(t, p.s)
				if place = h.Entry.Blocks[0].Stored; c.patch {
					place = h.Entry.Blocks[0].Patch
				}
				if place.Object.Entry == h.Entry.Number { // without that, the one before it would be the newest
					place = remotelog.Place{}
				}
			}
			key := remotelog.PackKey(testName, place.Object)
			if place.Object.Part == 0 {
				key = remotelog.EntryKey(testName, place.Object.Entry)
			}
			check(t, p.s.Delete(t.Context(), key))
			if _, d := examine(t, p.s); len(d.Blocks) != 1 {
				t.Fatalf("damaged: %+v", d)
			}
			p.w = p.writer()
			if c.compact {
				if _, err := p.w.Compact(t.Context(), logwriter.Budget{}); err == nil {
					t.Error("compacted without its index")
				}
			} else {
				p.d.change(1)
			}
			res, err := p.w.Append(t.Context(), p.d.m, p.d)
			check(t, err)
			if res.Unchanged {
				t.Error("nothing was appended")
			}
			if _, d := examine(t, p.s); !d.Empty() {
				t.Errorf("damaged: %+v", d)
			}
			if !bytes.Equal(restore(t, p.s, res.Entry), p.d.data) {
				t.Error("restored to other bytes")
			}
		})
	}
}
