package remotelog_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden returns entries whose bytes must never change while the version is 1.
func golden(testing.TB) map[string]*remotelog.Entry {
	small, _ := small()
	return map[string]*remotelog.Entry{"empty.entry": describe(0, 1), "small.entry": small, "large.entry": large(), "bundles.entry": bundled(), "sealed.entry": whole()}
}

// whole returns an entry that says how long its object is, and which packs have a seal.
func whole() *remotelog.Entry {
	e, _ := small()
	e.Sealed, e.Inline = 4321, 1800
	return e
}

// large returns an entry of a database of three blocks. The first is stored, patched and has overrides of all kinds, the second is stored
// as it is, the third is not stored and has three chunks, the last of them short.
func large() *remotelog.Entry {
	e := describe((2*manifest.BlockChunks+2)*manifest.ChunkSize+5000, 300)
	e.Takeover = true
	pack := remotelog.ObjectID{Entry: 290, Part: 2, Nonce: 0xfedcba9876543210}
	older := remotelog.ObjectID{Entry: 17, Part: 1, Nonce: 0x0123456789abcdef}
	own := remotelog.ObjectID{Entry: 300}
	first := packed(manifest.BlockChunks, 200)
	e.Blocks = []remotelog.Block{
		{
			Stored: remotelog.Place{Object: pack, Offset: 1 << 20, Length: 80000},
			Patch:  remotelog.Place{Object: remotelog.ObjectID{Entry: 297}, Offset: 4000, Length: 300},
		},
		{Digest: sum(2), Stored: remotelog.Place{Object: pack, Offset: 1<<20 + 80000, Length: 81000}},
		{},
	}
	override(e, 0, first, 0, 0x0003, remotelog.Place{Object: own, Length: 900})
	override(e, 0, first, 1, 0x8000, remotelog.Place{Object: own, Length: 900})
	override(e, 0, first, 77, 0xffff, remotelog.Place{Object: own, Offset: 900, Length: 30000})
	for page := range 16 {
		first[2000].Cover(1<<page, remotelog.Place{Object: remotelog.ObjectID{Entry: uint64(280 + page)}, Length: 400})
	}
	override(e, 0, first, 2000, 0x0001, remotelog.Place{Object: remotelog.ObjectID{Entry: 299}, Length: 500})
	first[4095] = remotelog.Chunk{Sum: manifest.ZeroChunk}
	e.Blocks[0].Overrides = append(e.Blocks[0].Overrides, remotelog.Override{Place: 4095, Chunk: first[4095]})
	e.Blocks[0].Digest = digest(first)

	last := []remotelog.Chunk{
		{Sum: manifest.ZeroChunk},
		{Sum: sum(5), Layers: []remotelog.Layer{{Frame: remotelog.Place{Object: older, Offset: 8 << 20, Length: 65536}, Pages: 0xffff}}},
		{Sum: sum(6), Layers: []remotelog.Layer{
			{Frame: remotelog.Place{Object: older, Offset: 7 << 20, Length: 5000}, Pages: 1},
			{Frame: remotelog.Place{Object: own, Offset: 30900, Length: 700}, Pages: 2},
		}},
	}
	for place, c := range last {
		e.Blocks[2].Overrides = append(e.Blocks[2].Overrides, remotelog.Override{Place: place, Chunk: c})
	}
	e.Blocks[2].Digest = digest(last)
	return e
}

// bundled returns an entry with two bundles of its own, of which one has nothing of its second entry, and one that was made for an entry before it.
func bundled() *remotelog.Entry {
	e, _ := small()
	e.Bundled = 4600
	pack := remotelog.ObjectID{Entry: e.Number, Part: 1, Nonce: 0xfedcba9876543210}
	next := pack
	next.Part = 2
	e.Bundles = []remotelog.Bundle{
		{Pack: remotelog.ObjectID{Entry: 4600, Part: 1, Nonce: 7}, Sum: sum(-3), First: 4500, Lengths: []int64{2000, 1900, 2100}},
		{Pack: pack, Sum: sum(-4), First: 4600, Lengths: []int64{1 << 20, 0, 300, 70000}},
		{Pack: next, Sum: sum(-5), First: 4604, Lengths: []int64{5}},
	}
	return e
}

func goldenDeltas() []remotelog.Delta {
	text := bytes.Repeat([]byte("a page of a database, "), 1000)
	return []remotelog.Delta{
		{Chunk: 0, Pages: 0x0001, Data: text[:4096]},
		{Chunk: 70000, Pages: 0x8002, Data: text[:8192]},
		{Chunk: 70001, Pages: 0x0006, Data: text[:5000]},
	}
}

