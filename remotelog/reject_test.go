package remotelog_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// TestEntriesThatBreakRules must neither be encoded nor decoded.
func TestEntriesThatBreakRules(t *testing.T) {
	type (
		entry    = remotelog.Entry
		override = remotelog.Override
	)
	chunk := func(e *entry) *remotelog.Chunk { return &e.Blocks[0].Overrides[1].Chunk }
	frame := func(e *entry) *remotelog.Place { return &chunk(e).Layers[1].Frame }
	last := func(e *entry) *remotelog.Chunk { return &e.Blocks[2].Overrides[2].Chunk }
	for name, spoil := range map[string]func(e *entry){
		"no name":                  func(e *entry) { e.Name = manifest.Fingerprint{} },
		"number 0":                 func(e *entry) { e.Number = 0 },
		"number too great":         func(e *entry) { e.Number = remotelog.MaxNumber + 1 },
		"number enormous":          func(e *entry) { e.Number = math.MaxUint64 },
		"no previous":              func(e *entry) { e.Previous = manifest.Fingerprint{} },
		"previous of the first":    func(e *entry) { *e = *describe(0, 1); e.Previous = sum(1) },
		"no spool":                 func(e *entry) { e.Owner.Spool = [16]byte{} },
		"not appended":             func(e *entry) { e.Appended = time.Time{} },
		"appended before 1970":     func(e *entry) { e.Appended = time.Unix(-1, 0).UTC() },
		"appended after 9999":      func(e *entry) { e.Appended = time.Unix(253402300800, 0).UTC() },
		"source time before 1970":  func(e *entry) { e.SourceTime = time.Unix(-1, 0).UTC() },
		"source time after 9999":   func(e *entry) { e.SourceTime = time.Unix(253402300800, 0).UTC() },
		"no header":                func(e *entry) { e.Header = manifest.Fingerprint{} },
		"version id long":          func(e *entry) { e.VersionID = make([]byte, manifest.MaxVersionID+1) },
		"sequence":                 func(e *entry) { e.Sequence = manifest.MaxSequence + 1 },
		"size negative":            func(e *entry) { e.Size = -1 },
		"size too great":           func(e *entry) { e.Size = manifest.MaxSize + 1 },
		"size of another page":     func(e *entry) { e.Size += manifest.ChunkSize - 5000 - 4096 },
		"generator long":           func(e *entry) { e.Generator = strings.Repeat("x", manifest.MaxString+1) },
		"generator's UTF-8":        func(e *entry) { e.Generator = "\xff" },
		"writer long":              func(e *entry) { e.Writer = strings.Repeat("x", manifest.MaxString+1) },
		"writer's UTF-8":           func(e *entry) { e.Writer = "\xff" },
		"sealed from too far on":   func(e *entry) { e.Sealed = e.Number + 2 },
		"sealed, enormous":         func(e *entry) { e.Sealed = math.MaxUint64 },
		"inline, not sealed":       func(e *entry) { e.Inline = 1 },
		"inline negative":          func(e *entry) { e.Sealed, e.Inline = 1, -1 },
		"inline too much":          func(e *entry) { e.Sealed, e.Inline = 1, remotelog.MaxOffset+1 },
		"no blocks":                func(e *entry) { e.Blocks = nil },
		"block missing":            func(e *entry) { e.Blocks = e.Blocks[:2] },
		"block too many":           func(e *entry) { e.Blocks = append(e.Blocks, e.Blocks[1]) },
		"no digest":                func(e *entry) { e.Blocks[1].Digest = manifest.Fingerprint{} },
		"neither stored nor whole": func(e *entry) { e.Blocks[1].Stored = remotelog.Place{} },
		"override missing":         func(e *entry) { e.Blocks[2].Overrides = e.Blocks[2].Overrides[1:] },
		"override twice":           func(e *entry) { e.Blocks[0].Overrides[1].Place = e.Blocks[0].Overrides[0].Place },
		"overrides not in order":   func(e *entry) { o := e.Blocks[0].Overrides; o[0].Place, o[1].Place = o[1].Place, o[0].Place },
		"override negative":        func(e *entry) { e.Blocks[0].Overrides[0].Place = -1 },
		"override out of it":       func(e *entry) { e.Blocks[0].Overrides[4].Place = manifest.BlockChunks },
		"override behind the end": func(e *entry) {
			e.Blocks[2].Stored = e.Blocks[1].Stored
			e.Blocks[2].Overrides = []override{{Place: 3, Chunk: *last(e)}}
		},
		"zeros somewhere":         func(e *entry) { chunk(e).Sum = manifest.ZeroChunk },
		"chunk nowhere":           func(e *entry) { chunk(e).Layers = nil },
		"last chunk zeros":        func(e *entry) { *last(e) = remotelog.Chunk{Sum: manifest.ZeroChunk} },
		"page missing":            func(e *entry) { chunk(e).Layers[1].Pages = 0; chunk(e).Layers = chunk(e).Layers[:1] },
		"layer without pages":     func(e *entry) { chunk(e).Layers[1].Pages = 0 },
		"layer too many":          func(e *entry) { chunk(e).Layers = append(chunk(e).Layers, remotelog.Layer{Frame: *frame(e)}) },
		"page in two layers":      func(e *entry) { chunk(e).Layers[1].Pages = 0xc000 },
		"all pages in two layers": func(e *entry) { chunk(e).Layers[0].Pages, chunk(e).Layers[1].Pages = 0xffff, 0xffff },
		"17 layers": func(e *entry) {
			chunk(e).Layers = nil
			for page := range 17 {
				chunk(e).Layers = append(chunk(e).Layers, remotelog.Layer{Frame: remotelog.Place{Object: remotelog.ObjectID{Entry: 1}, Length: 100}, Pages: 1 << (page % 16)})
			}
		},
		"last chunk: page too many":   func(e *entry) { last(e).Layers[1].Pages = 6 },
		"last chunk: page missing":    func(e *entry) { last(e).Layers = last(e).Layers[:1] },
		"last chunk: another page":    func(e *entry) { last(e).Layers[1].Pages = 4 },
		"last chunk: all pages":       func(e *entry) { last(e).Layers[1].Pages = 0xfffe },
		"frame of no entry":           func(e *entry) { frame(e).Object.Entry = 0 },
		"frame of a later entry":      func(e *entry) { frame(e).Object.Entry = e.Number + 1 },
		"pack of a later entry":       func(e *entry) { e.Blocks[1].Stored.Object.Entry = e.Number + 1 },
		"entry with a nonce":          func(e *entry) { frame(e).Object.Nonce = 1 },
		"offset negative":             func(e *entry) { frame(e).Offset = -1 },
		"offset most negative":        func(e *entry) { frame(e).Offset = math.MinInt64 },
		"offset too great":            func(e *entry) { frame(e).Offset = remotelog.MaxOffset - frame(e).Length + 1 },
		"offset enormous":             func(e *entry) { frame(e).Offset = math.MaxInt64 },
		"length 0":                    func(e *entry) { frame(e).Length = 0 },
		"length of a head":            func(e *entry) { frame(e).Length = remotelog.FrameHead },
		"length negative":             func(e *entry) { frame(e).Length = -1 },
		"length too great":            func(e *entry) { frame(e).Length = remotelog.FrameHead + remotelog.MaxDelta + 1 },
		"stored block: too long":      func(e *entry) { e.Blocks[1].Stored.Length = remotelog.MaxFrame + 1 },
		"patch: too long":             func(e *entry) { e.Blocks[0].Patch.Length = remotelog.MaxFrame + 1 },
		"patch: of a later entry":     func(e *entry) { e.Blocks[0].Patch.Object.Entry = e.Number + 1 },
		"patch: no length":            func(e *entry) { e.Blocks[0].Patch.Length = 0 },
		"patched, but not stored":     func(e *entry) { e.Blocks[2].Patch = e.Blocks[0].Patch },
		"stored block: no length":     func(e *entry) { e.Blocks[1].Stored.Length = 0 },
		"stored block: offset":        func(e *entry) { e.Blocks[1].Stored.Offset = -1 },
		"stored block: of no entry":   func(e *entry) { e.Blocks[1].Stored.Object.Entry = 0 },
		"stored block: another nonce": func(e *entry) { e.Blocks[1].Stored.Object.Part = 0 },
	} {
		e := large()
		spoil(e)
		// The bytes say only which pages the layers above the first have.
		wantBroken(t, name, e, name != "page in two layers")
	}
	b, err := remotelog.EncodeEntry(large())
	check(t, err)
	if !bytes.Equal(b, remotelog.EncodeUnchecked(large())) {
		t.Error("unchecked: encoded differently")
	}
}

