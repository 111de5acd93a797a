package logwriter_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// bundlesOf returns all bundles that the entries of a log have of their own, and checks that they have what the entries have, and that
// others are named as they were made.
func bundlesOf(t testing.TB, s store.Store) (all []remotelog.Bundle) {
	t.Helper()
	made := map[remotelog.ObjectID]remotelog.Bundle{}
	before := uint64(0)
	for _, number := range entries(t, s) {
		e, _ := entryOf(t, s, number)
		if e.Bundled != before {
			t.Errorf("entry %d says that %d has bundles, not %d", number, e.Bundled, before)
		}
		own := e.Own()
		for _, u := range own {
			b := object(t, s, remotelog.PackKey(testName, u.Pack))
			b = b[:max(0, len(b)-remotelog.SealSize)]
			if manifest.Sum(b) != u.Sum || int64(len(b)) != u.Size() {
				t.Errorf("entry %d: a bundle of %d bytes has %d", number, u.Size(), len(b))
			}
			for i, n := range u.Lengths {
				if n == 0 {
					continue
				}
				if _, inline := entryOf(t, s, u.First+uint64(i)); !bytes.Equal(inline, b[:n]) {
					t.Errorf("entry %d: the bundle has something else of entry %d", number, u.First+uint64(i))
				}
				b = b[n:]
			}
			made[u.Pack] = u
			before = number
		}
		for _, u := range e.Bundles {
			if made[u.Pack].Sum != u.Sum || made[u.Pack].First != u.First {
				t.Errorf("entry %d names %v, which was not made so", number, u.Pack)
			}
		}
		all = append(all, own...)
	}
	return all
}

// TestBundles appends small commits, by several writers one after the other, and looks at the bundles: each entry is in one.
func TestBundles(t *testing.T) {
	r := newRig(t, logwriter.Options{PackSize: 400_000})
	d := newChanging(random(20*manifest.ChunkSize, 1), 2)
	w := r.w
	for i := range 700 {
		d.set(1+i%300, random(pageSize, d.rnd.Uint64()))
		d.commit()
		_, err := w.Append(t.Context(), d.m, d)
		check(t, err)
		for w.CompactionDue() {
			_, err := w.Compact(t.Context(), logwriter.Budget{Bytes: 1 << 20})
			check(t, err)
		}
		if i%100 == 99 { // another process, which goes on with what the last one knew, or with nothing
			w = logwriter.New(r.s, r.s, testName, r.o)
			if i%200 == 99 {
				check(t, w.Recall(r.w.Pages()))
			}
			r.w = w
		}
	}
	_, err := compactAll(t.Context(), w)
	check(t, err)
	next, long := uint64(1), 0
	for _, u := range bundlesOf(t, r.s) {
		if u.First != next {
			t.Errorf("a bundle begins at entry %d, not %d", u.First, next)
		}
		if u.Size() > 400_000 && len(u.Lengths) > 1 {
			t.Errorf("a bundle of %d bytes", u.Size())
		}
		for _, n := range u.Lengths {
			if n == 0 {
				long++
			}
		}
		next = u.End()
	}
	all := entries(t, r.s)
	if newest := all[len(all)-1]; newest+1-next > 128 || newest < 700 || long > len(all)/4 {
		t.Errorf("bundles up to entry %d of %d, and nothing of %d", next-1, newest, long)
	}
	sound(t, r.s.Store)
	e, _ := entryOf(t, r.s, next)
	entries := 0
	for _, u := range e.Bundles {
		entries += len(u.Lengths)
	}
	if entries < 512-128 || entries > 512+128 {
		t.Errorf("entry %d names bundles of %d entries", next, entries)
	}
}

// TestBundlesOfNewest: what a Writer has appended itself, lately and of no great length, it does not read to put it into a bundle.
func TestBundlesOfNewest(t *testing.T) {
	for _, long := range []bool{false, true} {
		t.Run(fmt.Sprintf("long %v", long), func(t *testing.T) {
			r := newRig(t, logwriter.Options{})
			d := newChanging(bytes.Repeat([]byte("of text that is easy to compress "), 20*manifest.ChunkSize/32), 2)
			for i := range 140 {
				if long && i == 50 {
					for j := range 20 {
						d.set(1+j, random(pageSize, d.rnd.Uint64()))
					}
				}
				d.set(1+i%300, append(random(200, d.rnd.Uint64()), make([]byte, pageSize-200)...))
				d.commit()
				_, err := r.w.Append(t.Context(), d.m, d)
				check(t, err)
			}
			r.s.reset()
			res, err := r.w.Compact(t.Context(), logwriter.Budget{Requests: 8})
			check(t, err)
			bundles := bundlesOf(t, r.s.Store)
			entries := 0
			for _, u := range bundles {
				entries += len(u.Lengths)
			}
			if len(bundles) == 0 || res.Unchanged {
				t.Fatalf("%d bundles: %+v", len(bundles), res)
			}
			want := 0
			if long {
				want = 1
			}
			if gets := r.s.verbs[store.VerbGet]; gets != want || entries != 140 {
				t.Errorf("%d GETs for bundles of %d entries", gets, entries)
			}
		})
	}
}

