package logrep

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// A scratch is where pages of chunks wait for the others, each at its place in the database, until done gets the whole chunk.
type scratch interface {
	io.ReaderAt
	io.WriterAt
}

type written struct {
	io.ReaderAt
	io.WriterAt
}

// chunkBuffers are for chunks that are read back.
var chunkBuffers = sync.Pool{New: func() any { return new([manifest.ChunkSize]byte) }}

// spill writes pages of a chunk of n bytes, unless they are not as many bytes as they should be.
func (g *gatherer) spill(d remotelog.Delta, n int) (bool, error) {
	last := bits.Len16(d.Pages) - 1
	want := (bits.OnesCount16(d.Pages)-1)*remotelog.PageSize + min(remotelog.PageSize, n-last*remotelog.PageSize)
	if last*remotelog.PageSize >= n || len(d.Data) < want {
		return false, nil
	}
	data := d.Data[:want] // the last page may have been longer once
	for pages := d.Pages; pages != 0; {
		first := bits.TrailingZeros16(pages)
		run := bits.TrailingZeros16(^(pages >> first))
		part := data[:min(run*remotelog.PageSize, len(data))]
		if _, err := g.scratch.WriteAt(part, d.Chunk*manifest.ChunkSize+int64(first)*remotelog.PageSize); err != nil {
			return false, err
		}
		data = data[len(part):]
		pages &^= (1<<run - 1) << first
	}
	return true, nil
}

// unspill sets those frames of a chunk that were spilled, which are of kind chunk and empty, to what the scratch has. They
// are good until buf is used again.
func (g *gatherer) unspill(c *chunk, frames []frame, buf *[manifest.ChunkSize]byte) error {
	var data []byte
	for k := range frames {
		if frames[k].kind != remotelog.KindChunk || frames[k].raw != nil {
			continue
		}
		if data == nil {
			data = buf[:manifest.ChunkLen(c.e.Size, c.index)]
			n, err := g.scratch.ReadAt(data, int64(c.index)*manifest.ChunkSize)
			if err != nil && !errors.Is(err, io.EOF) { // what has not come yet may be the end
				return fmt.Errorf("read back chunk %d: %w", c.index, err)
			}
			clear(data[n:])
		}
		frames[k].raw = data
	}
	return nil
}
