package logrep_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// alike makes a log with many packs of the same size: needed ones, bundles, and such that no state needs.
func alike(t testing.TB) *writer {
	w := newWriter(t, 3)
	db := &database{}
	db.resize(6 * manifest.ChunkSize)
	for i := range 6 {
		db.write(int64(i)*manifest.ChunkSize, w.noise(manifest.ChunkSize))
	}
	w.append(db, how{pack: true, store: true, index: true})
	page := func(h how) {
		db.write(int64(w.rng.IntN(6))*manifest.ChunkSize+4096, w.noise(4096))
		w.append(db, h)
	}
	for range 3 {
		page(how{pack: true})
	}
	for range 2 {
		for range 3 {
			page(how{})
		}
		page(how{pack: true, bundle: true})
	}
	page(how{})
	w.garbage(2, w.noise(5000), w.noise(3000))
	w.garbage(7, w.noise(3000), w.noise(5000))
	w.garbage(w.entry.Number+1, w.noise(4000), w.noise(4000)) // of a writer that failed
	return w
}

// noise returns n bytes that do not compress.
func (w *writer) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

// garbage puts a pack that no state needs.
func (w *writer) garbage(entry uint64, chunks ...[]byte) object {
	var pack []byte
	for _, c := range chunks {
		pack = remotelog.AppendFrame(pack, remotelog.KindChunk, c)
	}
	return w.putPack(entry, pack)
}

func (w *writer) putPack(entry uint64, pack []byte) object {
	id := remotelog.ObjectID{Entry: entry, Part: 1, Nonce: w.rng.Uint64()}
	o := object{w.packs.Store, remotelog.PackKey(name, id)}
	_, err := o.s.Put(w.t.Context(), o.key, w.seal(pack, id), store.Condition{})
	check(w.t, err)
	return o
}

// packObjects returns all packs.
func (w *writer) packObjects() (list []object) {
	for _, o := range w.objects() {
		if o.s == w.packs.Store {
			list = append(list, o)
		}
	}
	return list
}

// boundaries returns where frames of b begin, and where the last one ends.
func boundaries(t testing.TB, b []byte) (list []int) {
	t.Helper()
	at := 0
	for list = append(list, 0); at < len(b); list = append(list, at) {
		_, n, err := remotelog.FrameLen(b[at:])
		check(t, err)
		at += n
	}
	return list
}

// wantFaults fails unless a check of so many percent finds a fault with each of these objects, once, and no other.
func (w *writer) wantFaults(t *testing.T, what string, percent int, keys ...string) {
	t.Helper()
	list, _ := faults(t, w.log(), percent)
	var got []string
	for _, f := range list {
		got = append(got, f.Object)
	}
	slices.Sort(got)
	slices.Sort(keys)
	if !slices.Equal(got, keys) {
		t.Errorf("%s, %d percent are read: faults %v, want one with each of %q", what, percent, list, keys)
	}
}

// mustNotice fails unless a check that reads all data finds something wrong with each of these objects, and nothing else.
func (w *writer) mustNotice(t *testing.T, what string, keys ...string) {
	t.Helper()
	list, _ := faults(t, w.log(), 100)
	got := map[string]bool{}
	for _, f := range list {
		got[f.Object] = true
		if !slices.ContainsFunc(keys, func(key string) bool {
			return strings.Contains(f.Error(), key) || strings.Contains(f.Error(), path.Base(key))
		}) {
			t.Errorf("%s: %v", what, f)
		}
	}
	for _, key := range keys {
		if !got[key] {
			t.Errorf("%s: nothing is said of %s", what, key)
		}
	}
}

// TestSwappedPacks swaps each two packs of equal size.
func TestSwappedPacks(t *testing.T) {
	w := alike(t)
	w.wantFaults(t, "before", 0)
	w.wantFaults(t, "before", 100)
	packs := w.packObjects()
	pairs := 0
	for i, a := range packs {
		for _, b := range packs[:i] {
			x, y := a.get(t), b.get(t)
			if len(x) != len(y) {
				continue
			}
			pairs++
			a.put(t, y)
			b.put(t, x)
			w.wantFaults(t, a.key+" and "+b.key+" are swapped", 0, a.key, b.key)
			w.mustNotice(t, a.key+" and "+b.key+" are swapped", a.key, b.key)
			a.put(t, x)
			b.put(t, y)
		}
	}
	if pairs < 10+1+3 { // of deltas, bundles and garbage
		t.Errorf("%d pairs of equal size", pairs)
	}
	w.wantFaults(t, "afterwards", 100)
}

