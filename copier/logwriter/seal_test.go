package logwriter_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// allSealed fails unless every pack that a log has is sealed, and every entry says so, and how long it is.
func allSealed(t testing.TB, s store.Store) {
	t.Helper()
	for _, key := range keys(t, s, remotelog.PackPrefix(testName)) {
		if err := sealOf(t, s, key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, n := range entries(t, s) {
		e, frames := entryOf(t, s, n)
		if e.Sealed != 1 || e.Inline != int64(len(frames)) {
			t.Errorf("entry %d says that packs have a seal from %d on, and that it has %d bytes, of %d", n, e.Sealed, e.Inline, len(frames))
		}
	}
}

// sealOf says what is wrong with the seal of a pack.
func sealOf(t testing.TB, s store.Store, key string) error {
	t.Helper()
	id, ok := remotelog.ParsePackKey(testName, key)
	if !ok {
		t.Fatal(key)
	}
	b := object(t, s, key)
	return remotelog.CheckSeal(b[max(0, len(b)-remotelog.SealSize):], testName, id, int64(len(b)))
}

func TestEveryPackIsSealed(t *testing.T) {
	p := newPast(t, 60, time.Hour)
	if n := len(p.bundles()); n < 2 {
		t.Fatalf("%d bundles", n)
	}
	allSealed(t, p.s)
	// Also those of appends that fail, from which the next one takes what there is.
	f := storefault.New(p.s, func(c storefault.Call) storefault.Fault {
		return storefault.Fault{Fail: c.Verb == store.VerbPut && strings.HasPrefix(c.Key, remotelog.EntryPrefix(testName))}
	})
	w := logwriter.New(f, f, testName, logwriter.Options{Owner: owner(1), PackSize: 200_000, Inline: 1000})
	p.d = newChanging(random(12*manifest.ChunkSize, 9), 3)
	p.d.m.Sequence = 1000
	_, err := w.Append(t.Context(), p.d.m, p.d)
	if !errors.Is(err, storefault.ErrInjected) {
		t.Fatal(err)
	}
	failed := keys(t, p.s, remotelog.PackPrefix(testName))
	allSealed(t, p.s)
	f.SetPlan(nil)
	res, err := w.Append(t.Context(), p.d.m, p.d)
	check(t, err)
	if res.Bytes > 500_000 {
		t.Errorf("%d bytes were sent again", res.Bytes)
	}
	if !bytes.Equal(restore(t, p.s, res.Entry), p.d.data) {
		t.Error("it restores to something else")
	}
	allSealed(t, p.s)
	sound(t, p.s)
	// A copy is the same, and so is one of a log of which bundles are made anew.
	put(t, p.s.Store, p.bundles()[0], []byte("no frame"))
	to := mem.New()
	_, err = p.copyTo(to)
	check(t, err)
	allSealed(t, to)
	if len(failed) == 0 || len(keys(t, to, remotelog.PackPrefix(testName))) < len(failed) {
		t.Errorf("%d packs in the copy, there were %d before", len(keys(t, to, remotelog.PackPrefix(testName))), len(failed))
	}
}

// TestBytesSent counts what is in the store, with the seals.
func TestBytesSent(t *testing.T) {
	r := newRig(t, logwriter.Options{PackSize: 200_000, Inline: 1000})
	before := int64(0)
	for i := range 3 {
		res := r.append(random(10*manifest.ChunkSize, uint64(i)))
		total := int64(0)
		for _, prefix := range []string{remotelog.PackPrefix(testName), remotelog.EntryPrefix(testName)} {
			for info, err := range r.s.List(t.Context(), prefix) {
				check(t, err)
				total += info.Size
			}
		}
		if res.Bytes != total-before {
			t.Errorf("entry %d: %d bytes were sent, and %d more are there", res.Entry, res.Bytes, total-before)
		}
		before = total
	}
	u, err := logrep.New(r.s, r.s, testName).Usage(t.Context())
	check(t, err)
	newest, _ := entryOf(t, r.s, 3)
	if u.Live < 10*manifest.ChunkSize || newest.Sealed != 1 {
		t.Errorf("%+v, sealed from %d on", u, newest.Sealed)
	}
	// Of a log with one state, all that is there is live.
	r = newRig(t, logwriter.Options{PackSize: 200_000, Inline: 1000})
	r.append(random(10*manifest.ChunkSize, 1))
	if u, err = logrep.New(r.s, r.s, testName).Usage(t.Context()); err != nil || u.Live != u.Bytes || u.Packs < 3 {
		t.Errorf("%+v, %v", u, err)
	}
}

// unseal makes of a log what a program would have written that knows no seals. With last, of the newest entry only.
func unseal(t testing.TB, s store.Store, last bool) {
	t.Helper()
	numbers := entries(t, s)
	var before manifest.Fingerprint
	for i, n := range numbers {
		e, frames := entryOf(t, s, n)
		if i == len(numbers)-1 || !last {
			e.Sealed, e.Inline = 0, 0
		}
		if n > 1 && n-1 == numbers[max(i-1, 0)] {
			e.Previous = before
		}
		header, err := remotelog.EncodeEntry(e)
		check(t, err)
		put(t, s, remotelog.EntryKey(testName, n), slices.Concat(header, frames))
		put(t, s, remotelog.LatestKey(testName), header)
		before = manifest.Sum(header)
	}
	if last {
		return
	}
	for _, key := range keys(t, s, remotelog.PackPrefix(testName)) {
		b := object(t, s, key)
		put(t, s, key, b[:len(b)-remotelog.SealSize])
	}
}

// quick is a check without data.
func quick(t testing.TB, s store.Store) (faults []string) {
	t.Helper()
	_, err := logrep.New(s, s, testName).Check(t.Context(), nil, func(f *logrep.Fault) { faults = append(faults, f.Object) })
	check(t, err)
	return faults
}

// TestOlderLogIsContinued goes on with logs of programs that knew no seals, and lets such a program go on in between.
func TestOlderLogIsContinued(t *testing.T) {
	for _, n := range []int{1, 30} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := newPast(t, n, time.Hour)
			unseal(t, p.s, false)
			all := entries(t, p.s)
			newest := all[len(all)-1]
			// What such a program left that failed to append the next entry.
			left := remotelog.PackKey(testName, remotelog.ObjectID{Entry: newest + 1, Part: 1, Nonce: 5})
			put(t, p.s.Store, left, remotelog.AppendFrame(nil, remotelog.KindChunk, random(500, 1)))
			whole := func() {
				t.Helper()
				sound(t, p.s)
				if faults := quick(t, p.s); len(faults) > 0 {
					t.Errorf("faults with %q", faults)
				}
			}
			whole()
			p.w = p.writer()
			grow := func() (e *remotelog.Entry) {
				t.Helper()
				for range 5 {
					p.d.change(60) // in packs
					res, err := p.w.Append(t.Context(), p.d.m, p.d)
					check(t, err)
					p.states[res.Entry] = bytes.Clone(p.d.data)
					e, _ = entryOf(t, p.s, res.Entry)
				}
				p.compact()
				whole()
				p.restorable(p.s)
				return e
			}
			if e := grow(); e.Sealed != newest+2 {
				t.Errorf("behind entry %d packs have a seal from %d on", newest, e.Sealed)
			}
			damageLate := func(from uint64) {
				t.Helper()
				damaged := 0
				for _, key := range keys(t, p.s, remotelog.PackPrefix(testName)) {
					id, _ := remotelog.ParsePackKey(testName, key)
					b := object(t, p.s, key)
					put(t, p.s.Store, key, b[:len(b)-remotelog.SealSize])
					if faults := quick(t, p.s); id.Entry >= from && !slices.Equal(faults, []string{key}) {
						t.Errorf("%s has no seal, and the faults are with %q", key, faults)
					} else if id.Entry >= from {
						damaged++
					}
					put(t, p.s.Store, key, b)
				}
				if damaged < 3 {
					t.Errorf("%d packs have seals", damaged)
				}
			}
			damageLate(newest + 2)
			to := mem.New()
			_, err := p.copyTo(to)
			check(t, err)
			p.same(to)

			all = entries(t, p.s)
			newest = all[len(all)-1]
			unseal(t, p.s, true)
			whole()
			to = mem.New()
			_, err = p.copyTo(to)
			check(t, err)
			p.same(to)
			p.w = p.writer()
			if e := grow(); e.Sealed != newest+2 {
				t.Errorf("behind entry %d packs have a seal from %d on", newest, e.Sealed)
			}
			damageLate(newest + 2)
			p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
			p.prune(logwriter.Policy{Last: 2})
			whole()
		})
	}
}

