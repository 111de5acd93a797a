package manifest_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
)

var sizes = []int64{0, 1, 99, 100, 4096, 65535, 65536, 65537, 131072, 200000}

func TestRoundTrip(t *testing.T) {
	for _, size := range sizes {
		m := describe(content(size))
		b, err := manifest.Encode(m)
		check(t, err)
		for name, b := range map[string][]byte{"raw": b, "compressed": manifest.Compress(b)} {
			in := bytes.Clone(b)
			got, err := manifest.Decode(in)
			check(t, err)
			clear(in) // the result keeps nothing of it
			if diff := cmp.Diff(m, got); diff != "" {
				t.Errorf("%d bytes, %s (-want +got):\n%s", size, name, diff)
			}
			again, err := manifest.Encode(got)
			check(t, err)
			raw, err := manifest.Encode(m)
			check(t, err)
			if !bytes.Equal(again, raw) {
				t.Errorf("%d bytes, %s: encoded differently", size, name)
			}
		}
	}
}

func TestLeastManifest(t *testing.T) {
	m := &manifest.Manifest{Header: manifest.HeaderSum(nil)}
	b, err := manifest.Encode(m)
	check(t, err)
	got, err := manifest.Decode(b)
	check(t, err)
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := 2 + 18 + 18 + 11; len(b) != want {
		t.Errorf("got %d bytes, want %d", len(b), want)
	}
}

func TestRoundTripOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := describe(content(rapid.Int64Range(0, 300000).Draw(t, "size")))
		m.VersionID = rapid.SliceOfN(rapid.Byte(), 0, manifest.MaxVersionID).Draw(t, "id")
		if len(m.VersionID) == 0 {
			m.VersionID = nil
		}
		m.Sequence = rapid.Uint64Range(0, manifest.MaxSequence).Draw(t, "sequence")
		m.SourceTime = time.Time{}
		if rapid.Bool().Draw(t, "has time") {
			m.SourceTime = time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
		}
		m.Generator = rapid.StringN(-1, -1, manifest.MaxString).Draw(t, "generator")
		m.Writer = rapid.StringN(-1, -1, manifest.MaxString).Draw(t, "writer")
		b, err := manifest.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := manifest.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestContents(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 4095, 4096, 4097, 8192, 8193} {
		m := &manifest.Manifest{}
		var digests, flat []byte
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		for range n {
			f := manifest.Fingerprint{Hi: rng.Uint64(), Lo: rng.Uint64()}
			m.Chunks = append(m.Chunks, f)
			if flat, _ = f.AppendBinary(flat); len(flat) == manifest.ChunkSize {
				digests, _ = manifest.Sum(flat).AppendBinary(digests)
				flat = nil
			}
		}
		if len(flat) > 0 {
			digests, _ = manifest.Sum(flat).AppendBinary(digests)
		}
		if got, want := m.Contents(), manifest.Sum(digests); got != want {
			t.Errorf("%d: got %v, want %v", n, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	other := manifest.Sum([]byte("other"))
	for name, spoil := range map[string]func(m *manifest.Manifest){
		"negative size":      func(m *manifest.Manifest) { m.Size = -1 },
		"most negative size": func(m *manifest.Manifest) { m.Size = -1 << 63 },
		"size too small":     func(m *manifest.Manifest) { m.Size = 65536 },
		"size too great":     func(m *manifest.Manifest) { m.Size = 131073 },
		"no size":            func(m *manifest.Manifest) { m.Size = 0 },
		"chunk missing":      func(m *manifest.Manifest) { m.Chunks = m.Chunks[:1] },
		"chunk too many":     func(m *manifest.Manifest) { m.Chunks = append(m.Chunks, other) },
		"no chunks":          func(m *manifest.Manifest) { m.Chunks, m.Blocks = nil, nil },
		"block missing":      func(m *manifest.Manifest) { m.Blocks = []manifest.Block{} },
		"block too many":     func(m *manifest.Manifest) { m.Blocks = append(m.Blocks, m.Blocks[0]) },
		"no digest":          func(m *manifest.Manifest) { m.Blocks[0] = manifest.Block{Stored: other} },
		"stored as it is":    func(m *manifest.Manifest) { m.Blocks[0].Stored = m.Blocks[0].Digest },
		"override of first":  func(m *manifest.Manifest) { m.Blocks[0].Overrides[0].Place = 0 },
		"override negative":  func(m *manifest.Manifest) { m.Blocks[0].Overrides[0].Place = -1 },
		"override beyond":    func(m *manifest.Manifest) { m.Blocks[0].Overrides[0].Place = 2 },
		"override twice": func(m *manifest.Manifest) {
			m.Blocks[0].Overrides = append(m.Blocks[0].Overrides, m.Blocks[0].Overrides[0])
		},
		"first chunk short":    func(m *manifest.Manifest) { m.First = m.First[:65535] },
		"first chunk long":     func(m *manifest.Manifest) { m.First = append(m.First, 0) },
		"no first chunk":       func(m *manifest.Manifest) { m.First = nil },
		"first chunk altered":  func(m *manifest.Manifest) { m.First[65535]++ },
		"first fingerprint":    func(m *manifest.Manifest) { m.Chunks[0] = other },
		"header":               func(m *manifest.Manifest) { m.Header = other },
		"header bytes":         func(m *manifest.Manifest) { m.First[0]++; m.Chunks[0] = manifest.Sum(m.First) },
		"short but well known": func(m *manifest.Manifest) { m.Chunks[1] = manifest.ZeroChunk },
		"sequence":             func(m *manifest.Manifest) { m.Sequence = 1 << 63 },
		"version id":           func(m *manifest.Manifest) { m.VersionID = make([]byte, 257) },
		"generator":            func(m *manifest.Manifest) { m.Generator = strings.Repeat("x", 1025) },
		"generator's UTF-8":    func(m *manifest.Manifest) { m.Generator = "\xff" },
		"writer":               func(m *manifest.Manifest) { m.Writer = strings.Repeat("x", 1025) },
		"writer's UTF-8":       func(m *manifest.Manifest) { m.Writer = "\xff" },
		"time before 1970":     func(m *manifest.Manifest) { m.SourceTime = time.Unix(-1, 0) },
		"time after 9999":      func(m *manifest.Manifest) { m.SourceTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		m := describe(content(100000))
		check(t, m.Validate())
		spoil(m)
		wantIs(t, name, m.Validate(), manifest.ErrCorrupt)
		b, err := manifest.Encode(m)
		wantIs(t, "Encode: "+name, err, manifest.ErrCorrupt)
		if b != nil {
			t.Errorf("%s: was encoded", name)
		}
	}
	m := describe(content(100000))
	m.Size = manifest.MaxSize + 1
	wantIs(t, "too large", m.Validate(), manifest.ErrTooLarge)
	_, err := manifest.Encode(m)
	wantIs(t, "too large", err, manifest.ErrTooLarge)
}

func TestMostOverrides(t *testing.T) {
	m := large(manifest.MaxOverrides+1, 0)
	overrides := 0
	for i := range m.Blocks {
		overrides += len(m.Blocks[i].Overrides)
	}
	if overrides != manifest.MaxOverrides {
		t.Fatalf("got %d overrides", overrides)
	}
	check(t, m.Validate())
	chunks := *m
	chunks.Blocks = nil
	check(t, chunks.Validate())
	m = large(manifest.MaxOverrides+2, 0)
	wantIs(t, "blocks", m.Validate(), manifest.ErrCorrupt)
	m.Blocks = nil
	wantIs(t, "chunks", m.Validate(), manifest.ErrCorrupt)
}

// TestGreatestManifest encodes a manifest in which everything is as long as can be.
func TestGreatestManifest(t *testing.T) {
	m := describe(content(manifest.ChunkSize))
	m.Size, m.Chunks = manifest.MaxSize, nil
	m.VersionID = make([]byte, manifest.MaxVersionID)
	m.Sequence = manifest.MaxSequence
	m.SourceTime = time.Unix(253402300799, 999999999).UTC()
	m.Generator = strings.Repeat("g", manifest.MaxString)
	m.Writer = strings.Repeat("w", manifest.MaxString)
	m.Blocks = make([]manifest.Block, manifest.BlockCount(manifest.Count(m.Size)))
	each := manifest.MaxOverrides / len(m.Blocks)
	for b := range m.Blocks {
		m.Blocks[b].Stored, m.Blocks[b].Digest = sum(b), sum(-b-1)
		for i := range each {
			m.Blocks[b].Overrides = append(m.Blocks[b].Overrides, manifest.Override{Place: (i + 1) * (manifest.BlockChunks/each - 1), Sum: sum(i)})
		}
	}
	b, err := manifest.Encode(m)
	check(t, err)
	t.Logf("%d bytes, of which a manifest may have %d", len(b), manifest.MaxManifest)
	got, err := manifest.Decode(b)
	check(t, err)
	if got.Contents() != m.Contents() || len(got.Blocks) != len(m.Blocks) || got.Chunks != nil {
		t.Errorf("got %d blocks, %d chunks", len(got.Blocks), len(got.Chunks))
	}
}

func BenchmarkEncode(b *testing.B) {
	m := describe(content(16 << 20))
	for b.Loop() {
		_, err := manifest.Encode(m)
		check(b, err)
	}
}

func BenchmarkDecode(b *testing.B) {
	raw, err := manifest.Encode(describe(content(16 << 20)))
	check(b, err)
	for b.Loop() {
		_, err := manifest.Decode(raw)
		check(b, err)
	}
}