// TestCutPacks cuts each pack between frames, and appends frames.
func TestCutPacks(t *testing.T) {
	w := alike(t)
	more := remotelog.AppendFrame(nil, remotelog.KindChunk, w.noise(700))
	for _, o := range w.packObjects() {
		whole := o.get(t)
		ends := boundaries(t, whole)
		seal := whole[ends[len(ends)-2]:]
		for _, n := range ends[:len(ends)-1] {
			o.put(t, whole[:n])
			w.wantFaults(t, fmt.Sprintf("%s, %d bytes of %d", o.key, n, len(whole)), 0, o.key)
			w.mustNotice(t, fmt.Sprintf("%s, %d bytes of %d", o.key, n, len(whole)), o.key)
			if n > 0 {
				o.put(t, slices.Concat(whole[:n], seal))
				w.wantFaults(t, fmt.Sprintf("%s, %d bytes of %d and the seal", o.key, n, len(whole)), 0, slices.Repeat([]string{o.key}, min(1, len(whole)-n-len(seal)))...)
			}
		}
		for what, b := range map[string][]byte{"a frame": more, "its seal": seal, "itself": whole} {
			o.put(t, slices.Concat(whole, b))
			w.wantFaults(t, o.key+" and "+what, 0, o.key)
			w.wantFaults(t, o.key+" and "+what, 100, o.key)
		}
		o.put(t, whole)
	}
	w.wantFaults(t, "afterwards", 100)
}

// TestCutEntries cuts each entry between frames, and appends one, as long as it is a recovery point and when it is none any more.
func TestCutEntries(t *testing.T) {
	for _, pruned := range []bool{false, true} {
		t.Run(fmt.Sprint("pruned:", pruned), func(t *testing.T) {
			w := small(t)
			if pruned {
				var list remotelog.Pruned
				list.Add(remotelog.Run{First: 1, Last: w.entry.Number - 1})
				_, err := w.entries.Put(t.Context(), remotelog.PrunedKey(name), remotelog.EncodePruned(name, list), store.Condition{})
				check(t, err)
			}
			w.wantFaults(t, "before", 100)
			cuts := 0
			for number := range w.states {
				o := object{w.entries.Store, remotelog.EntryKey(name, number)}
				whole := o.get(t)
				_, header, _, err := remotelog.DecodeEntry(whole)
				check(t, err)
				ends := boundaries(t, whole[header:])
				for _, n := range ends[:len(ends)-1] {
					cuts++
					o.put(t, whole[:header+n])
					w.wantFaults(t, fmt.Sprintf("%s, %d bytes of %d", o.key, header+n, len(whole)), 0, o.key)
				}
				o.put(t, remotelog.AppendFrame(bytes.Clone(whole), remotelog.KindChunk, []byte("more")))
				w.wantFaults(t, o.key+" and more", 0, o.key)
				w.wantFaults(t, o.key+" and more", 100, o.key)
				o.put(t, whole)
			}
			if cuts < 8 {
				t.Errorf("%d cuts", cuts)
			}
		})
	}
}

// TestCheckOfOlderLog checks logs that programs without seals have begun, or continued: no pack of theirs is to have one.
func TestCheckOfOlderLog(t *testing.T) {
	w := newWriter(t, 3)
	w.unsealed = true
	db := &database{}
	db.resize(6 * manifest.ChunkSize)
	next := func() {
		db.write(int64(w.rng.IntN(6))*manifest.ChunkSize+4096, w.noise(4096))
		w.append(db, how{pack: true})
	}
	both := func(what string, keys ...string) {
		t.Helper()
		w.wantFaults(t, what, 0, keys...)
		w.wantFaults(t, what, 100, keys...)
	}
	next()
	next()
	w.garbage(2, w.noise(800))
	both("an old log")
	w.unsealed = false
	next()
	next()
	both("continued")
	late := w.garbage(4, w.noise(800), w.noise(800))
	whole := late.get(t)
	late.put(t, whole[:len(whole)/2-remotelog.SealSize/2])
	both("a later pack is cut", late.key)
	late.put(t, whole)

	w.unsealed = true
	next()
	both("the old program goes on")
	late.put(t, whole[:len(whole)-remotelog.SealSize])
	w.wantFaults(t, "a seal is missing, but nobody knows that it is to be there", 100)
	other := w.seals(t, late.key, 800, 800)
	late.put(t, other)
	w.wantFaults(t, "a pack in another's place", 0)
	w.wantFaults(t, "a pack in another's place", 100, late.key)
	late.put(t, whole)
	w.unsealed = false
	next()
	both("and the later one again")
}

// seals returns a pack as long as that of the key might be, of chunks so long, with the seal of another.
func (w *writer) seals(t *testing.T, key string, chunks ...int) (pack []byte) {
	t.Helper()
	id, ok := remotelog.ParsePackKey(name, key)
	if !ok {
		t.Fatal(key)
	}
	for _, n := range chunks {
		pack = remotelog.AppendFrame(pack, remotelog.KindChunk, w.noise(n))
	}
	id.Nonce++
	return remotelog.AppendSeal(pack, name, id)
}