func goldenIndex() []remotelog.Chunk { _, stored := small(); return stored[700:] }

func goldenPatch() []remotelog.Override {
	return []remotelog.Override{
		{Place: 3, Chunk: goldenIndex()[5]},
		{Place: 4, Chunk: remotelog.Chunk{Sum: manifest.ZeroChunk}},
		{Place: 4000, Chunk: goldenIndex()[7]},
	}
}

func goldenChunk() []byte { return bytes.Repeat([]byte("a chunk of a database, "), 1000) }

// goldenFrames are frames whose raw content, too, must never change.
func goldenFrames() map[string][]byte {
	return map[string][]byte{
		"index.frame": remotelog.AppendFrame(nil, remotelog.KindIndex, remotelog.AppendIndex(nil, goldenIndex())),
		"patch.frame": remotelog.AppendFrame(nil, remotelog.KindPatch, remotelog.AppendPatch(nil, goldenPatch())),
		"delta.frame": remotelog.AppendFrame(nil, remotelog.KindDelta, remotelog.AppendDeltas(nil, goldenDeltas())),
		"chunk.frame": remotelog.AppendFrame(nil, remotelog.KindChunk, goldenChunk()),
		"as-is.frame": remotelog.AppendFrame(nil, remotelog.KindChunk, content(5000, 1)),
	}
}

// file returns the golden file, which with -update is made of b.
func file(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		check(t, os.WriteFile(path, b, 0o644))
	}
	want, err := os.ReadFile(path)
	check(t, err)
	if !bytes.Equal(b, want) {
		t.Errorf("%s: encoded differently", name)
	}
	return want
}

func TestGoldenEntries(t *testing.T) {
	for name, e := range golden(t) {
		b, err := remotelog.EncodeEntry(e)
		check(t, err)
		got, length, _, err := remotelog.DecodeEntry(file(t, name, b))
		check(t, err)
		if diff := cmp.Diff(e, got); diff != "" || length != len(b) {
			t.Errorf("%s, %d bytes (-want +got):\n%s", name, length, diff)
		}
	}
}

// TestGoldenFrames also fails if a new version of the compressor makes other bytes. Then, and only if what
// is in the old files can still be decoded, they may be written anew.
func TestGoldenFrames(t *testing.T) {
	frames := map[string][]byte{}
	for name, b := range goldenFrames() {
		frames[name] = file(t, name, b)
	}
	raw, err := remotelog.DecodeFrame(frames["index.frame"], remotelog.KindIndex)
	check(t, err)
	index, err := remotelog.DecodeIndex(raw)
	check(t, err)
	if diff := cmp.Diff(goldenIndex(), index); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	raw, err = remotelog.DecodeFrame(frames["patch.frame"], remotelog.KindPatch)
	check(t, err)
	patch, err := remotelog.DecodePatch(raw)
	check(t, err)
	if diff := cmp.Diff(goldenPatch(), patch); diff != "" {
		t.Errorf("patch (-want +got):\n%s", diff)
	}
	raw, err = remotelog.DecodeFrame(frames["delta.frame"], remotelog.KindDelta)
	check(t, err)
	deltas, err := remotelog.DecodeDeltas(raw)
	check(t, err)
	if diff := cmp.Diff(goldenDeltas(), deltas); diff != "" {
		t.Errorf("deltas (-want +got):\n%s", diff)
	}
	for name, want := range map[string][]byte{"chunk.frame": goldenChunk(), "as-is.frame": content(5000, 1)} {
		raw, err = remotelog.DecodeFrame(frames[name], remotelog.KindChunk)
		check(t, err)
		if !bytes.Equal(raw, want) {
			t.Errorf("%s: got %d other bytes", name, len(raw))
		}
	}
}

func TestGoldenGarbage(t *testing.T) {
	got, err := remotelog.DecodeGarbage(name, file(t, "garbage.list", remotelog.EncodeGarbage(name, garbage())))
	check(t, err)
	if diff := cmp.Diff(garbage(), got, cmp.AllowUnexported(remotelog.Pruned{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGoldenPruned(t *testing.T) {
	p := pruned()
	got, err := remotelog.DecodePruned(name, file(t, "pruned.list", remotelog.EncodePruned(name, p)))
	check(t, err)
	if got.Unlisted != p.Unlisted || !slices.Equal(got.Runs(), p.Runs()) {
		t.Errorf("got %v, want %v", got, p)
	}
}
