package logrep

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/boule-db/boule/internal/progress"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// RestoreOptions configure [Restore]. Nil is the same as the zero value.
type RestoreOptions struct {
	// Jobs is how many requests are under way at a time; 0 means 16. A restore needs memory for a few frames per job
	// and a few MiB, without Written some 40 MiB, whatever the size of the database.
	Jobs int
	// Written reads what was written; it may be nil. With it, pages that come before others of their chunk are written at once
	// and read back later, so that every frame is fetched once and none has to wait for another. Without it, they wait in memory, and
	// frames that have pages of distant chunks are fetched several times. What it reads where nothing was written does not matter.
	Written io.ReaderAt
	// Progress is called as bytes of the database are done, by one goroutine at a
	// time and with done never decreasing. It should return soon.
	Progress func(done, total int64)
	// Zeroed tells Restore that what it writes to reads as zeros already, and has
	// its full size: runs of zeros are then not written.
	Zeroed bool
	// Damaged is called, when all is restored, with what is wrong with second copies that were not needed in the end, since the first are
	// sound: with bundles of the frames of entries. It may be nil.
	Damaged func(error)
}

// zeros is the well-known chunk. Nobody writes to it.
var zeros [manifest.ChunkSize]byte

// Restore writes the database that e describes to w, several parts at a time and in
// no order. All that is there in the end is verified. After an error, or when ctx is done,
// parts are missing; with Written, others are only parts of chunks.
func Restore(ctx context.Context, l *Log, e *remotelog.Entry, w io.WriterAt, opts *RestoreOptions) error {
	var o RestoreOptions
	if opts != nil {
		o = *opts
	}
	bundles := &bundler{l: l, e: e}
	err := restore(ctx, l, e, w, &o, bundles)
	if err != nil && bundles.suspect(err) && ctx.Err() == nil {
		// Each frame of a bundle is sound, but it may be another one than the entry has.
		bundles.doubt(err)
		o.Progress = nil // it has been told of more
		err = restore(ctx, l, e, w, &o, nil)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", l.name, err)
	}
	for _, d := range bundles.damaged {
		if o.Damaged != nil {
			o.Damaged(d)
		}
	}
	return nil
}

// restore restores with bundles, or without.
func restore(ctx context.Context, l *Log, e *remotelog.Entry, w io.WriterAt, o *RestoreOptions, bundles *bundler) error {
	p := progress.New(o.Progress, e.Size)
	var written atomic.Int64
	write := func(i int, data []byte) error {
		if _, err := w.WriteAt(data, int64(i)*manifest.ChunkSize); err != nil {
			return err
		}
		written.Add(int64(len(data)))
		p.Add(len(data))
		return nil
	}
	g := newGatherer(l, jobsOrDefault(o.Jobs), write)
	g.bundles = bundles
	if o.Written != nil {
		g.scratch = scratchFile{o.Written, w}
	}
	err := l.each(ctx, e, func(i int, c *remotelog.Chunk) error {
		switch {
		case c.Sum != manifest.ZeroChunk:
			return g.add(ctx, e, i, c)
		case o.Zeroed:
			written.Add(int64(len(zeros)))
			p.Add(len(zeros))
			return nil
		}
		return write(i, zeros[:])
	})
	if err == nil {
		err = g.flush(ctx)
	}
	if n := written.Load(); err == nil && n != e.Size {
		err = inEntry(e, corrupt("%d bytes of %d were put together: places overlap", n, e.Size))
	}
	return err
}

// each calls do with every chunk that e describes. It reads one index block at a time.
func (l *Log) each(ctx context.Context, e *remotelog.Entry, do func(i int, c *remotelog.Chunk) error) error {
	for b := range e.Blocks {
		chunks, err := l.Block(ctx, e, b)
		if err != nil {
			return err
		}
		for place := range chunks {
			if err := do(b*manifest.BlockChunks+place, &chunks[place]); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}
