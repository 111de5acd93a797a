package logwriter

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store/mem"
)

func memorize(w *Writer, chunks int, seed uint64) map[int]knownChunk {
	rng := rand.New(rand.NewPCG(seed, 1))
	known := map[int]knownChunk{}
	for range chunks {
		data := make([]byte, 1+rng.IntN(manifest.ChunkSize))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		k := knownChunk{rng.IntN(1 << 20), knownPages{manifest.Sum(data), sumPages(data)}}
		known[k.chunk] = k
		w.pages.set(&k)
	}
	return known
}

func TestPagesAreRecalled(t *testing.T) {
	s := mem.New()
	first, second := New(s, s, "replica", Options{}), New(s, s, "replica", Options{})
	known := memorize(first, 200, 1)
	if err := second.Recall(first.Pages()); err != nil {
		t.Fatal(err)
	}
	for number, k := range known {
		if got := second.pages.get(number, k.sum); got == nil || *got != k.pages {
			t.Errorf("chunk %d: got %v", number, got)
		}
	}
	few := New(s, s, "replica", Options{Remember: 10}) // those that were used last
	if err := few.Recall(first.Pages()); err != nil {
		t.Fatal(err)
	}
	if n := few.pages.chunks.Len(); n != 10 {
		t.Errorf("%d chunks are remembered, of 10", n)
	}
	if !bytes.HasSuffix(few.Pages()[:len(few.Pages())-8], first.Pages()[len(first.Pages())-8-300:len(first.Pages())-8]) {
		t.Error("others are remembered than those used last")
	}
	if got := New(s, s, "replica", Options{}).Pages(); second.Recall(got) != nil {
		t.Error("nothing at all is not recalled")
	}
}

func TestDamagedPagesAreNotRecalled(t *testing.T) {
	s := mem.New()
	w := New(s, s, "replica", Options{})
	memorize(w, 3, 2)
	whole := w.Pages()
	fresh := New(s, s, "replica", Options{})
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		if err := fresh.Recall(damaged); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Fatalf("byte %d changed: got %v", i, err)
		}
		if err := fresh.Recall(whole[:i]); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Fatalf("cut at %d: got %v", i, err)
		}
	}
	if fresh.pages.chunks.Len() > 0 {
		t.Error("something damaged is remembered")
	}
}

func FuzzRecall(f *testing.F) {
	s := mem.New()
	w := New(s, s, "replica", Options{})
	memorize(w, 3, 3)
	f.Add(w.Pages())
	f.Fuzz(func(t *testing.T, b []byte) {
		w := New(s, s, "replica", Options{})
		if err := w.Recall(b); err != nil && !errors.Is(err, remotelog.ErrCorrupt) {
			t.Error(err)
		}
	})
}
