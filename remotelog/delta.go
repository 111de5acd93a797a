package remotelog

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

// A Delta is the pages of one chunk in a frame of kind KindDelta.
type Delta struct {
	Chunk int64  // number of the chunk in the database
	Pages uint16 // which
	Data  []byte // their bytes, in order; only the last page of a database may be shorter than PageSize
}

// maxChunks is how many chunks the largest database has.
const maxChunks = manifest.MaxSize / manifest.ChunkSize

// deltaHead is how many bytes the head of a delta has at least.
const deltaHead = 3

// AppendDeltas appends the raw content of a frame of kind KindDelta. It panics unless there is a delta, the chunks ascend,
// each has pages, and their data are as long as those pages, but for the last page of the last one, which may be
// shorter; or if the whole is longer than MaxDelta.
func AppendDeltas(b []byte, deltas []Delta) []byte {
	start := len(b)
	b = protowire.AppendVarint(b, uint64(len(deltas)))
	last, ok := int64(-1), len(deltas) > 0
	for i, d := range deltas {
		missing := bits.OnesCount16(d.Pages)*PageSize - len(d.Data)
		if d.Chunk <= last || d.Chunk >= maxChunks || d.Pages == 0 || missing < 0 || missing >= PageSize || missing > 0 && i < len(deltas)-1 {
			ok = false
			break
		}
		b = protowire.AppendVarint(b, uint64(d.Chunk-last))
		b = binary.BigEndian.AppendUint16(b, d.Pages)
		last = d.Chunk
	}
	for _, d := range deltas {
		b = append(b, d.Data...)
	}
	if !ok || len(b)-start > MaxDelta {
		panic("remotelog: AppendDeltas: deltas that are not in order or have more or fewer bytes than pages")
	}
	return b
}

// DecodeDeltas is the reverse of AppendDeltas. Data are parts of raw. It fails with [ErrCorrupt].
func DecodeDeltas(raw []byte) ([]Delta, error) {
	c := cursor{rest: raw}
	n := int(c.uint(uint64(len(raw) / deltaHead)))
	if n == 0 || len(raw) > MaxDelta {
		return nil, fmt.Errorf("decode deltas: %w", corrupt("there are none, or more than %d bytes", MaxDelta))
	}
	deltas := make([]Delta, 0, n)
	last, pages := int64(-1), 0
	for range n {
		step := int64(c.uint(maxChunks))
		d := Delta{Chunk: last + step, Pages: c.mask()}
		if c.failed || step == 0 || d.Chunk >= maxChunks || d.Pages == 0 {
			return nil, fmt.Errorf("decode deltas: %w", corrupt("their heads are cut short or out of order"))
		}
		last = d.Chunk
		pages += bits.OnesCount16(d.Pages)
		deltas = append(deltas, d)
	}
	if missing := pages*PageSize - len(c.rest); missing < 0 || missing >= PageSize {
		return nil, fmt.Errorf("decode deltas: %w", corrupt("%d bytes for %d pages", len(c.rest), pages))
	}
	for i := range deltas {
		deltas[i].Data = c.bytes(min(bits.OnesCount16(deltas[i].Pages)*PageSize, len(c.rest)))
	}
	return deltas, nil
}