// TestPackGoneMeanwhile: what is listed, and gone when its seal is read, was pruned.
func TestPackGoneMeanwhile(t *testing.T) {
	w := alike(t)
	asked := 0
	packs := storefault.New(w.packs, func(c storefault.Call) storefault.Fault {
		if c.Verb == store.VerbGet && strings.Contains(c.Key, fmt.Sprintf("/%016x-", 7)) {
			asked++
			return storefault.Fault{Fail: true, Err: store.ErrNotExist}
		}
		return storefault.Fault{}
	})
	for _, percent := range []int{0, 100} {
		_, err := logrep.New(packs, w.entries, name).Check(t.Context(), &logrep.CheckOptions{Percent: percent}, func(f *logrep.Fault) { t.Errorf("%d: %v", percent, f) })
		check(t, err)
	}
	if asked < 2 {
		t.Errorf("it was asked for %d times", asked)
	}
}

// TestRequestsOfSeals: one for each pack, of those that are checked.
func TestRequestsOfSeals(t *testing.T) {
	w := alike(t)
	packs := w.packObjects()
	run := func(after uint64) int {
		w.packs.requests()
		_, err := w.log().Check(t.Context(), &logrep.CheckOptions{After: after}, func(f *logrep.Fault) { t.Error(f) })
		check(t, err)
		read := w.packs.read()
		n := w.packs.requests()[store.VerbGet]
		if index := w.entry.Blocks[0].Stored; read > int64(len(packs)*remotelog.SealSize)+2*index.Length {
			t.Errorf("%d bytes of packs were read", read)
		}
		return n
	}
	late := 0
	for _, o := range packs {
		if id, _ := remotelog.ParsePackKey(name, o.key); id.Entry > 6 {
			late++
		}
	}
	const index = 1
	if n := run(0); n != len(packs)+index {
		t.Errorf("%d requests for %d packs", n, len(packs))
	}
	if n := run(6); n != late+index || late == 0 || late == len(packs) {
		t.Errorf("%d requests for %d packs behind entry 6", n, late)
	}
	if n := run(w.entry.Number + 1); n != 0 {
		t.Errorf("%d requests for nothing", n)
	}
}

// TestUnneededFrames puts packs that no state needs, whose last bytes are right, whatever comes before.
func TestUnneededFrames(t *testing.T) {
	w := alike(t)
	chunk := remotelog.AppendFrame(nil, remotelog.KindChunk, w.noise(900))
	seal := w.seals(t, w.packObjects()[0].key)
	later := bytes.Clone(chunk)
	later[16] = 9 // a kind that is to come
	sum, _ := manifest.Sum(later[16:]).AppendBinary(nil)
	later = append(sum, later[16:]...)
	damaged := bytes.Clone(later)
	damaged[500]++
	for _, c := range []struct {
		what  string
		pack  []byte
		wrong bool
	}{
		{"frames", slices.Concat(chunk, chunk), false},
		{"a later kind", slices.Concat(chunk, later, chunk), false},
		{"a later kind, damaged", slices.Concat(chunk, damaged, chunk), true},
		{"a seal within", slices.Concat(chunk, seal, chunk), true},
		{"two seals", slices.Concat(chunk, seal), true},
	} {
		o := w.putPack(5, c.pack)
		w.wantFaults(t, c.what, 0)
		if c.wrong {
			w.wantFaults(t, c.what, 100, o.key)
		} else {
			w.wantFaults(t, c.what, 100)
		}
		check(t, o.s.Delete(t.Context(), o.key))
	}
	// Entries have no seal, even if they are as long as they say.
	w = newWriter(t, 1)
	db := &database{size: 2 * manifest.ChunkSize}
	db.write(0, w.noise(100))
	w.append(db, how{})
	o := object{w.entries.Store, remotelog.EntryKey(name, 1)}
	e, header, _, err := remotelog.DecodeEntry(o.get(t))
	check(t, err)
	e.Inline += int64(len(seal))
	changed, err := remotelog.EncodeEntry(e)
	check(t, err)
	o.put(t, slices.Concat(changed, o.get(t)[header:], seal))
	check(t, w.entries.Delete(t.Context(), remotelog.LatestKey(name)))
	_, err = w.entries.Put(t.Context(), remotelog.LatestKey(name), changed, store.Condition{})
	check(t, err)
	w.wantFaults(t, "a seal in an entry", 0)
	w.wantFaults(t, "a seal in an entry", 100, o.key)
}

// TestSealsAtRandom damages logs in ways that leave all frames sound.
func TestSealsAtRandom(t *testing.T) {
	w := alike(t)
	packs := w.packObjects()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 60 {
		o := packs[rng.IntN(len(packs))]
		whole := o.get(t)
		from := packs[rng.IntN(len(packs))].get(t)
		a, b := boundaries(t, whole), boundaries(t, from)
		made := slices.Concat(whole[:a[rng.IntN(len(a))]], from[b[rng.IntN(len(b))]:])
		if bytes.Equal(made, whole) {
			continue
		}
		o.put(t, made)
		w.mustNotice(t, fmt.Sprintf("%s is %d other bytes", o.key, len(made)), o.key)
		o.put(t, whole)
	}
	w.wantFaults(t, "afterwards", 100)
}
