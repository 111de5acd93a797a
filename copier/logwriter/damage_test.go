package logwriter_test

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

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

// newIndexed is a log whose newest entry has an index block, in the entry before: so the next ones would not store it by themselves. Only nonces are other ones each time.
func newIndexed(t *testing.T) *past {
	t.Helper()
	p := newPast(t, 0, 0)
	p.d = newChanging(random(20*manifest.ChunkSize, 1), 1)
	for i := range 32 {
		p.next()
		if i == 5 {
			p.compact()
		}
		p.s.clock.set(p.s.clock.Now().Add(time.Hour))
	}
	check(t, p.w.RefreshLatest(t.Context()))
	h, _ := examine(t, p.s)
	if block := h.Entry.Blocks[0]; block.Stored.Object != (remotelog.ObjectID{Entry: h.Entry.Number - 1}) || !block.Patch.IsZero() {
		t.Fatalf("entry %d: the index block is in %v, its patch in %v", h.Entry.Number, block.Stored, block.Patch)
	}
	return p
}

// needs returns the frames of each object that the newest state needs, and how many chunks lie in it.
func (p *past) needs() (frames map[remotelog.ObjectID][]remotelog.Place, chunks map[remotelog.ObjectID]int) {
	p.t.Helper()
	h, d := examine(p.t, p.s)
	if !d.Empty() {
		p.t.Fatalf("before: %+v", d)
	}
	frames, chunks = map[remotelog.ObjectID][]remotelog.Place{}, map[remotelog.ObjectID]int{}
	r := newReading(p.t, p.s, h.Entry.Number)
	for b := range h.Entry.Blocks {
		for _, f := range []remotelog.Place{h.Entry.Blocks[b].Stored, h.Entry.Blocks[b].Patch} {
			if !f.IsZero() {
				frames[f.Object] = append(frames[f.Object], f)
			}
		}
		for _, c := range r.block(b) {
			seen := map[remotelog.ObjectID]bool{}
			for _, l := range c.Layers {
				frames[l.Frame.Object] = append(frames[l.Frame.Object], l.Frame)
				if !seen[l.Frame.Object] {
					seen[l.Frame.Object] = true
					chunks[l.Frame.Object]++
				}
			}
		}
	}
	return frames, chunks
}

// TestSpoiledIsRepaired damages each object that the newest state needs: in its header, behind its end, or in one of its frames. Once that is repaired, and older
// states are pruned, nothing needs the object: a check with all data finds nothing. Only what lies in the object is uploaded again.
func TestSpoiledIsRepaired(t *testing.T) {
	base := newIndexed(t)
	frames, _ := base.needs()
	newest := base.points()[len(base.states)-1]
	if len(frames) < 5 || frames[remotelog.ObjectID{Entry: newest}] == nil {
		t.Fatalf("entry %d needs %v", newest, frames)
	}
	indexes := 0
	for like := range frames {
		for _, what := range []string{"header", "end", "first frame", "last frame"} {
			if like.Part > 0 && (what == "header" || what == "end") {
				continue // TestUnsealedIsRepaired
			}
			if testing.Short() && what == "first frame" {
				continue // the race detector takes ten times as long
			}
			t.Run(fmt.Sprintf("%d-%d, %s", like.Entry, like.Part, what), func(t *testing.T) {
				p := newIndexed(t)
				frames, chunks := p.needs()
				id := like
				for other := range frames {
					if other.Entry == like.Entry && other.Part == like.Part {
						id = other
					}
				}
				key := keyOf(id)
				b := object(t, p.s, key)
				header := 0
				if id.Part == 0 {
					_, inline := entryOf(t, p.s, id.Entry)
					header = len(b) - len(inline)
				}
				list := frames[id]
				slices.SortFunc(list, func(x, y remotelog.Place) int { return cmp.Compare(x.Offset, y.Offset) })
				switch what {
				case "header":
					b[header/2] ^= 4
				case "end":
					b = append(b, make([]byte, 20)...)
				case "first frame":
					b[header+int(list[0].End())-1] ^= 4
				case "last frame":
					b[header+int(list[len(list)-1].End())-1] ^= 4
				}
				put(t, p.s.Store, key, b)
				told := map[string]int{}
				log := logrep.New(p.s, p.s, testName)
				h, err := log.Head(t.Context(), nil)
				check(t, err)
				doubts, err := log.Doubts(t.Context(), h)
				check(t, err)
				if want := what == "header" && id.Entry == newest; want != (len(doubts) > 0) {
					t.Errorf("doubts: %v", doubts)
				}
				d, err := logrep.New(p.s, p.s, testName).Examine(t.Context(), h.Entry, func(f *logrep.Fault) {
					told[f.Object]++
					if len(doubts) > 0 && doubts[0].Error() != f.Error() { // so that it can be told once
						t.Errorf("%v, and %v", doubts, f)
					}
				})
				check(t, err)
				if len(told) != 1 || told[key] != 1 {
					t.Errorf("told were %v", told)
				}
				if len(d.Blocks) == 0 && len(d.Chunks) != chunks[id] {
					t.Errorf("%d chunks are damaged, %d lie in it", len(d.Chunks), chunks[id])
				}
				indexes += len(d.Index)
				p.w.Suspect(d)
				res, err := p.w.Append(t.Context(), p.d.m, p.d)
				check(t, err)
				p.states[res.Entry] = bytes.Clone(p.d.data)
				if most := int64(len(d.Chunks))*(manifest.ChunkSize+1000) + 5000; len(d.Blocks) == 0 && res.Bytes > most {
					t.Errorf("%d bytes were sent, at most %d are needed", res.Bytes, most)
				}
				if after, d := examine(t, p.s); after.Entry.Number != res.Entry || !d.Empty() {
					t.Errorf("entry %d, damaged %+v", after.Entry.Number, d)
				}
				check(t, p.w.RefreshLatest(t.Context()))
				p.prune(logwriter.Policy{Last: 1})
				p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
				p.prune(logwriter.Policy{Last: 1})
				sound(t, p.s)
				if _, err := p.s.Head(t.Context(), key); !store.IsNotExist(err) {
					t.Errorf("%s: %v", key, err)
				}
				if !bytes.Equal(restore(t, p.s, res.Entry), p.d.data) {
					t.Error("restored to other bytes")
				}
			})
		}
	}
	if indexes == 0 {
		t.Error("no index was stored anew without its chunks")
	}
}

