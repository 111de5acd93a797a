package manifest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
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
	if want := 2 + 18 + 18; len(b) != want {
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
	for _, n := range []int{0, 1, 255, 256, 257, 1000} {
		m := &manifest.Manifest{}
		var flat []byte
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		for range n {
			f := manifest.Fingerprint{Hi: rng.Uint64(), Lo: rng.Uint64()}
			m.Chunks = append(m.Chunks, f)
			flat, _ = f.AppendBinary(flat)
		}
		if got, want := m.Contents(), manifest.Sum(flat); got != want {
			t.Errorf("%d: got %v, want %v", n, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	other := manifest.Sum([]byte("other"))
	for name, spoil := range map[string]func(m *manifest.Manifest){
		"negative size":        func(m *manifest.Manifest) { m.Size = -1 },
		"most negative size":   func(m *manifest.Manifest) { m.Size = -1 << 63 },
		"size too small":       func(m *manifest.Manifest) { m.Size = 65536 },
		"size too great":       func(m *manifest.Manifest) { m.Size = 131073 },
		"no size":              func(m *manifest.Manifest) { m.Size = 0 },
		"chunk missing":        func(m *manifest.Manifest) { m.Chunks = m.Chunks[:1] },
		"chunk too many":       func(m *manifest.Manifest) { m.Chunks = append(m.Chunks, other) },
		"no chunks":            func(m *manifest.Manifest) { m.Chunks = nil },
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

// replaced returns a change that gives field num another value.
func replaced(num protowire.Number, change func(f *field)) func([]field) []field {
	return func(fields []field) []field {
		for i := range fields {
			if fields[i].num == num {
				change(&fields[i])
			}
		}
		return fields
	}
}

func dropped(num protowire.Number) func([]field) []field {
	return func(fields []field) []field {
		var left []field
		for _, f := range fields {
			if f.num != num {
				left = append(left, f)
			}
		}
		return left
	}
}

func added(f field) func([]field) []field {
	return func(fields []field) []field { return append(fields, f) }
}

func TestDecodeOfWrongFields(t *testing.T) {
	uint := func(v uint64) func(*field) { return func(f *field) { f.uint = v } }
	data := func(b []byte) func(*field) { return func(f *field) { f.data = b } }
	longer := func(f *field) { f.data = append(bytes.Clone(f.data), 0) }
	shorter := func(f *field) { f.data = f.data[:len(f.data)-1] }
	flip := func(f *field) { f.data = bytes.Clone(f.data); f.data[len(f.data)-1] ^= 1 }
	retype := func(f *field) {
		if f.typ == protowire.VarintType {
			f.typ = protowire.Fixed64Type
		} else {
			f.typ = protowire.VarintType
		}
	}
	changes := map[string]func([]field) []field{
		"version 0":         replaced(1, uint(0)),
		"no version":        dropped(1),
		"version last":      func(f []field) []field { return append(f[1:], f[0]) },
		"version retyped":   replaced(1, retype),
		"no header":         dropped(2),
		"header long":       replaced(2, longer),
		"header short":      replaced(2, shorter),
		"header wrong":      replaced(2, flip),
		"no contents":       dropped(3),
		"contents long":     replaced(3, longer),
		"contents short":    replaced(3, shorter),
		"contents wrong":    replaced(3, flip),
		"version id long":   replaced(4, data(make([]byte, 257))),
		"sequence":          replaced(5, uint(1<<63)),
		"sequence greatest": replaced(5, uint(1<<64-1)),
		"no size":           dropped(6),
		"size 0":            replaced(6, uint(0)),
		"size negative":     replaced(6, uint(1<<64-1)),
		"size too great":    replaced(6, uint(1<<41)),
		"size enormous":     replaced(6, uint(1<<63-1)),
		"size off by one":   replaced(6, uint(131073)),
		"seconds":           replaced(7, uint(253402300800)),
		"seconds negative":  replaced(7, uint(1<<64-1)),
		"no seconds":        dropped(7),
		"nanos":             replaced(8, uint(1e9)),
		"generator long":    replaced(9, data(make([]byte, 1025))),
		"generator's UTF-8": replaced(9, data([]byte("\xff"))),
		"writer long":       replaced(10, data(make([]byte, 1025))),
		"writer's UTF-8":    replaced(10, data([]byte("\xff"))),
		"no chunks":         dropped(15),
		"chunks long":       replaced(15, longer),
		"chunks short":      replaced(15, shorter),
		"chunks wrong":      replaced(15, flip),
		"chunks cut":        replaced(15, func(f *field) { f.data = f.data[:16] }),
		"no first":          dropped(16),
		"first long":        replaced(16, longer),
		"first short":       replaced(16, shorter),
		"first wrong":       replaced(16, flip),
		"group":             added(field{num: 20, typ: protowire.StartGroupType}),
		"end of group":      added(field{num: 20, typ: protowire.EndGroupType}),
		"wire type 6":       added(field{num: 20, typ: 6}),
	}
	for num := range protowire.Number(17) {
		changes[fmt.Sprintf("field %d twice", num)] = func(fields []field) []field {
			for _, f := range fields {
				if f.num == num {
					return append(fields, f)
				}
			}
			return append(fields, fields[1])
		}
		if num > 1 && num != 11 && num != 12 && num != 13 && num != 14 {
			changes[fmt.Sprintf("field %d retyped", num)] = replaced(num, retype)
		}
	}
	b, err := manifest.Encode(describe(content(100000)))
	check(t, err)
	if _, err := manifest.Decode(join(split(t, b))); err != nil {
		t.Fatalf("taken apart and put together: %v", err)
	}
	for name, change := range changes {
		m, err := manifest.Decode(join(change(split(t, b))))
		wantIs(t, name, err, manifest.ErrCorrupt)
		if m != nil {
			t.Errorf("%s: got a manifest", name)
		}
	}
}

func TestDecodeSkipsUnknownFields(t *testing.T) {
	want := describe(content(70000))
	b, err := manifest.Encode(want)
	check(t, err)
	fields := split(t, b)
	for i, f := range []field{
		{num: 11, typ: protowire.VarintType, uint: 1<<64 - 1},
		{num: 12, typ: protowire.BytesType, data: []byte("new")},
		{num: 13, typ: protowire.Fixed32Type, uint: 7},
		{num: 14, typ: protowire.Fixed64Type, uint: 7},
		{num: 17, typ: protowire.BytesType},
		{num: 17, typ: protowire.BytesType, data: []byte("again")},
		{num: protowire.MaxValidNumber, typ: protowire.VarintType},
	} {
		at := 1 + i%len(fields)
		fields = append(fields[:at:at], append([]field{f}, fields[at:]...)...)
	}
	got, err := manifest.Decode(join(fields))
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// In any order, but for the first.
	fields = split(t, b)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(fields)-1, func(i, j int) { fields[i+1], fields[j+1] = fields[j+1], fields[i+1] })
	got, err = manifest.Decode(join(fields))
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shuffled (-want +got):\n%s", diff)
	}
}

func TestDecodeOfNewerVersions(t *testing.T) {
	b, err := manifest.Encode(describe(content(70000)))
	check(t, err)
	fields := split(t, b)
	fields[0].uint = 2
	for name, b := range map[string][]byte{
		"otherwise equal":   join(fields),
		"compressed":        manifest.Compress(join(fields)),
		"nothing like ours": {0x08, 0x02, 0xff, 0xff, 0xff},
	} {
		_, err := manifest.Decode(b)
		wantIs(t, name, err, manifest.ErrVersion)
		if err != nil && (!strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "version 1") || !strings.Contains(err.Error(), "upgrade")) {
			t.Errorf("%s: got %q", name, err)
		}
	}
}

func TestDecodeOfPieces(t *testing.T) {
	b, err := manifest.Encode(describe(content(1000)))
	check(t, err)
	packed := manifest.Compress(b)
	for n := range b {
		if _, err := manifest.Decode(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were decoded", n, len(b))
		}
	}
	for n := range packed {
		if _, err := manifest.Decode(packed[:n]); err == nil {
			t.Errorf("the first %d of %d compressed bytes were decoded", n, len(packed))
		}
	}
	for i := range b {
		spoilt := bytes.Clone(b)
		spoilt[i] ^= 0x10
		if m, err := manifest.Decode(spoilt); err == nil {
			// Only what nothing else speaks of may change.
			want := describe(content(1000))
			if m.Size != want.Size || m.Header != want.Header || !bytes.Equal(m.First, want.First) || !slices.Equal(m.Chunks, want.Chunks) {
				t.Errorf("byte %d altered: got %v", i, m)
			}
		}
	}
	for name, tail := range map[string]string{"zeros": "\x00\x00", "text": "hello", "byte": "\x08"} {
		_, err := manifest.Decode(append(bytes.Clone(b), tail...))
		wantIs(t, "raw with "+name+" behind", err, manifest.ErrCorrupt)
		_, err = manifest.Decode(append(bytes.Clone(packed), tail...))
		wantIs(t, "compressed with "+name+" behind", err, manifest.ErrCorrupt)
	}
	_, err = manifest.Decode(nil)
	wantIs(t, "nothing", err, manifest.ErrCorrupt)
	_, err = manifest.Decode(manifest.Compress(nil))
	wantIs(t, "nothing, compressed", err, manifest.ErrCorrupt)
	_, err = manifest.Decode(manifest.Compress(packed))
	wantIs(t, "compressed twice", err, manifest.ErrCorrupt)
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
