package remotelog_test

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestLengthsAreNotTrusted decodes what only claims to be large.
func TestLengthsAreNotTrusted(t *testing.T) {
	blocks := func(size uint64, b []byte) []byte {
		e, err := remotelog.EncodeEntry(large())
		check(t, err)
		fields := split(t, e)
		for i := range fields {
			switch fields[i].num {
			case 12:
				fields[i].uint = size
			case 15:
				fields[i].data = b
			}
		}
		return join(fields)
	}
	most := protowire.AppendVarint(nil, 4*manifest.BlockChunks+3)
	index := protowire.AppendVarint(protowire.AppendVarint(nil, 7), manifest.BlockChunks)
	full := append(bytes.Repeat([]byte{1}, manifest.BlockChunks*16), bytes.Repeat([]byte{32}, manifest.BlockChunks)...)
	_, _, err := remotelog.OpenFrame(frame(1, 1, 100, packZstd(t, make([]byte, 100)))) // makes the decoder
	check(t, err)
	for name, c := range map[string]struct {
		b      []byte
		decode func(b []byte) error
		want   uint64
	}{
		"header":              {append(head(remotelog.MaxHeader), 8, 1), decodeEntry, 10 << 10},
		"size":                {blocks(manifest.MaxSize, nil), decodeEntry, 20 << 10},
		"overrides":           {blocks(manifest.BlockChunks*manifest.ChunkSize, append(make([]byte, 16), most...)), decodeEntry, 20 << 10},
		"chunks of an index":  {index, decodeIndex, 10 << 10},
		"layers of an index":  {append(bytes.Clone(index), full...), decodeIndex, 10 << 10},
		"chunks of a patch":   {index, decodePatch, 10 << 10},
		"layers of a patch":   {slices.Concat(index, bytes.Repeat([]byte{1}, manifest.BlockChunks), full), decodePatch, 40 << 10},
		"deltas":              {protowire.AppendVarint(nil, math.MaxInt64), decodeDeltas, 10 << 10},
		"content of a frame":  {frame(3, 1, remotelog.MaxIndex, packZstd(t, make([]byte, 64<<20))), openFrame, 5 << 20},
		"content, not sealed": {append(make([]byte, 16), frame(3, 1, remotelog.MaxIndex, []byte("nothing"))[16:]...), openFrame, 10 << 10},
		"content of a chunk":  {frame(1, 1, manifest.ChunkSize, packZstd(t, make([]byte, 64<<20))), openFrame, 200 << 10},
	} {
		n := allocated(func() { wantIs(t, name, c.decode(c.b), remotelog.ErrCorrupt) })
		if n > c.want {
			t.Errorf("%s: %d bytes were allocated for %d", name, n, len(c.b))
		}
	}
}

func decodeEntry(b []byte) error {
	_, _, _, err := remotelog.DecodeEntry(b)
	if err != nil && bytes.HasPrefix(b, head(remotelog.MaxHeader)) {
		return remotelog.ErrCorrupt // goes on, but what is there was not worth more
	}
	return err
}

func decodeIndex(b []byte) error  { _, err := remotelog.DecodeIndex(b); return err }
func decodePatch(b []byte) error  { _, err := remotelog.DecodePatch(b); return err }
func decodeDeltas(b []byte) error { _, err := remotelog.DecodeDeltas(b); return err }
func openFrame(b []byte) error    { _, _, err := remotelog.OpenFrame(b); return err }

func BenchmarkEncodeEntry(b *testing.B) {
	e, _ := many(1000, true)
	for b.Loop() {
		_, err := remotelog.EncodeEntry(e)
		check(b, err)
	}
}

func BenchmarkDecodeEntry(b *testing.B) {
	e, _ := many(1000, true)
	header, err := remotelog.EncodeEntry(e)
	check(b, err)
	for b.Loop() {
		_, _, _, err := remotelog.DecodeEntry(header)
		check(b, err)
	}
}

// BenchmarkBlock opens, decodes and resolves a stored block with 1000 overrides.
func BenchmarkBlock(b *testing.B) {
	e, _ := many(1000, true)
	f := remotelog.AppendFrame(nil, remotelog.KindIndex, remotelog.AppendIndex(nil, packed(manifest.BlockChunks, 4000)))
	for b.Loop() {
		raw, err := remotelog.DecodeFrame(f, remotelog.KindIndex)
		check(b, err)
		stored, err := remotelog.DecodeIndex(raw)
		check(b, err)
		_, err = e.Block(0, stored, nil)
		check(b, err)
	}
}

func BenchmarkAppendIndex(b *testing.B) {
	list := packed(manifest.BlockChunks, 4000)
	for b.Loop() {
		remotelog.AppendFrame(nil, remotelog.KindIndex, remotelog.AppendIndex(nil, list))
	}
}