// wantBroken fails unless e can't be encoded, and what it would be, if its bytes say what is wrong, not decoded.
func wantBroken(t *testing.T, name string, e *remotelog.Entry, inBytes bool) {
	t.Helper()
	b, err := remotelog.EncodeEntry(e)
	wantIs(t, name+", encode", err, remotelog.ErrCorrupt)
	if b != nil {
		t.Errorf("%s: got bytes", name)
	}
	if !inBytes {
		return
	}
	e, _, _, err = remotelog.DecodeEntry(remotelog.EncodeUnchecked(e))
	wantIs(t, name+", decode", err, remotelog.ErrCorrupt)
	if e != nil {
		t.Errorf("%s: got an entry", name)
	}
}

// A field is one field of an encoded message, to be put together wrongly.
type field struct {
	num  protowire.Number
	typ  protowire.Type
	uint uint64
	data []byte
}

func (f field) append(b []byte) []byte {
	b = protowire.AppendTag(b, f.num, f.typ)
	switch f.typ {
	case protowire.VarintType:
		return protowire.AppendVarint(b, f.uint)
	case protowire.BytesType:
		return protowire.AppendBytes(b, f.data)
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(b, uint32(f.uint))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(b, f.uint)
	}
	return b
}

const checkField = 31

// split takes a header apart, and leaves out its check.
func split(t testing.TB, b []byte) []field {
	t.Helper()
	var all []field
	for b = b[12:]; len(b) > 0; {
		num, typ, n := protowire.ConsumeTag(b)
		check(t, protowire.ParseError(n))
		b = b[n:]
		f := field{num: num, typ: typ}
		if typ == protowire.VarintType {
			f.uint, n = protowire.ConsumeVarint(b)
		} else {
			f.data, n = protowire.ConsumeBytes(b)
		}
		check(t, protowire.ParseError(n))
		b = b[n:]
		all = append(all, f)
	}
	if last := all[len(all)-1]; last.num != checkField {
		t.Fatalf("field %d is the last one", last.num)
	}
	return all[:len(all)-1]
}

