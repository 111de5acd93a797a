package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/boule-db/boule/manifest"
)

// again encodes and decodes a manifest.
func again(t testing.TB, m *manifest.Manifest) *manifest.Manifest {
	t.Helper()
	b, err := manifest.Encode(m)
	check(t, err)
	got, err := manifest.Decode(b)
	check(t, err)
	return got
}

func TestInlineBlocks(t *testing.T) {
	for _, n := range []int{0, 1, 2, 4095, 4096, 4097, 8192, 8193} {
		list := make([]manifest.Fingerprint, n)
		for i := range list {
			list[i] = sum(i)
		}
		blocks := manifest.InlineBlocks(list)
		if got, want := len(blocks), manifest.BlockCount(n); got != want || want != (n+4095)/4096 {
			t.Errorf("%d: got %d blocks, want %d", n, got, want)
		}
		var places []int
		for b, block := range blocks {
			part := list[b*4096 : min((b+1)*4096, n)]
			if got := manifest.BlockLen(n, b); got != len(part) {
				t.Errorf("%d: block %d has %d places, want %d", n, b, got, len(part))
			}
			if want := manifest.Sum(manifest.AppendList(nil, part)); block.Digest != want || block.Stored != manifest.NoBlock {
				t.Errorf("%d: block %d: got %v, %v, want %v", n, b, block.Digest, block.Stored, want)
			}
			for _, o := range block.Overrides {
				places = append(places, b*4096+o.Place)
				if o.Sum != list[b*4096+o.Place] {
					t.Errorf("%d: block %d, place %d: got %v", n, b, o.Place, o.Sum)
				}
			}
		}
		if len(places) != max(n-1, 0) || n > 1 && (places[0] != 1 || !slices.IsSorted(places)) {
			t.Errorf("%d: got overrides %v", n, places)
		}
		if got := manifest.BlockLen(n, len(blocks)); got != 0 {
			t.Errorf("%d: the block after the last has %d places", n, got)
		}
	}
}

func TestAppendList(t *testing.T) {
	list := manifest.AppendList([]byte("x"), []manifest.Fingerprint{sum(1), sum(2)})
	want, _ := sum(1).AppendBinary([]byte("x"))
	want, _ = sum(2).AppendBinary(want)
	if !bytes.Equal(list, want) {
		t.Errorf("got %x, want %x", list, want)
	}
	list = list[1:]
	manifest.SetAt(list, 1, sum(3))
	if got := []manifest.Fingerprint{manifest.At(list, 0), manifest.At(list, 1)}; got[0] != sum(1) || got[1] != sum(3) {
		t.Errorf("got %v", got)
	}
}

func TestCheckBlock(t *testing.T) {
	for name, n := range map[string]int{"one": 16, "some": 160, "whole": manifest.ChunkSize} {
		b := content(int64(n))
		check(t, manifest.CheckBlock(manifest.Sum(b), b))
		wantIs(t, name+", another", manifest.CheckBlock(sum(1), b), manifest.ErrCorrupt)
		b[n/2]++
		wantIs(t, name+", altered", manifest.CheckBlock(manifest.Sum(content(int64(n))), b), manifest.ErrCorrupt)
	}
	for _, n := range []int64{0, 1, 15, 17, 100, manifest.ChunkSize - 1, manifest.ChunkSize + 1, manifest.ChunkSize + 16} {
		b := content(n)
		wantIs(t, fmt.Sprint(n, " bytes"), manifest.CheckBlock(manifest.Sum(b), b), manifest.ErrCorrupt)
	}
}

// TestFold stores any of the blocks: the list and its digest remain what they are.
func TestFold(t *testing.T) {
	for _, n := range []int{1, 2, 4095, 4096, 4097, 8193} {
		want := large(n, 1000)
		blocks := len(want.Blocks)
		for stored := range 1 << blocks {
			m, s := large(n, 1000), shelf{}
			for b := range blocks {
				if stored>>b&1 != 0 {
					s.fold(t, m, b)
				}
			}
			m.Chunks = nil
			got := again(t, m)
			if got.Whole() != (stored == 0) || (got.Chunks != nil) != (stored == 0) {
				t.Errorf("%d chunks, stored %b: whole: %v, with %d chunks", n, stored, got.Whole(), len(got.Chunks))
			}
			if got.Contents() != want.Contents() {
				t.Errorf("%d chunks, stored %b: got contents %v, want %v", n, stored, got.Contents(), want.Contents())
			}
			list, err := got.List(s.read)
			check(t, err)
			if !slices.Equal(list, want.Chunks) {
				t.Errorf("%d chunks, stored %b: got another list of %d", n, stored, len(list))
			}
			check(t, got.Expand(s.read))
			if !slices.Equal(got.Chunks, want.Chunks) {
				t.Errorf("%d chunks, stored %b: expanded to %d others", n, stored, len(got.Chunks))
			}
			check(t, got.Validate())
		}
	}
}

