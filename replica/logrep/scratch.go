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

type scratchFile struct {
	io.ReaderAt
	io.WriterAt
}

// chunkBuffers are for chunks that are read back.
var chunkBuffers = sync.Pool{New: func() any { return new([manifest.ChunkSize]byte) }}

// spill writes these pages of a chunk, unless d does not have all of them, as long as they should be. Successive ones are
// written at once.
func (g *gatherer) spill(c *chunk, d remotelog.Delta, pages uint16) (bool, error) {
	n := manifest.ChunkLen(c.e.Size, c.index)
	if pages&^d.Pages != 0 || pages&^remotelog.AllPages(n) != 0 {
		return false, nil
	}
	at := int64(c.index) * manifest.ChunkSize
	w := io.WriterAt(g.scratch)
	if !c.spilled {
		// The first pages are written with room for the others: a file system that gets a chunk at once caches it as one piece, and
		// writes it back much faster than one that got it page by page.
		buf := chunkBuffers.Get().(*[manifest.ChunkSize]byte)
		defer chunkBuffers.Put(buf)
		clear(buf[:n])
		w, at = inBuffer(buf[:n]), 0
	}
	// Of successive pages of d the bytes are successive too. Only the last one may be short, or longer than it is now.
	first := bits.TrailingZeros16(pages)
	for first < remotelog.MaxLayers {
		run := bits.TrailingZeros16(^(pages >> first))
		has := bits.OnesCount16(d.Pages&(1<<first-1)) * remotelog.PageSize
		from := first * remotelog.PageSize
		want := min(n, from+run*remotelog.PageSize) - from
		if has+want > len(d.Data) {
			return false, nil
		}
		if _, err := w.WriteAt(d.Data[has:has+want], at+int64(from)); err != nil {
			return false, err
		}
		pages &^= (1<<run - 1) << first
		first = bits.TrailingZeros16(pages)
	}
	if buf, ok := w.(inBuffer); ok {
		if _, err := g.scratch.WriteAt(buf, int64(c.index)*manifest.ChunkSize); err != nil {
			return false, err
		}
		c.spilled = true
	}
	return true, nil
}

// inBuffer is an io.WriterAt of bytes that are there.
type inBuffer []byte

func (b inBuffer) WriteAt(p []byte, off int64) (int, error) { return copy(b[off:], p), nil }

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