// head returns what a header of so many bytes begins with.
func head(length int) []byte {
	return binary.BigEndian.AppendUint32([]byte("boulelog"), uint32(length-12))
}

// seal adds the right head and the right check to the fields of a message.
func seal(fields []byte) []byte {
	b := append(head(12+len(fields)+11), fields...)
	return field{num: checkField, typ: protowire.BytesType, data: binary.BigEndian.AppendUint64(nil, xxh3.Hash(b))}.append(b)
}

// join puts a header together.
func join(fields []field) []byte {
	var b []byte
	for _, f := range fields {
		b = f.append(b)
	}
	return seal(b)
}

func TestDecodeOfWrongFields(t *testing.T) {
	replaced := func(num protowire.Number, change func(f *field)) func([]field) []field {
		return func(fields []field) []field {
			for i := range fields {
				if fields[i].num == num {
					change(&fields[i])
				}
			}
			return fields
		}
	}
	dropped := func(num protowire.Number) func([]field) []field {
		return func(fields []field) []field {
			return slices.DeleteFunc(fields, func(f field) bool { return f.num == num })
		}
	}
	uint := func(v uint64) func(*field) { return func(f *field) { f.uint = v } }
	longer := func(f *field) { f.data = append(bytes.Clone(f.data), 0) }
	shorter := func(f *field) { f.data = f.data[:len(f.data)-1] }
	retype := func(f *field) {
		if f.typ == protowire.VarintType {
			f.typ = protowire.Fixed64Type
		} else {
			f.typ = protowire.VarintType
		}
	}
	added := func(f field) func([]field) []field { return func(fields []field) []field { return append(fields, f) } }
	changes := map[string]func([]field) []field{
		"version 0":        replaced(1, uint(0)),
		"version last":     func(f []field) []field { return append(f[1:], f[0]) },
		"number enormous":  replaced(3, uint(math.MaxUint64)),
		"seconds":          replaced(5, uint(253402300800)),
		"seconds negative": replaced(5, uint(math.MaxUint64)),
		"nanos":            replaced(6, uint(1e9)),
		"no source time":   dropped(13),
		"source nanos":     replaced(14, uint(math.MaxUint64)),
		"sequence":         replaced(11, uint(1<<63)),
		"size enormous":    replaced(12, uint(math.MaxUint64)),
		"size too great":   replaced(12, uint(manifest.MaxSize+1)),
		"no size":          dropped(12),
		"blocks long":      replaced(15, longer),
		"blocks short":     replaced(15, shorter),
		"takeover 2":       replaced(18, uint(2)),
		"sealed from 0 on": added(field{num: 21}),
		"sealed too far":   added(field{num: 21, uint: 302}),
		"sealed, bytes":    added(field{num: 21, typ: protowire.BytesType, data: []byte{1}}),
		"inline only":      added(field{num: 22, uint: 5}),
		"inline only, 0":   added(field{num: 22}),
		"inline enormous": func(f []field) []field {
			return append(f, field{num: 21, uint: 1}, field{num: 22, uint: math.MaxUint64})
		},
		"inline too much": func(f []field) []field { return append(f, field{num: 21, uint: 1}, field{num: 22, uint: 1<<40 + 1}) },
		"sealed twice":    func(f []field) []field { return append(f, field{num: 21, uint: 1}, field{num: 21, uint: 1}) },
		"group":           added(field{num: 24, typ: protowire.StartGroupType}),
		"end of group":    added(field{num: 24, typ: protowire.EndGroupType}),
		"wire type 6":     added(field{num: 24, typ: 6}),
		"blocks only":     func([]field) []field { return []field{{num: 15, typ: protowire.BytesType}} },
		"nothing":         func([]field) []field { return nil },
	}
	for _, num := range []protowire.Number{1, 2, 3, 4, 5, 7, 9, 15} {
		changes[fmt.Sprintf("field %d missing", num)] = dropped(num)
	}
	for _, num := range []protowire.Number{2, 4, 7, 8, 9} {
		changes[fmt.Sprintf("field %d long", num)] = replaced(num, longer)
		changes[fmt.Sprintf("field %d short", num)] = replaced(num, shorter)
	}
	for num := range protowire.Number(18) {
		num++
		changes[fmt.Sprintf("field %d retyped", num)] = replaced(num, retype)
		changes[fmt.Sprintf("field %d twice", num)] = func(fields []field) []field {
			i := slices.IndexFunc(fields, func(f field) bool { return f.num == num })
			return append(fields, fields[i])
		}
	}
	b, err := remotelog.EncodeEntry(large())
	check(t, err)
	if !bytes.Equal(join(split(t, b)), b) {
		t.Fatal("taken apart and put together: other bytes")
	}
	for name, change := range changes {
		e, _, _, err := remotelog.DecodeEntry(join(change(split(t, b))))
		wantIs(t, name, err, remotelog.ErrCorrupt)
		if e != nil {
			t.Errorf("%s: got an entry", name)
		}
	}
}