// TestChunksOrBlocks encodes a list as it encodes the blocks made of it.
func TestChunksOrBlocks(t *testing.T) {
	for _, n := range []int{1, 4097} {
		m := large(n, 0)
		want, err := manifest.Encode(m)
		check(t, err)
		contents := m.Contents()
		m.Blocks = nil
		got, err := manifest.Encode(m)
		check(t, err)
		if !bytes.Equal(got, want) || m.Contents() != contents {
			t.Errorf("%d chunks: encoded differently", n)
		}
	}
}

func TestStoredBlocks(t *testing.T) {
	const n = 10
	list := func(n int) []byte {
		var b []byte
		for i := range n {
			b, _ = sum(i).AppendBinary(b)
		}
		return b
	}
	whole := list(n)
	rest := func(from int) (overrides []manifest.Override) {
		for i := from; i < n; i++ {
			overrides = append(overrides, manifest.Override{Place: i, Sum: sum(i)})
		}
		return overrides
	}
	first := sum(0)
	changed := bytes.Clone(whole)
	manifest.SetAt(changed, 0, sum(77))
	for name, c := range map[string]struct {
		stored    []byte
		overrides []manifest.Override
		first     *manifest.Fingerprint
	}{
		"equal":                {whole, nil, nil},
		"longer":               {list(4096), nil, nil},
		"shorter":              {list(3), rest(3), nil},
		"another first chunk":  {changed, nil, &first},
		"all overridden":       {content(160), rest(0), nil},
		"none":                 {nil, rest(0), nil},
		"none, with the first": {nil, rest(1), &first},
	} {
		block := manifest.Block{Overrides: c.overrides}
		if c.stored != nil {
			block.Stored = manifest.Sum(c.stored)
		}
		before := bytes.Clone(c.stored)
		got, err := block.Apply(c.stored, n, c.first)
		check(t, err)
		if !bytes.Equal(got, whole) {
			t.Errorf("%s: got another list of %d bytes", name, len(got))
		}
		clear(got)
		if !bytes.Equal(c.stored, before) {
			t.Errorf("%s: the stored block was changed", name)
		}
	}
	short := manifest.Block{Stored: manifest.Sum(list(3))}
	got, err := short.Apply(list(3), n, nil)
	check(t, err)
	if !bytes.Equal(got, append(list(3), make([]byte, 16*(n-3))...)) {
		t.Error("what nothing gives is not zero")
	}
	for name, place := range map[string]int{"negative": -1, "beyond": n, "far beyond": 1 << 40} {
		b := manifest.Block{Overrides: []manifest.Override{{Place: place}}}
		_, err := b.Apply(nil, n, nil)
		wantIs(t, name, err, manifest.ErrCorrupt)
	}
	b := manifest.Block{Stored: manifest.Sum(whole)}
	_, err = b.Apply(changed, n, nil)
	wantIs(t, "another block", err, manifest.ErrCorrupt)
	_, err = b.Apply(nil, n, nil)
	wantIs(t, "no block", err, manifest.ErrCorrupt)
}

// TestBlockRefuses reads blocks that are not those of the manifest.
func TestBlockRefuses(t *testing.T) {
	m, s := indexed(t)
	stored := m.Blocks[0].Stored
	good := s[stored]
	for b := range m.Blocks {
		_, err := m.Block(b, s.read)
		check(t, err)
	}
	for name, spoil := range map[string]func(m *manifest.Manifest){
		"cut":                  func(*manifest.Manifest) { s[stored] = good[:manifest.ChunkSize-16] },
		"cut within":           func(*manifest.Manifest) { s[stored] = good[:manifest.ChunkSize-1] },
		"empty":                func(*manifest.Manifest) { s[stored] = nil },
		"long":                 func(*manifest.Manifest) { s[stored] = append(bytes.Clone(good), make([]byte, 16)...) },
		"altered":              func(*manifest.Manifest) { s[stored] = bytes.Clone(good); s[stored][4000]++ },
		"another":              func(m *manifest.Manifest) { s[stored] = s[m.Blocks[1].Stored] },
		"another's name":       func(m *manifest.Manifest) { m.Blocks[0].Stored = m.Blocks[1].Stored },
		"digest":               func(m *manifest.Manifest) { m.Blocks[0].Digest = sum(1) },
		"override missing":     func(m *manifest.Manifest) { m.Blocks[0].Overrides = m.Blocks[0].Overrides[1:] },
		"override altered":     func(m *manifest.Manifest) { m.Blocks[0].Overrides[0].Sum.Lo++ },
		"override out of it":   func(m *manifest.Manifest) { m.Blocks[0].Overrides[0].Place = 4096 },
		"another first chunk":  func(m *manifest.Manifest) { m.First = content(4711) },
		"overrides, no stored": func(m *manifest.Manifest) { m.Blocks[0].Stored = manifest.NoBlock },
	} {
		spoilt := *m
		spoilt.Blocks = slices.Clone(m.Blocks)
		spoilt.Blocks[0].Overrides = slices.Clone(m.Blocks[0].Overrides)
		spoil(&spoilt)
		got, err := spoilt.Block(0, s.read)
		wantIs(t, name, err, manifest.ErrCorrupt)
		all, errAll := spoilt.List(s.read)
		wantIs(t, name+", list", errAll, manifest.ErrCorrupt)
		wantIs(t, name+", expand", spoilt.Expand(s.read), manifest.ErrCorrupt)
		if got != nil || all != nil {
			t.Errorf("%s: got a list", name)
		}
		s[stored] = good
	}
	for _, b := range []int{-1, len(m.Blocks), 1 << 40} {
		_, err := m.Block(b, s.read)
		wantIs(t, fmt.Sprint("block ", b), err, manifest.ErrCorrupt)
	}
	_, err := m.Block(0, nil)
	wantIs(t, "no reader", err, manifest.ErrCorrupt)
	_, err = m.Block(2, nil) // which is not stored
	check(t, err)
	delete(s, stored)
	_, err = m.Block(0, s.read)
	wantIs(t, "missing", err, errNoBlock)
	_, err = m.List(s.read)
	wantIs(t, "missing, list", err, errNoBlock)
	if errors.Is(err, manifest.ErrCorrupt) {
		t.Errorf("missing: got %v", err)
	}
}

