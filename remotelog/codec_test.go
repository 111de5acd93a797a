package remotelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

func TestRoundTripOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := entries().Draw(t, "entry")
		b, err := remotelog.EncodeEntry(e)
		if err != nil {
			t.Fatal(err)
		}
		frames := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "frames")
		in := append(bytes.Clone(b), frames...)
		got, length, need, err := remotelog.DecodeEntry(in)
		if err != nil {
			t.Fatal(err)
		}
		if length != len(b) || need != 0 {
			t.Errorf("got a header of %d bytes, %d are needed, want %d", length, need, len(b))
		}
		clear(in) // the result keeps nothing of it
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		again, err := remotelog.EncodeEntry(got)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded differently: %v", err)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		_, _, need, err = remotelog.DecodeEntry(b[:cut])
		if want := len(b); !errors.Is(err, remotelog.ErrShort) || cut < 12 && need != 0 || cut >= 12 && need != want {
			t.Errorf("%d of %d bytes: got %v, %d are needed", cut, want, err, need)
		}
	})
}

func TestLeastEntry(t *testing.T) {
	e := describe(0, 1)
	e.VersionID, e.Generator, e.Writer, e.Sequence, e.Owner.Database = nil, "", "", 0, [16]byte{}
	b, err := remotelog.EncodeEntry(e)
	check(t, err)
	got, _, _, err := remotelog.DecodeEntry(b)
	check(t, err)
	if diff := cmp.Diff(e, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := (&manifest.Manifest{}).Contents(); got.Contents() != want {
		t.Errorf("got contents %v, want %v", got.Contents(), want)
	}
}

func TestFlippedBitsOfEntries(t *testing.T) {
	for name, e := range golden(t) {
		b, err := remotelog.EncodeEntry(e)
		check(t, err)
		step := max(1, len(b)/4096)
		for i := 0; i < len(b); i += step {
			for bit := range 8 {
				b[i] ^= 1 << bit
				if got, _, _, err := remotelog.DecodeEntry(b); err == nil || got != nil {
					t.Fatalf("%s: bit %d of byte %d is flipped: got %v, %v", name, bit, i, got, err)
				}
				b[i] ^= 1 << bit
			}
		}
	}
}

func TestContentsIsThatOfAManifest(t *testing.T) {
	list := make([]manifest.Fingerprint, 5000)
	for i := range list {
		list[i] = sum(i)
	}
	m := &manifest.Manifest{Chunks: list}
	e := &remotelog.Entry{}
	for _, b := range manifest.InlineBlocks(list) {
		e.Blocks = append(e.Blocks, remotelog.Block{Digest: b.Digest})
	}
	if e.Contents() != m.Contents() {
		t.Errorf("got %v, want %v", e.Contents(), m.Contents())
	}
}

func TestCheck(t *testing.T) {
	e, _ := small()
	check(t, e.Check(name, e.Number))
	check(t, e.Check(name, 0))
	wantIs(t, "another number", e.Check(name, e.Number+1), remotelog.ErrCorrupt)
	wantIs(t, "another name", e.Check(name+"x", e.Number), remotelog.ErrCorrupt)
}

func TestSameOwner(t *testing.T) {
	one, two := [16]byte{1}, [16]byte{2}
	for _, c := range []struct {
		a, b remotelog.Owner
		want bool
	}{
		{remotelog.Owner{Spool: one}, remotelog.Owner{Spool: one}, true},
		{remotelog.Owner{Spool: one}, remotelog.Owner{Spool: two}, false},
		{remotelog.Owner{Spool: one, Database: one}, remotelog.Owner{Spool: two, Database: one}, true},
		{remotelog.Owner{Spool: one, Database: one}, remotelog.Owner{Spool: one, Database: two}, true},
		{remotelog.Owner{Spool: one, Database: one}, remotelog.Owner{Spool: two, Database: two}, false},
		{remotelog.Owner{Spool: one, Database: two}, remotelog.Owner{Spool: two, Database: one}, false},
		{remotelog.Owner{}, remotelog.Owner{}, false},
	} {
		if got := c.a.Same(c.b); got != c.want || c.b.Same(c.a) != got {
			t.Errorf("%v, %v: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// TestTooLarge needs more overrides than a header has room for.
func TestTooLarge(t *testing.T) {
	e := describe(16<<30, 7)
	for b := range manifest.BlockCount(manifest.Count(e.Size)) {
		block := remotelog.Block{Digest: sum(b)}
		for place, c := range packed(manifest.BlockChunks, 3) {
			block.Overrides = append(block.Overrides, remotelog.Override{Place: place, Chunk: c})
		}
		e.Blocks = append(e.Blocks, block)
	}
	_, err := remotelog.EncodeEntry(e)
	wantIs(t, "encode", err, remotelog.ErrTooLarge)
	_, _, _, err = remotelog.DecodeEntry(remotelog.EncodeUnchecked(e))
	wantIs(t, "decode", err, remotelog.ErrCorrupt)
	stored := remotelog.Place{Object: remotelog.ObjectID{Entry: 7, Part: 1}, Length: 80000}
	for b := range e.Blocks {
		e.Blocks[b].Overrides, e.Blocks[b].Stored = nil, stored
	}
	_, err = remotelog.EncodeEntry(e)
	check(t, err)
}

// TestSizes prints what FORMAT.md says about sizes, and holds the format to it.
func TestSizes(t *testing.T) {
	e, stored := small()
	size := func(what string, atMost int) {
		t.Helper()
		b, err := remotelog.EncodeEntry(e)
		check(t, err)
		t.Logf("entry, %s: %d bytes", what, len(b))
		if len(b) > atMost {
			t.Errorf("entry, %s: got %d bytes, want at most %d", what, len(b), atMost)
		}
	}
	layered := slices.Clone(e.Blocks[0].Overrides)
	e.Sealed, e.Inline = 1, 1800
	size("94 MB, a page in each of 3 chunks, all of different packs", 400)
	for i := range e.Blocks[0].Overrides {
		c := &e.Blocks[0].Overrides[i].Chunk
		c.Layers = []remotelog.Layer{{Pages: 0xffff, Frame: remotelog.Place{
			Object: remotelog.ObjectID{Entry: e.Number}, Offset: int64(20000 * i), Length: 20000,
		}}}
	}
	e.Inline = 60000
	size("94 MB, 3 whole chunks", 370)
	e.Blocks[0].Overrides, e.Inline = nil, 0
	size("94 MB, none", 300)
	e.Blocks[0].Overrides, e.Inline = layered[:1], 1800
	size("94 MB, a page in 1 chunk", 350)
	for _, length := range []int64{2000, 200_000} {
		e.Bundled, e.Bundles = e.Number-100, nil
		size("the same, with the number of one with bundles", 360)
		for i := range 4 {
			u := remotelog.Bundle{Pack: remotelog.ObjectID{Entry: e.Number - uint64(130*(3-i)), Part: 1, Nonce: uint64(i) + 1}, Sum: sum(i)}
			for range 128 {
				u.Lengths = append(u.Lengths, length)
			}
			u.First = u.Pack.Entry - 128
			e.Bundles = append(e.Bundles, u)
		}
		size(fmt.Sprintf("with bundles of 512 entries of %d bytes", length), 2200)
	}
	e.Bundled, e.Bundles = 0, nil

	per := func(what string, n int) float64 {
		e, _ := many(n, what == "deltas")
		b, err := remotelog.EncodeEntry(e)
		check(t, err)
		e.Blocks[0].Overrides = nil
		without, err := remotelog.EncodeEntry(e)
		check(t, err)
		cost := float64(len(b)-len(without)) / float64(n)
		t.Logf("entry, %d overrides by as many entries before, %s: %.1f bytes each", n, what, cost)
		return cost
	}
	for _, n := range []int{10, 100, 1000} {
		if got := per("whole chunks", n); got > 28 {
			t.Errorf("whole chunks: got %.1f bytes for an override", got)
		}
		if got := per("deltas", n); got > 40 {
			t.Errorf("deltas: got %.1f bytes for an override", got)
		}
	}

	frame := func(what string, chunks []remotelog.Chunk, atMost float64) {
		raw := remotelog.AppendIndex(nil, chunks)
		f := remotelog.AppendFrame(nil, remotelog.KindIndex, raw)
		got := float64(len(f)) / float64(len(chunks))
		t.Logf("index of %d chunks, %s: %d bytes, as a frame %d, %.2f for a chunk", len(chunks), what, len(raw), len(f), got)
		if got > atMost {
			t.Errorf("index, %s: got %.2f bytes for a chunk, want at most %.2f", what, got, atMost)
		}
	}
	frame("in sequence in packs", stored, 20)
	frame("in sequence in packs", packed(manifest.BlockChunks, 4000), 20)
	_, scattered := many(manifest.BlockChunks, false)
	frame("each of another entry", scattered, 25)
	_, scattered = many(manifest.BlockChunks, true)
	frame("each with a layer of another entry on top", scattered, 40)

	for _, n := range []int{10, 100, 1000} {
		e, _ := many(n, true)
		raw := remotelog.AppendPatch(nil, e.Blocks[0].Overrides)
		f := remotelog.AppendFrame(nil, remotelog.KindPatch, raw)
		got := float64(len(f)) / float64(n)
		t.Logf("patch of %d chunks, each with a layer of another entry on top: %d bytes, as a frame %d, %.2f for a chunk", n, len(raw), len(f), got)
		if got > 43 {
			t.Errorf("patch of %d chunks: got %.2f bytes for a chunk", n, got)
		}
	}
	for _, size := range []int{1, 100, 4096, 65536} {
		f := remotelog.AppendFrame(nil, remotelog.KindChunk, content(size, 1))
		t.Logf("frame of %d bytes that cannot be compressed: %d more", size, len(f)-size)
		if len(f)-size > 40 {
			t.Errorf("frame of %d bytes: got %d", size, len(f))
		}
	}
}

// many returns an entry of a database of a whole block and its chunks, n of which, all over it, were written by one entry each:
// the whole chunk or one page.
func many(n int, page bool) (*remotelog.Entry, []remotelog.Chunk) {
	e := describe(manifest.BlockChunks*manifest.ChunkSize, 100000)
	e.Blocks = []remotelog.Block{{
		Stored: remotelog.Place{Object: remotelog.ObjectID{Entry: 4000, Part: 5, Nonce: 0x123456789abcdef}, Offset: 5000000, Length: 77000},
	}}
	list := packed(manifest.BlockChunks, 4000)
	for i := range n {
		place := i * manifest.BlockChunks / n
		c := &list[place]
		c.Sum = sum(1e6 + i)
		at := remotelog.Place{Object: remotelog.ObjectID{Entry: e.Number - uint64(i*7919%n)}, Length: 12000 + int64(i*7919%20000)}
		if page {
			at.Length = 200 + int64(i*7919%1800)
			c.Cover(1<<(i*7919%16), at)
		} else {
			c.Cover(0xffff, at)
		}
		e.Blocks[0].Overrides = append(e.Blocks[0].Overrides, remotelog.Override{Place: place, Chunk: *c})
	}
	e.Blocks[0].Digest = digest(list)
	return e, list
}