// TestLongerNewestIsRepaired has something behind the newest entry, which has no frames that it needs: Doubts, which looks at headers only, says nothing of it.
func TestLongerNewestIsRepaired(t *testing.T) {
	p := newPast(t, 25, time.Hour)
	p.d.m.Sequence++ // nothing has changed
	longer, err := p.w.Append(t.Context(), p.d.m, p.d)
	check(t, err)
	check(t, p.w.RefreshLatest(t.Context()))
	key := remotelog.EntryKey(testName, longer.Entry)
	put(t, p.s.Store, key, append(object(t, p.s, key), 1))
	_, d := examine(t, p.s)
	if !d.Entry || len(d.Blocks)+len(d.Index)+len(d.Chunks) > 0 {
		t.Errorf("damaged: %+v", d)
	}
	p.w.Suspect(d)
	res, err := p.w.Append(t.Context(), p.d.m, p.d)
	check(t, err)
	if res.Entry != longer.Entry+1 || res.Bytes > 5000 {
		t.Errorf("%+v", res)
	}
	check(t, p.w.RefreshLatest(t.Context()))
	p.prune(logwriter.Policy{Last: 1})
	sound(t, p.s)
}

// TestIndexAndPatch damages an index block and its patch, which lie in different objects: both are told.
func TestIndexAndPatch(t *testing.T) {
	p := newIndexed(t)
	place := func() (stored, patch remotelog.Place) {
		h, _ := examine(t, p.s)
		return h.Entry.Blocks[0].Stored, h.Entry.Blocks[0].Patch
	}
	stored, patch := place()
	for i := 0; patch.IsZero() || patch.Object == stored.Object; i++ {
		if i == 500 {
			t.Fatal("there is none")
		}
		p.next()
		stored, patch = place()
	}
	want := map[string]bool{keyOf(stored.Object): true, keyOf(patch.Object): true}
	for _, f := range []remotelog.Place{stored, patch} {
		b := object(t, p.s, keyOf(f.Object))
		header := 0
		if f.Object.Part == 0 {
			_, inline := entryOf(t, p.s, f.Object.Entry)
			header = len(b) - len(inline)
		}
		b[header+int(f.End())-1] ^= 1
		put(t, p.s.Store, keyOf(f.Object), b)
	}
	h, err := logrep.New(p.s, p.s, testName).Head(t.Context(), nil)
	check(t, err)
	told := map[string]bool{}
	d, err := logrep.New(p.s, p.s, testName).Examine(t.Context(), h.Entry, func(f *logrep.Fault) { told[f.Object] = true })
	check(t, err)
	if !maps.Equal(told, want) || !d.Blocks[0] {
		t.Errorf("told were %v, want %v; damaged: %+v", told, want, d)
	}
}