// TestBlocksInAnotherForm says the same as a valid entry, but not as it must be said.
func TestBlocksInAnotherForm(t *testing.T) {
	e := describe(2*manifest.ChunkSize, 9)
	one := remotelog.Place{Object: remotelog.ObjectID{Entry: 9}, Length: 100}
	two := remotelog.Place{Object: remotelog.ObjectID{Entry: 9}, Offset: 100, Length: 101}
	e.Blocks = []remotelog.Block{{Digest: sum(9), Overrides: []remotelog.Override{
		{Place: 0, Chunk: remotelog.Chunk{Sum: sum(1), Layers: []remotelog.Layer{{one, 0xfffe}, {two, 1}}}},
		{Place: 1, Chunk: remotelog.Chunk{Sum: sum(2), Layers: []remotelog.Layer{{two, 0xffff}}}},
	}}}
	b, err := remotelog.EncodeEntry(e)
	check(t, err)
	fields := split(t, b)
	at := slices.IndexFunc(fields, func(f field) bool { return f.num == 15 })
	start := append(bytes.Clone(fields[at].data[:16]), 8, 1, 1)
	start = manifest.AppendList(start, []manifest.Fingerprint{sum(1), sum(2)})
	blocks := func(tail ...byte) []byte { return append(bytes.Clone(start), tail...) }
	if want := blocks(3, 1, 0, 1, 2, 0, 1, 0, 0, 0, 0, 100, 101); !bytes.Equal(want, fields[at].data) {
		t.Fatalf("got %v, want %v", fields[at].data, want)
	}
	for name, data := range map[string][]byte{
		"the last layer's pages are said": blocks(4, 1, 0xff, 0xfe, 0, 1, 2, 0, 1, 0, 0, 0, 0, 100, 101),
		"the same object is new":          blocks(3, 1, 0, 1, 2, 2, 1, 0, 0, 0, 0, 0, 0, 100, 101),
		"the same object by its number":   blocks(3, 1, 0, 1, 2, 4, 1, 0, 0, 0, 0, 100, 101),
		"the same frame again in full":    blocks(3, 1, 0, 1, 2, 0, 0, 0, 0, 0, 0, 201, 1, 100, 101, 101),
		"a long varint":                   blocks(3, 1, 0, 1, 0x82, 0, 0, 1, 0, 0, 0, 0, 100, 101),
		"an object that is not there":     blocks(3, 1, 0, 1, 2, 6, 1, 0, 0, 0, 0, 100, 101),
		"the object before the first":     blocks(3, 1, 0, 1, 0, 2, 1, 0, 0, 0, 0, 100, 101),
		"the frame before the first":      blocks(3, 1, 0, 1, 3, 0, 1, 0, 0, 0, 100),
		"an entry with a nonce":           blocks(3, 1, 0, 1, 2, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 100, 101),
		"a byte behind":                   blocks(3, 1, 0, 1, 2, 0, 1, 0, 0, 0, 0, 100, 101, 0),
		"a shape of 17 layers":            blocks(33, 1, 0, 1, 2, 0, 1, 0, 0, 0, 0, 100, 101),
		"an object used by nothing":       blocks(3, 1, 0, 1, 2, 0, 1, 0, 0, 1, 0, 0, 0, 100, 101),
	} {
		fields[at].data = data
		_, _, _, err := remotelog.DecodeEntry(join(fields))
		wantIs(t, name, err, remotelog.ErrCorrupt)
	}
}

