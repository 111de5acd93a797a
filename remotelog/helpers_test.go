package remotelog_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
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

// content returns size bytes that look like nothing, the same at every call with the seed.
func content(size int, seed byte) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// sum returns a fingerprint like that of a chunk, another one for every number.
func sum(i int) manifest.Fingerprint {
	return manifest.Sum(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

const name = "1563-boule%3Atest.com%3A2b53%2F%2Ftmp%2Ftest.db"

// digest is the digest of a block.
func digest(chunks []remotelog.Chunk) manifest.Fingerprint {
	list := make([]manifest.Fingerprint, len(chunks))
	for i := range chunks {
		list[i] = chunks[i].Sum
	}
	return manifest.Sum(manifest.AppendList(nil, list))
}

// packed returns the places of so many chunks one behind the other in packs of 8 MiB that were made for an entry.
func packed(chunks int, entry uint64) []remotelog.Chunk {
	rng := rand.New(rand.NewPCG(1, entry))
	list := make([]remotelog.Chunk, chunks)
	id := remotelog.ObjectID{Entry: entry, Part: 1, Nonce: rng.Uint64()}
	offset := int64(0)
	for i := range list {
		length := 12000 + rng.Int64N(20000)
		if offset > 8<<20 {
			id.Part++
			offset = 0
		}
		list[i] = remotelog.Chunk{Sum: sum(i), Layers: []remotelog.Layer{{
			Frame: remotelog.Place{Object: id, Offset: offset, Length: length}, Pages: 0xffff,
		}}}
		offset += length
	}
	return list
}

// describe returns an entry for a database of that size without any block.
func describe(size int64, number uint64) *remotelog.Entry {
	e := &remotelog.Entry{
		Name:       remotelog.NameSum(name),
		Number:     number,
		Appended:   time.Unix(1700000124, 500000000).UTC(),
		Owner:      remotelog.Owner{Spool: [16]byte{1, 2, 3}, Database: [16]byte{4, 5, 6}},
		Header:     sum(-1),
		VersionID:  []byte("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 and a header 16"),
		Sequence:   1700000123_456789012,
		Size:       size,
		SourceTime: time.Unix(1700000123, 400000000).UTC(),
		Generator:  "boule v0.1.0",
		Writer:     "host.example 4711",
	}
	if number > 1 {
		e.Previous = sum(-2)
	}
	return e
}

// override gives a chunk of block b another place and fingerprint.
func override(e *remotelog.Entry, b int, chunks []remotelog.Chunk, place int, pages uint16, frame remotelog.Place) {
	c := &chunks[place]
	c.Sum = sum(1e6 + place)
	c.Cover(pages, frame)
	e.Blocks[b].Overrides = append(e.Blocks[b].Overrides, remotelog.Override{Place: place, Chunk: *c})
	e.Blocks[b].Digest = digest(chunks)
}

// small returns an entry of a database of 94 MB whose only block is stored, and three of whose chunks have changed in a page
// each; and the stored block.
func small() (*remotelog.Entry, []remotelog.Chunk) {
	e := describe(94e6, 4711)
	stored := packed(manifest.Count(e.Size), 4000)
	last := &stored[len(stored)-1]
	last.Truncate(manifest.ChunkLen(e.Size, len(stored)-1))
	e.Blocks = []remotelog.Block{{
		Stored: remotelog.Place{Object: remotelog.ObjectID{Entry: 4000, Part: 5, Nonce: 0x123456789abcdef}, Offset: 5000000, Length: 27000},
	}}
	chunks := append([]remotelog.Chunk(nil), stored...)
	at := remotelog.Place{Object: remotelog.ObjectID{Entry: e.Number}, Length: 1800}
	for _, place := range []int{0, 700, 1200} {
		override(e, 0, chunks, place, 1<<(place%16), at)
	}
	return e, stored
}