// TestOlderUploadIsContinued: of the first upload of a program that knew no seals, packs are used that have none.
func TestOlderUploadIsContinued(t *testing.T) {
	for _, older := range []bool{true, false} {
		s := mem.New()
		f := storefault.New(s, func(c storefault.Call) storefault.Fault {
			return storefault.Fault{Fail: c.Verb == store.VerbPut && strings.HasPrefix(c.Key, remotelog.EntryPrefix(testName))}
		})
		o := logwriter.Options{Owner: owner(1), PackSize: 200_000, Inline: 1000}
		w := logwriter.New(f, f, testName, o)
		snap := take(random(20*manifest.ChunkSize, 1), 1)
		if _, err := w.Append(t.Context(), snap.m, snap); !errors.Is(err, storefault.ErrInjected) {
			t.Fatal(err)
		}
		kept := w.Pages()
		want := uint64(1)
		if older {
			for _, key := range keys(t, s, remotelog.PackPrefix(testName)) {
				b := object(t, s, key)
				put(t, s, key, b[:len(b)-remotelog.SealSize])
			}
			kept = append([]byte("BOULEPG3"), kept[8:len(kept)-8]...)
			kept = binary.BigEndian.AppendUint64(kept, xxh3.Hash(kept))
			want = 2
		}
		for range 2 { // what is kept once more says the same
			w = logwriter.New(f, f, testName, o)
			check(t, w.Recall(kept))
			kept = w.Pages()
		}
		f.SetPlan(nil)
		res, err := w.Append(t.Context(), snap.m, snap)
		check(t, err)
		e, _ := entryOf(t, s, 1)
		if res.Bytes > 400_000 || e.Sealed != want || !bytes.Equal(restore(t, s, 1), snap.data) {
			t.Errorf("older: %t: %d bytes were sent, and packs have a seal from %d on", older, res.Bytes, e.Sealed)
		}
		sound(t, s)
		if faults := quick(t, s); len(faults) > 0 {
			t.Errorf("older: %t: faults with %q", older, faults)
		}
	}
}