// TestBundlesOfOthers lets two processes of an owner make bundles of the same log.
func TestBundlesOfOthers(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	other := logwriter.New(r.s, r.s, testName, r.o)
	d := newChanging(random(20*manifest.ChunkSize, 1), 2)
	append := func(w *logwriter.Writer, n int) {
		t.Helper()
		for range n {
			d.change(1)
			_, err := w.Append(t.Context(), d.m, d)
			check(t, err)
		}
	}
	append(r.w, 40)
	append(other, 40)
	compact := func(w *logwriter.Writer, b logwriter.Budget) logwriter.Compaction {
		t.Helper()
		c, err := w.Compact(t.Context(), b)
		check(t, err)
		return c
	}
	least := logwriter.Budget{Requests: 20}
	if c := compact(other, least); !c.More || c.Unchanged {
		t.Errorf("the first: %+v", c)
	}
	for _, w := range []*logwriter.Writer{r.w, other, r.w, r.w, other, other, r.w} {
		append(w, 1)
		compact(w, least)
	}
	for _, w := range []*logwriter.Writer{r.w, other} {
		append(w, 1)
		_, err := compactAll(t.Context(), w)
		check(t, err)
	}
	next := uint64(1)
	for _, u := range bundlesOf(t, r.s) {
		if u.First < next || u.First > next+1 {
			t.Errorf("a bundle begins at entry %d, the last ended before %d", u.First, next)
		}
		next = u.End()
	}
	if next < 80 {
		t.Errorf("bundles of %d entries", next)
	}
	sound(t, r.s.Store)
}

// TestBundlesOfDamaged makes bundles though entries are damaged, pruned or long.
func TestBundlesOfDamaged(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, logwriter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Inline: 20 << 20})
	d := newChanging(random(120*manifest.ChunkSize, 1), 2)
	for i := range 30 {
		d.change(1)
		if i == 20 {
			d.change(1500)
		}
		_, err := r.w.Append(t.Context(), d.m, d)
		check(t, err)
	}
	b := object(t, r.s, remotelog.EntryKey(testName, 10))
	b[len(b)-100] ^= 1
	_, err := r.s.Put(t.Context(), remotelog.EntryKey(testName, 10), b, store.Condition{})
	check(t, err)
	check(t, r.s.Delete(t.Context(), remotelog.EntryKey(testName, 12)))
	for number, spoil := range map[uint64]func(b []byte) []byte{
		13: func(b []byte) []byte { return b[:50] },
		14: func(b []byte) []byte { b[13] = 2; return b }, // another version
		15: func([]byte) []byte { return object(t, r.s, remotelog.EntryKey(testName, 16)) },
		17: func(b []byte) []byte { return remotelog.AppendFrame(b, remotelog.KindChunk, []byte("more")) },
	} {
		key := remotelog.EntryKey(testName, number)
		_, err := r.s.Put(t.Context(), key, spoil(object(t, r.s, key)), store.Condition{})
		check(t, err)
	}
	r.restart()
	c, err := r.w.Compact(t.Context(), logwriter.Budget{})
	check(t, err)
	e, _ := entryOf(t, r.s, c.Entry)
	if len(e.Bundles) != 1 || len(e.Bundles[0].Lengths) != 30 {
		t.Fatalf("bundles: %+v", e.Bundles)
	}
	for i, n := range e.Bundles[0].Lengths {
		number := i + 1
		if none := number == 1 || number == 10 || number >= 12 && number <= 15 || number == 17; none != (n == 0) {
			t.Errorf("entry %d: %d bytes", number, n)
		}
	}
	for _, number := range []int{10, 13, 14, 15, 17} {
		if got := log.String(); strings.Count(got, "is in no bundle") != 5 || !strings.Contains(got, fmt.Sprintf("entry=%d ", number)) {
			t.Errorf("entry %d: logged: %s", number, got)
		}
	}
}

