package logrep_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// scattered is a log of a database of 20 chunks in a pack, and then n entries with a page each, of which every so many begins with a bundle of those before,
// and names so many bundles.
func scattered(t testing.TB, n, every, named int) *writer {
	w := newWriter(t, 3)
	w.named = named
	db := &database{size: 20 * manifest.ChunkSize}
	for i := range 20 {
		db.write(int64(i)*manifest.ChunkSize, w.content(manifest.ChunkSize))
	}
	w.append(db, how{pack: true, store: true, index: true})
	for i := 1; i <= n; i++ {
		db := w.db.clone()
		b := make([]byte, 4096)
		for k := range b {
			b[k] = byte(w.rng.Uint32()) // which does not compress
		}
		db.write(int64(i*37%320)*4096, b)
		w.append(db, how{quiet: i%16 != 0, bundle: i%every == 0})
	}
	w.wantNothing()
	return w
}

// wantNothing forgets what was counted.
func (w *writer) wantNothing() { w.entries.requests(); w.packs.requests() }

// restoreAt restores an entry, as a process does that begins with the newest one, and returns what was found damaged.
func (w *writer) restoreAt(what string, packs store.Store, number uint64, inMemory bool) (damaged []string) {
	w.t.Helper()
	l := logrep.New(packs, w.entries, name)
	_, err := l.Head(w.t.Context(), nil)
	check(w.t, err)
	h, err := l.Entry(w.t.Context(), number)
	check(w.t, err)
	w.wantNothing()
	out := newBuffer(h.Entry.Size)
	o := waiting(out, inMemory)
	if o == nil {
		o = &logrep.RestoreOptions{}
	}
	var done int64
	o.Damaged = func(err error) { damaged = append(damaged, err.Error()) }
	o.Progress = func(d, total int64) {
		if d < done || d > total {
			w.t.Errorf("%s: progress %d after %d of %d", what, d, done, total)
		}
		done = d
	}
	check(w.t, logrep.Restore(w.t.Context(), l, h.Entry, out, o))
	if !bytes.Equal(out.b, w.states[number].bytes()) {
		w.t.Errorf("%s: entry %d was restored to other bytes", what, number)
	}
	return damaged
}

// TestRequestsWithBundles restores states of which many entries have a page.
func TestRequestsWithBundles(t *testing.T) {
	w := scattered(t, 100, 30, 2) // bundles for entries 31, 61 and 91
	for _, c := range []struct {
		number         uint64
		entries, packs calls
	}{
		{9, calls{"get": 7}, calls{"get": 2}},  // few entries
		{25, calls{"get": 2}, calls{"get": 3}}, // those with bundles, and one bundle
		{31, calls{"get": 2}, calls{"get": 3}}, // it is the one of the bundle; the page in it is at hand
		{50, calls{"get": 2}, calls{"get": 4}}, // 91 names two bundles of the three
		{90, calls{"get": 2}, calls{"get": 5}},
		{101, calls{"get": 10}, calls{"get": 5}}, // nine that are in none
	} {
		for _, inMemory := range []bool{true, false} {
			what := fmt.Sprintf("entry %d, in memory: %v", c.number, inMemory)
			if damaged := w.restoreAt(what, w.packs, c.number, inMemory); len(damaged) > 0 {
				t.Errorf("%s: damaged: %v", what, damaged)
			}
			if inMemory {
				w.wantNothing()
				continue
			}
			w.wantCalls(what, c.entries, c.packs)
		}
	}
}

// TestBundlesFarBack restores a state that is far behind the newest one.
func TestBundlesFarBack(t *testing.T) {
	w := scattered(t, 1500, 50, 11)
	for _, number := range []uint64{200, 640, 1000, 1400} {
		w.restoreAt("far back", w.packs, number, false)
		requests := 0
		for _, n := range []calls{w.entries.requests(), w.packs.requests()} {
			for _, k := range n {
				requests += k
			}
		}
		// Of 320 pages those of the last 300 entries or so lie in six bundles.
		if t.Logf("entry %d: %d requests", number, requests); requests > 25 {
			t.Errorf("entry %d: %d requests", number, requests)
		}
	}
}