// TestCopyOfUnneeded: a log is copied as it is, or not at all, also of what no state needs.
func TestCopyOfUnneeded(t *testing.T) {
	p := newPast(t, 25, time.Hour)
	var packs []string
	for i := range 2 {
		id := remotelog.ObjectID{Entry: 9, Part: 1, Nonce: uint64(i)}
		packs = append(packs, remotelog.PackKey(testName, id))
		pack := remotelog.AppendFrame(nil, remotelog.KindChunk, random(900, uint64(i)))
		put(t, p.s.Store, packs[i], remotelog.AppendSeal(remotelog.AppendFrame(pack, remotelog.KindChunk, random(700, 3)), testName, id))
	}
	to := mem.New()
	_, err := p.copyTo(to)
	check(t, err)
	p.same(to)
	whole := object(t, p.s, packs[0])
	for what, b := range map[string][]byte{
		"swapped":            object(t, p.s, packs[1]),
		"cut":                whole[:len(whole)-remotelog.SealSize],
		"longer":             remotelog.AppendFrame(bytes.Clone(whole), remotelog.KindChunk, random(9, 1)),
		"with a seal within": slices.Concat(whole, whole[len(whole)-remotelog.SealSize:]),
	} {
		put(t, p.s.Store, packs[0], b)
		to := mem.New()
		if _, err := p.copyTo(to); !errors.Is(err, remotelog.ErrCorrupt) || !strings.Contains(err.Error(), packs[0]) {
			t.Errorf("%s: got %v", what, err)
		}
		if _, err := to.Head(t.Context(), packs[0]); !store.IsNotExist(err) {
			t.Errorf("%s: it was copied, %v", what, err)
		}
	}
	put(t, p.s.Store, packs[0], whole)
	for _, n := range entries(t, p.s) {
		key := remotelog.EntryKey(testName, n)
		whole := object(t, p.s, key)
		put(t, p.s.Store, key, remotelog.AppendFrame(bytes.Clone(whole), remotelog.KindChunk, []byte("more")))
		to := mem.New()
		if _, err := p.copyTo(to); !errors.Is(err, remotelog.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprint("entry ", n)) {
			t.Errorf("entry %d is longer: got %v", n, err)
		}
		if _, err := to.Head(t.Context(), key); !store.IsNotExist(err) {
			t.Errorf("entry %d is longer: it was copied, %v", n, err)
		}
		put(t, p.s.Store, key, whole)
	}
}