// TestBundlesOfNewLog deletes the log under a writer, which begins it anew.
func TestBundlesOfNewLog(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	d := newChanging(random(20*manifest.ChunkSize, 1), 2)
	fill := func(n int) {
		t.Helper()
		for range n {
			d.change(1)
			_, err := r.w.Append(t.Context(), d.m, d)
			check(t, err)
		}
		_, err := compactAll(t.Context(), r.w)
		check(t, err)
	}
	fill(50)
	for _, prefix := range []string{"log/", "packs/", "latest/"} {
		for _, key := range keys(t, r.s, prefix) {
			check(t, r.s.Delete(t.Context(), key))
		}
	}
	_, err := r.w.Refresh(t.Context())
	if !store.IsNotExist(err) {
		t.Fatalf("deleted: %v", err)
	}
	fill(20)
	list := bundlesOf(t, r.s)
	if len(list) == 0 || list[0].First != 1 || list[len(list)-1].End() < 20 {
		t.Errorf("bundles: %+v", list)
	}
}

// TestBundlesOfAnothersLog deletes the log under a writer, and another one of the same owner begins it anew, with as many entries.
func TestBundlesOfAnothersLog(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	d := newChanging(bytes.Repeat([]byte("of text that is easy to compress "), 20*manifest.ChunkSize/32), 2)
	fill := func(w *logwriter.Writer) {
		t.Helper()
		for range 60 {
			d.set(1+d.rnd.IntN(300), append(random(200, d.rnd.Uint64()), make([]byte, pageSize-200)...))
			d.commit()
			_, err := w.Append(t.Context(), d.m, d)
			check(t, err)
		}
	}
	fill(r.w)
	for _, prefix := range []string{"log/", "packs/", "latest/"} {
		for _, key := range keys(t, r.s, prefix) {
			check(t, r.s.Delete(t.Context(), key))
		}
	}
	fill(logwriter.New(r.s, r.s, testName, r.o))
	if err := r.w.RefreshLatest(t.Context()); !errors.Is(err, logwriter.ErrLost) {
		t.Errorf("refreshed: %v", err)
	}
	fill(r.w)
	_, err := r.w.Compact(t.Context(), logwriter.Budget{})
	check(t, err)
	list := bundlesOf(t, r.s)
	if len(list) == 0 || list[0].First != 1 || list[len(list)-1].End() < 100 {
		t.Errorf("bundles: %+v", list)
	}
	sound(t, r.s.Store)
}

// TestPruneBundles prunes entries that bundles have the frames of.
func TestPruneBundles(t *testing.T) {
	var c clock
	c.set(time.Now())
	r := newRig(t, logwriter.Options{Now: c.Now})
	d := newChanging(random(20*manifest.ChunkSize, 1), 2)
	for i := range 60 {
		d.change(1)
		_, err := r.w.Append(t.Context(), d.m, d)
		check(t, err)
		if i%20 == 19 {
			_, err := compactAll(t.Context(), r.w)
			check(t, err)
		}
	}
	list := bundlesOf(t, r.s)
	if len(list) != 3 {
		t.Fatalf("%d bundles", len(list))
	}
	there := func(u remotelog.Bundle) bool {
		_, err := r.s.Head(t.Context(), remotelog.PackKey(testName, u.Pack))
		return err == nil
	}
	all := entries(t, r.s)
	newest := all[len(all)-1]
	pruneTwice(t, r.s, logwriter.Policy{Last: int(newest-list[1].End()) + 2}) // the last of the second bundle, and what follows
	if there(list[0]) || !there(list[1]) || !there(list[2]) {
		t.Errorf("after the first half: %v %v %v", there(list[0]), there(list[1]), there(list[2]))
	}
	sound(t, r.s.Store)
	pruneTwice(t, r.s, logwriter.Policy{Last: int(newest-list[1].Pack.Entry) + 1})
	if there(list[1]) || !there(list[2]) {
		t.Errorf("with none of the second: %v %v", there(list[1]), there(list[2]))
	}
	sound(t, r.s.Store)
	pruneTwice(t, r.s, logwriter.Policy{Last: 1})
	if there(list[2]) {
		t.Error("the newest only: the third is still there")
	}
	sound(t, r.s.Store)
}

// TestBundlingDoesNotStarve lets another process append between the calls of Compact: what there is to rewrite is rewritten nevertheless.
func TestBundlingDoesNotStarve(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	other := logwriter.New(r.s, r.s, testName, r.o)
	d := newChanging(random(20*manifest.ChunkSize, 1), 2)
	freed := 0
	for i := 0; freed == 0; i++ {
		for _, w := range []*logwriter.Writer{other, other, r.w} {
			d.change(5)
			_, err := w.Append(t.Context(), d.m, d)
			check(t, err)
		}
		if r.w.CompactionDue() {
			c, err := r.w.Compact(t.Context(), logwriter.Budget{})
			check(t, err)
			freed += c.Freed
		}
		if i > 200 {
			t.Fatalf("nothing was rewritten for %d entries", len(entries(t, r.s)))
		}
	}
	_ = bundlesOf(t, r.s)
	sound(t, r.s.Store)
}
