package manifest_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

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
		"no blocks":         dropped(11),
		"blocks long":       replaced(11, longer),
		"blocks short":      replaced(11, shorter),
		"block too many":    replaced(11, func(f *field) { f.data = make([]byte, 32) }),
		"no overrides":      dropped(12),
		"overrides long":    replaced(12, longer),
		"overrides short":   replaced(12, shorter),
		"overrides wrong":   replaced(12, flip),
		"overrides cut":     replaced(12, func(f *field) { f.data = f.data[:17] }),
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
		if num > 1 && num < 13 || num > 15 {
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
		{num: 13, typ: protowire.Fixed32Type, uint: 7},
		{num: 14, typ: protowire.Fixed64Type, uint: 7},
		{num: 15, typ: protowire.BytesType, data: []byte("as in version 1")},
		{num: 32, typ: protowire.VarintType, uint: 1<<64 - 1},
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

func TestDecodeOfOtherVersions(t *testing.T) {
	b, err := manifest.Encode(describe(content(70000)))
	check(t, err)
	for version, words := range map[byte][]string{
		1: {"version 1", "does not read any more", "new snapshot"},
		3: {"version 3", "version 2", "upgrade"},
	} {
		fields := split(t, b)
		fields[0].uint = uint64(version)
		for name, b := range map[string][]byte{
			"otherwise equal":   join(fields),
			"without a check":   joinAll(fields),
			"compressed":        manifest.Compress(join(fields)),
			"nothing like ours": {0x08, version, 0xff, 0xff, 0xff},
		} {
			_, err := manifest.Decode(b)
			wantIs(t, name, err, manifest.ErrVersion)
			for _, word := range words {
				if err != nil && !strings.Contains(err.Error(), word) {
					t.Errorf("version %d, %s: got %q, want %q", version, name, err, word)
				}
			}
		}
	}
}

func TestDecodeOfCheck(t *testing.T) {
	b, err := manifest.Encode(describe(content(1000)))
	check(t, err)
	whole := splitAll(t, b)
	last := len(whole) - 1
	behind := func(f field) []field { return append(slices.Clone(whole), f) }
	for name, c := range map[string]struct {
		fields []field
		want   string
	}{
		"missing":         {whole[:last], "cut short"},
		"not last":        {behind(field{num: 20, typ: protowire.VarintType, uint: 1}), "not the last"},
		"twice":           {behind(whole[last]), "not the last"},
		"first but one":   {slices.Concat(whole[:1], whole[last:], whole[1:last]), "not the last"},
		"long":            {append(whole[:last:last], field{checkField, protowire.BytesType, 0, make([]byte, 9)}), "not the last"},
		"short":           {append(whole[:last:last], field{checkField, protowire.BytesType, 0, whole[last].data[:7]}), "not the last"},
		"empty":           {append(whole[:last:last], field{num: checkField, typ: protowire.BytesType}), "not the last"},
		"of a number":     {append(whole[:last:last], field{num: checkField, typ: protowire.VarintType, uint: 1}), "wire type 0"},
		"of 8 bytes":      {append(whole[:last:last], field{num: checkField, typ: protowire.Fixed64Type, uint: 1}), "wire type 1"},
		"wrong":           {append(whole[:last:last], field{checkField, protowire.BytesType, 0, make([]byte, 8)}), "differs from its own"},
		"of one more":     {slices.Concat(whole[:last], []field{{num: 20, typ: protowire.VarintType}}, whole[last:]), "differs from its own"},
		"of another one":  {append(whole[:last:last], field{checkField, protowire.BytesType, 0, checkOf(nil)}), "differs from its own"},
		"before all else": {slices.Concat(whole[last:], whole[:last]), "begin with a version"},
	} {
		_, err := manifest.Decode(joinAll(c.fields))
		wantIs(t, name, err, manifest.ErrCorrupt)
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, want %q", name, err, c.want)
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
		for bit := range 8 {
			b[i] ^= 1 << bit
			if _, err := manifest.Decode(b); err == nil {
				t.Errorf("decoded with bit %d of byte %d altered", bit, i)
			}
			b[i] ^= 1 << bit
		}
	}
	m, _ := indexed(t)
	blocks, err := manifest.Encode(m)
	check(t, err)
	first := bytes.Index(blocks, m.First)
	for i := range blocks {
		if i > first && i < first+len(m.First) && i%61 != 0 {
			continue // some bytes of the first chunk are enough
		}
		blocks[i] ^= 1 << (i % 8)
		if _, err := manifest.Decode(blocks); err == nil {
			t.Errorf("decoded with byte %d of %d altered", i, len(blocks))
		}
		blocks[i] ^= 1 << (i % 8)
	}
	_, err = manifest.Decode(blocks)
	check(t, err)
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