func TestDecodeSkipsUnknownFields(t *testing.T) {
	want := large()
	b, err := remotelog.EncodeEntry(want)
	check(t, err)
	fields := split(t, b)
	for i, f := range []field{
		{num: 26, typ: protowire.Fixed32Type, uint: 7},
		{num: 27, typ: protowire.Fixed64Type, uint: 7},
		{num: 32, typ: protowire.VarintType, uint: math.MaxUint64},
		{num: 25, typ: protowire.BytesType, data: []byte("later")},
	} {
		fields = slices.Insert(fields, 1+2*i, f)
	}
	got, _, _, err := remotelog.DecodeEntry(join(fields))
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeOfOtherVersions(t *testing.T) {
	for name, b := range map[string][]byte{
		"a version":      join([]field{{num: 1, uint: 2}}),
		"short":          append(head(1000), 8, 2),
		"too long":       append(head(remotelog.MaxHeader+1), 8, 200, 1),
		"nothing is so ": append(head(20), 8, 7, 255, 255, 255, 255, 255, 255),
	} {
		_, _, need, err := remotelog.DecodeEntry(b)
		wantIs(t, name, err, remotelog.ErrVersion)
		if err != nil && !strings.Contains(err.Error(), "upgrade") || need != 0 {
			t.Errorf("%s: got %v, %d are needed", name, err, need)
		}
	}
}

func TestDecodeOfOtherHeads(t *testing.T) {
	b, err := remotelog.EncodeEntry(large())
	check(t, err)
	for name, b := range map[string][]byte{
		"another magic":      append([]byte("boulelo9"), b[8:]...),
		"not even a magic":   []byte("boula"),
		"a manifest":         {0x08, 0x02},
		"too long":           append(head(remotelog.MaxHeader+1), b[12:]...),
		"enormous":           append([]byte("boulelog\xff\xff\xff\xff"), b[12:]...),
		"length off by one":  append(head(len(b)-1), b[12:]...),
		"empty message":      head(12),
		"length covers more": append(append(head(len(b)+6), b[12:]...), "frames"...),
		"no check":           append(head(len(b)-11), b[12:len(b)-11]...),
	} {
		_, _, need, err := remotelog.DecodeEntry(b)
		wantIs(t, name, err, remotelog.ErrCorrupt)
		if need != 0 {
			t.Errorf("%s: %d bytes are needed", name, need)
		}
	}
	for n, want := range map[int]int{0: 0, 5: 0, 11: 0, 12: len(b), 13: len(b), len(b) - 1: len(b)} {
		_, _, need, err := remotelog.DecodeEntry(b[:n])
		wantIs(t, fmt.Sprint(n, " bytes"), err, remotelog.ErrShort)
		if need != want {
			t.Errorf("%d bytes: %d are needed, want %d", n, need, want)
		}
	}
}

// TestCheckInline compares the length of an object with what its header says, if that says so.
func TestCheckInline(t *testing.T) {
	e := whole()
	check(t, e.CheckInline(e.Inline))
	wantIs(t, "cut", e.CheckInline(e.Inline-1), remotelog.ErrCorrupt)
	wantIs(t, "longer", e.CheckInline(e.Inline+1), remotelog.ErrCorrupt)
	e.Inline = 0
	check(t, e.CheckInline(0))
	wantIs(t, "something where nothing is", e.CheckInline(27), remotelog.ErrCorrupt)
	e.Sealed = 0
	check(t, e.CheckInline(1800))
}

// TestHasSeal says from which entry on packs have a seal.
func TestHasSeal(t *testing.T) {
	for _, c := range []struct {
		sealed, pack uint64
		want         bool
	}{{0, 1, false}, {0, 1 << 40, false}, {1, 1, true}, {5, 4, false}, {5, 5, true}, {5, 6, true}} {
		e := remotelog.Entry{Number: 5, Sealed: c.sealed}
		if got := e.HasSeal(remotelog.ObjectID{Entry: c.pack, Part: 1}); got != c.want {
			t.Errorf("%+v: got %t", c, got)
		}
	}
}
