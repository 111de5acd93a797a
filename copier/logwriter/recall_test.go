package logwriter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/zeebo/xxh3"

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

// TestGrowthIsRecalled: what decides about compactions outlives the process.
func TestGrowthIsRecalled(t *testing.T) {
	s := mem.New()
	first, second := New(s, s, "replica", Options{}), New(s, s, "replica", Options{})
	first.grown = growth{small: 3, bytes: 1 << 40, raw: 1 << 41, size: 70_000, need: 60_000}
	for i := range 300 {
		id := remotelog.ObjectID{Entry: uint64(i), Part: uint32(i % 3), Nonce: uint64(i%3) << 60}
		first.known[id] = object{size: int64(i) << 30, pages: i, bytes: int64(i) << 20}
	}
	if err := second.Recall(first.Pages()); err != nil {
		t.Fatal(err)
	}
	if second.grown != first.grown || !maps.Equal(second.known, first.known) {
		t.Errorf("got %+v and %d objects", second.grown, len(second.known))
	}
}

// FuzzRecall looks behind the check, which otherwise lets nothing through.
func FuzzRecall(f *testing.F) {
	s := mem.New()
	w := New(s, s, "replica", Options{})
	memorize(w, 3, 3)
	w.grown = growth{small: 3, bytes: 4, raw: 5, size: 6, need: 7}
	w.known[remotelog.ObjectID{Entry: 8}] = object{9, 10, 11}
	w.salvaged = salvage{number: 12, places: map[manifest.Fingerprint]remotelog.Place{
		{Hi: 13}: {Object: remotelog.ObjectID{Entry: 12, Part: 1, Nonce: 14}, Offset: 15, Length: 16},
	}}
	whole := w.Pages()
	f.Add(whole[len(pagesMagic) : len(whole)-8])
	f.Fuzz(func(t *testing.T, b []byte) {
		magic := pagesMagic
		if len(b)%2 > 0 {
			magic = unsealedMagic
		}
		b = append([]byte(magic), b...)
		b = binary.BigEndian.AppendUint64(b, xxh3.Hash(b))
		w := New(s, s, "replica", Options{})
		err := w.Recall(b)
		switch {
		case err == nil:
			again := New(s, s, "replica", Options{})
			if err := again.Recall(w.Pages()); err != nil || again.grown != w.grown || !maps.Equal(again.known, w.known) || again.salvaged.unsealed != w.salvaged.unsealed {
				t.Errorf("what was recalled is not recalled again: %v", err)
			}
		case !errors.Is(err, remotelog.ErrCorrupt):
			t.Error(err)
		}
	})
}