// TestShortLastChunk gives the last chunk, which is short, the fingerprint of a whole one.
func TestShortLastChunk(t *testing.T) {
	for _, n := range []int{2, 4096, 4097} {
		for _, missing := range []int64{0, 1} {
			m, s := large(n, missing), shelf{}
			last := len(m.Blocks) - 1
			place := n - 1 - last*manifest.BlockChunks
			set(t, m, s, last, place, manifest.ZeroChunk)
			m.Chunks = nil
			for _, how := range []string{"inline", "override", "stored"} {
				stored := m.Blocks[last]
				switch how {
				case "override":
					m.Blocks[last].Stored = s.put(bytes.Repeat([]byte{7}, 16))
				case "stored":
					list, err := m.Blocks[last].Apply(s[m.Blocks[last].Stored], place+1, firstOf(m, last))
					check(t, err)
					m.Blocks[last] = manifest.Block{Stored: s.put(list), Digest: manifest.Sum(list)}
				}
				b, err := manifest.Encode(m)
				if err == nil {
					_, err = manifest.Decode(b)
				}
				_, errBlock := m.Block(last, s.read)
				switch {
				case missing == 0 && (err != nil || errBlock != nil):
					t.Errorf("%d chunks, %s: got %v, %v", n, how, err, errBlock)
				case missing > 0:
					wantIs(t, fmt.Sprint(n, " chunks, ", how), errBlock, manifest.ErrCorrupt)
					if how != "stored" { // there, nothing tells before the block is read
						wantIs(t, fmt.Sprint(n, " chunks, encode, ", how), err, manifest.ErrCorrupt)
					}
				}
				if how == "override" {
					m.Blocks[last] = stored
				}
			}
		}
	}
}

func firstOf(m *manifest.Manifest, b int) *manifest.Fingerprint {
	if b > 0 {
		return nil
	}
	f := manifest.Sum(m.First)
	return &f
}

// TestDecodeOfWrongDigests gives the right fingerprint to wrong digests.
func TestDecodeOfWrongDigests(t *testing.T) {
	m := large(5000, 0)
	m.Blocks[1].Digest = sum(1)
	b, err := manifest.Encode(m)
	check(t, err)
	_, err = manifest.Decode(b)
	wantIs(t, "nothing stored", err, manifest.ErrCorrupt)

	m, s := indexed(t)
	m.Blocks[2].Digest = sum(1)
	m = again(t, m)
	_, err = m.Block(2, s.read)
	wantIs(t, "not stored", err, manifest.ErrCorrupt)
	m.Blocks[2].Digest = m.Blocks[1].Digest
	_, err = m.List(s.read)
	wantIs(t, "of another", err, manifest.ErrCorrupt)
}

// TestListIsNotTrusted asks for the list of a manifest that only claims to be large.
func TestListIsNotTrusted(t *testing.T) {
	m := describe(content(manifest.ChunkSize))
	m.Size, m.Chunks = manifest.MaxSize, nil
	m.Blocks = make([]manifest.Block, manifest.BlockCount(manifest.Count(m.Size)))
	for b := range m.Blocks {
		m.Blocks[b] = manifest.Block{Stored: sum(b), Digest: sum(b)}
	}
	m = again(t, m)
	n := allocated(func() {
		_, err := m.List(shelf{}.read)
		wantIs(t, "nothing there", err, errNoBlock)
	})
	if n > 1<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

func BenchmarkBlock(b *testing.B) {
	m, s := indexed(b)
	rng := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		_, err := m.Block(rng.IntN(len(m.Blocks)), s.read)
		check(b, err)
	}
}
