package manifest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

// content returns size bytes that look like nothing, the same at every call.
func content(size int64) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// describe returns a manifest of a database.
func describe(db []byte) *manifest.Manifest {
	m := &manifest.Manifest{
		Header:     manifest.HeaderSum(db),
		VersionID:  []byte("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 and a header"),
		Sequence:   1700000123_456789012,
		Size:       int64(len(db)),
		SourceTime: time.Unix(1700000123, 400000000).UTC(),
		Generator:  "boule v0.1.0",
		Writer:     "host.example 4711",
		First:      append([]byte(nil), db[:min(len(db), manifest.ChunkSize)]...),
	}
	for chunk := range chunks(db) {
		m.Chunks = append(m.Chunks, manifest.Sum(chunk))
	}
	m.Blocks = manifest.InlineBlocks(m.Chunks)
	return m
}

func chunks(db []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(db) > 0 {
			n := min(len(db), manifest.ChunkSize)
			if !yield(db[:n]) {
				return
			}
			db = db[n:]
		}
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

// split takes an encoded message apart, and leaves out its check.
func split(t testing.TB, b []byte) []field {
	t.Helper()
	all := splitAll(t, b)
	last := all[len(all)-1]
	if last.num != checkField {
		t.Fatalf("field %d is the last one", last.num)
	}
	return all[:len(all)-1]
}

// splitAll takes an encoded message apart.
func splitAll(t testing.TB, b []byte) []field {
	t.Helper()
	var all []field
	for len(b) > 0 {
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
	return all
}

// join puts a message together and adds the right check.
func join(fields []field) []byte {
	b := joinAll(fields)
	return field{num: checkField, typ: protowire.BytesType, data: checkOf(b)}.append(b)
}

// joinAll puts a message together as it is.
func joinAll(fields []field) []byte {
	var b []byte
	for _, f := range fields {
		b = f.append(b)
	}
	return b
}

const checkField = 31

func checkOf(b []byte) []byte { return binary.BigEndian.AppendUint64(nil, xxh3.Hash(b)) }

// A shelf keeps index blocks by their names.
type shelf map[manifest.Fingerprint][]byte

var errNoBlock = errors.New("no such block")

func (s shelf) read(f manifest.Fingerprint) ([]byte, error) {
	if b, ok := s[f]; ok {
		return b, nil
	}
	return nil, errNoBlock
}

// put stores the index block of a list and returns its name.
func (s shelf) put(list []byte) manifest.Fingerprint {
	f := manifest.Sum(list)
	s[f] = bytes.Clone(list)
	return f
}

// fold stores block b of m as it is now.
func (s shelf) fold(t testing.TB, m *manifest.Manifest, b int) {
	t.Helper()
	list, err := m.Block(b, s.read)
	check(t, err)
	if got := s.put(list); got != m.Blocks[b].Digest {
		t.Fatalf("block %d has the digest %v, but is named %v", b, m.Blocks[b].Digest, got)
	}
	m.Blocks[b].Stored, m.Blocks[b].Overrides = m.Blocks[b].Digest, nil
}

// sum returns a fingerprint like that of a chunk, another one for every number.
func sum(i int) manifest.Fingerprint {
	return manifest.Sum(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

// large describes a database of so many chunks without having them all, the last of
// which lacks missing bytes. No block is stored.
func large(chunks int, missing int64) *manifest.Manifest {
	if chunks == 1 {
		return describe(content(manifest.ChunkSize - missing))
	}
	m := describe(content(manifest.ChunkSize))
	m.Size = int64(chunks)*manifest.ChunkSize - missing
	for i := 1; i < chunks; i++ {
		m.Chunks = append(m.Chunks, sum(i))
	}
	m.Blocks = manifest.InlineBlocks(m.Chunks)
	return m
}

// indexed describes a database of three blocks: the first is stored as it once was and
// has overrides, the second is stored as it is, the third is not stored and has ten chunks.
func indexed(t testing.TB) (*manifest.Manifest, shelf) {
	t.Helper()
	m, s := large(2*manifest.BlockChunks+10, 1000), shelf{}
	s.fold(t, m, 1)
	s.fold(t, m, 0)
	for _, place := range []int{3, 1, 700, manifest.BlockChunks - 1} {
		set(t, m, s, 0, place, sum(-place))
	}
	m.Chunks = nil
	return m, s
}

// set changes the fingerprint at a place of a block by an override.
func set(t testing.TB, m *manifest.Manifest, s shelf, b, place int, f manifest.Fingerprint) {
	t.Helper()
	list, err := m.Block(b, s.read)
	check(t, err)
	manifest.SetAt(list, place, f)
	block := &m.Blocks[b]
	block.Digest = manifest.Sum(list)
	i, found := slices.BinarySearchFunc(block.Overrides, place, func(o manifest.Override, place int) int { return o.Place - place })
	if found {
		block.Overrides[i].Sum = f
	} else {
		block.Overrides = slices.Insert(block.Overrides, i, manifest.Override{Place: place, Sum: f})
	}
}