// TestUnsealedIsRepaired takes their seals from packs that the newest state needs: nothing else is wrong with them, but who examines it has what lies in them
// uploaded again, and prune removes them.
func TestUnsealedIsRepaired(t *testing.T) {
	newest := func(p *past) *logrep.Head {
		h, d := examine(t, p.s)
		if !d.Empty() {
			t.Fatalf("before: %+v", d)
		}
		return h
	}
	needed := map[string]int{} // packs, and how many chunks lie in them
	p := newPast(t, 25, time.Hour)
	h := newest(p)
	r := newReading(t, p.s, h.Entry.Number)
	for i := range manifest.Count(h.Entry.Size) {
		seen := map[string]bool{}
		for _, l := range r.block(i / manifest.BlockChunks)[i%manifest.BlockChunks].Layers {
			if key := remotelog.PackKey(testName, l.Frame.Object); l.Frame.Object.Part > 0 && !seen[key] {
				seen[key] = true
				needed[key]++
			}
		}
	}
	if len(needed) < 3 {
		t.Fatalf("needed are %v", needed)
	}
	nonce := func(key string) string { return key[:len(key)-16] } // which is another one each time
	for key, chunks := range needed {
		p := newPast(t, 25, time.Hour)
		for _, k := range keys(t, p.s, remotelog.PackPrefix(testName)) {
			if nonce(k) == nonce(key) {
				key = k
			}
		}
		b := object(t, p.s, key)
		put(t, p.s.Store, key, b[:len(b)-remotelog.SealSize])
		_, d := examine(t, p.s)
		if len(d.Blocks) == 0 && len(d.Chunks) != chunks || d.Entry {
			t.Errorf("%s: %d blocks and %d chunks are damaged, and %d lie in it", key, len(d.Blocks), len(d.Chunks), chunks)
		}
		p.w.Suspect(d)
		res, err := p.w.Append(t.Context(), p.d.m, p.d)
		check(t, err)
		p.states[res.Entry] = bytes.Clone(p.d.data)
		if after, d := examine(t, p.s); after.Entry.Number != res.Entry || !d.Empty() {
			t.Errorf("entry %d, damaged %+v", after.Entry.Number, d)
		}
		check(t, p.w.RefreshLatest(t.Context()))
		if faults := quick(t, p.s); !slices.Equal(faults, []string{key}) {
			t.Errorf("%s: repaired, faults with %q", key, faults)
		}
		p.prune(logwriter.Policy{Last: 1})
		p.s.clock.set(p.s.clock.Now().Add(48 * time.Hour))
		p.prune(logwriter.Policy{Last: 1})
		if faults := quick(t, p.s); len(faults) > 0 {
			t.Errorf("%s: pruned, faults with %q", key, faults)
		}
		sound(t, p.s)
	}
}