// TestDamagedBundles restores, and checks, with bundles that are not as they should be.
func TestDamagedBundles(t *testing.T) {
	w := scattered(t, 70, 30, 2)
	key := func(i int) string { return remotelog.PackKey(name, w.bundles[i].Pack) }
	first := object{w.packs.Store, key(0)}
	second := object{w.packs.Store, key(1)}
	whole, other := first.get(t), second.get(t)
	if len(whole) < 25*4096 {
		t.Fatalf("a bundle of %d bytes", len(whole))
	}
	wantNamed := func(what, told string, keys ...string) {
		t.Helper()
		for _, number := range []uint64{25, 55, 71} {
			for _, inMemory := range []bool{true, false} {
				damaged := w.restoreAt(what, w.packs, number, inMemory)
				if (len(damaged) > 0) != (told != "") {
					t.Errorf("%s, entry %d: told %v", what, number, damaged)
				}
				for _, d := range damaged {
					if !strings.Contains(d, keys[0]) && !strings.Contains(d, keys[len(keys)-1]) {
						t.Errorf("%s: not named: %s", what, d)
					}
					if !strings.Contains(d, told) {
						t.Errorf("%s: told %s", what, d)
					}
				}
			}
		}
		list, _ := faults(t, w.log(), 100)
		var objects []string
		for _, f := range list {
			objects = append(objects, f.Object)
		}
		if d := cmp.Diff(keys, objects); d != "" {
			t.Errorf("%s: check (- want, + got):\n%s", what, d)
		}
	}
	for i := range 20 {
		b := bytes.Clone(whole)
		b[i*len(b)/20+i] ^= 1 << (i % 8)
		first.put(t, b)
		list, _ := faults(t, w.log(), 100)
		if len(list) != 1 || list[0].Object != first.key {
			t.Errorf("a bit: check finds %v", list)
		}
		w.restoreAt("a bit", w.packs, 55, i%2 == 0)
	}
	b := bytes.Clone(whole)
	for i := range b {
		b[i] ^= 1
	}
	first.put(t, b)
	const one, all = "read from the entry itself", "read from the entries"
	wantNamed("all bits", one, first.key)
	first.put(t, whole[:100])
	wantNamed("cut short", one, first.key)
	if list, _ := faults(t, w.log(), 0); len(list) != 1 || list[0].Object != first.key {
		t.Errorf("cut short: check without data finds %v", list)
	}
	first.put(t, other)
	second.put(t, whole)
	wantNamed("swapped", "read from", first.key, second.key)
	second.put(t, other)
	check(t, w.packs.Delete(t.Context(), first.key))
	wantNamed("deleted", "", first.key)
	first.put(t, whole)

	// Sound frames, but with other pages.
	u := w.bundles[0]
	place := u.Places()
	chunks, err := w.log().Block(t.Context(), w.entry, 0)
	check(t, err)
	b = bytes.Clone(whole)
	changed := 0
	for i := range chunks {
		for _, l := range chunks[i].Layers {
			q, ok := place(l.Frame)
			if !ok {
				continue
			}
			raw, err := remotelog.DecodeFrame(b[q.Offset:q.End()], remotelog.KindDelta)
			check(t, err)
			list, err := remotelog.DecodeDeltas(raw)
			check(t, err)
			for k := range list {
				list[k].Data = bytes.Clone(list[k].Data)
				list[k].Data[100] ^= 1
			}
			frame := remotelog.AppendFrame(nil, remotelog.KindDelta, remotelog.AppendDeltas(nil, list))
			if int64(len(frame)) == q.Length {
				changed++
				copy(b[q.Offset:], frame)
			}
		}
	}
	if changed == 0 {
		t.Fatal("no frame was changed")
	}
	first.put(t, b)
	wantNamed("other pages", all, first.key)
	first.put(t, whole)
	if list, stats := faults(t, w.log(), 100); len(list) > 0 || stats.Unused > 0 {
		t.Errorf("afterwards: %v, %+v", list, stats)
	}
}

// TestBundlesFail restores while no bundle can be read, and while it is interrupted.
func TestBundlesFail(t *testing.T) {
	w := scattered(t, 70, 30, 2)
	bundles := map[string]bool{}
	for _, u := range w.bundles {
		bundles[remotelog.PackKey(name, u.Pack)] = true
	}
	s := storefault.New(w.packs, func(c storefault.Call) storefault.Fault { return storefault.Fault{Fail: bundles[c.Key]} })
	if damaged := w.restoreAt("failing", s, 71, false); len(damaged) > 0 {
		t.Errorf("failing: told %v", damaged)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s = storefault.New(w.packs, func(c storefault.Call) storefault.Fault {
		if bundles[c.Key] {
			cancel()
		}
		return storefault.Fault{}
	})
	l := logrep.New(s, w.entries, name)
	out := newBuffer(w.entry.Size)
	err := logrep.Restore(ctx, l, w.entry, out, &logrep.RestoreOptions{Damaged: func(err error) { t.Errorf("told: %v", err) }})
	wantIs(t, "interrupted", err, context.Canceled)
}

// TestPlacesInBundles restores a state that names frames in entries and, as no writer does, their copies in a bundle.
func TestPlacesInBundles(t *testing.T) {
	w := newWriter(t, 3)
	db := &database{size: 20 * manifest.ChunkSize}
	for i := range 20 {
		db.write(int64(i)*manifest.ChunkSize, w.content(manifest.ChunkSize))
	}
	w.append(db, how{pack: true, store: true, index: true})
	for i := range 30 {
		db := w.db.clone()
		for k := range 2 { // in one frame
			db.write(int64((2*i+k)%20)*manifest.ChunkSize+int64(i/10)*4096, w.content(4096))
		}
		w.append(db, how{bundle: i == 29})
	}
	place := w.bundles[0].Places()
	moved := 0
	for i := 1; i < 20; i += 2 {
		c := &w.chunks[0][i]
		layers := append([]remotelog.Layer(nil), c.Layers...)
		for k := range layers {
			if q, ok := place(layers[k].Frame); ok {
				layers[k].Frame = q
				moved++
			}
		}
		c.Layers = layers
	}
	w.append(w.db.clone(), how{store: true})
	if moved < 10 {
		t.Fatalf("%d places", moved)
	}
	for _, inMemory := range []bool{true, false} {
		if damaged := w.restoreAt("copies", w.packs, w.entry.Number, inMemory); len(damaged) > 0 {
			t.Errorf("damaged: %v", damaged)
		}
	}
}
