package manifest_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

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

// split takes an encoded message apart.
func split(t testing.TB, b []byte) []field {
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

func join(fields []field) []byte {
	var b []byte
	for _, f := range fields {
		b = f.append(b)
	}
	return b
}
