package logrep

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// Chunk returns chunk i of the state that e describes, verified, after one request per frame that it lies in, and one for
// the index block, if these are not at hand. The caller must not write to it.
func (l *Log) Chunk(ctx context.Context, e *remotelog.Entry, i int) ([]byte, error) {
	if i < 0 || i >= count(e) {
		return nil, fmt.Errorf("entry %d has no chunk %d", e.Number, i)
	}
	chunks, err := l.Block(ctx, e, i/manifest.BlockChunks)
	if err != nil {
		return nil, err
	}
	return l.compose(ctx, e, i, &chunks[i%manifest.BlockChunks])
}

// compose returns the chunk c, which has the number i.
func (l *Log) compose(ctx context.Context, e *remotelog.Entry, i int, c *remotelog.Chunk) ([]byte, error) {
	type frame struct {
		kind remotelog.Kind
		raw  []byte
	}
	frames := make([]frame, len(c.Layers))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(defaultJobs)
	for k := range c.Layers {
		g.Go(func() (err error) {
			frames[k].kind, frames[k].raw, err = l.pages(gctx, c.Layers[k].Frame)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, inEntry(e, fmt.Errorf("chunk %d: %w", i, err))
	}
	k := -1
	data, err := l.assemble(e, i, c, func(remotelog.Place) (remotelog.Kind, []byte, error) {
		k++
		return frames[k].kind, frames[k].raw, nil
	})
	if err != nil {
		return nil, inEntry(e, err)
	}
	return data, nil
}

// assemble returns the chunk c, which has the number i, given the frames of its layers.
func (l *Log) assemble(e *remotelog.Entry, i int, c *remotelog.Chunk, read remotelog.FrameReader) ([]byte, error) {
	data, err := c.Compose(int64(i), manifest.ChunkLen(e.Size, i), read)
	if err == nil && i == 0 && manifest.HeaderSum(data) != e.Header {
		err = corrupt("chunk 0: the header differs from its fingerprint %v", e.Header)
	}
	if err != nil {
		return nil, l.inChunk(c, err)
	}
	return data, nil
}

// inChunk adds to an error about a chunk as a whole where its layers are.
func (l *Log) inChunk(c *remotelog.Chunk, err error) error {
	f := &Fault{Err: err}
	var all []string
	for _, layer := range c.Layers {
		_, key := l.object(layer.Frame.Object)
		if f.Object == "" {
			f.Object = key
		}
		all = append(all, l.describe(layer.Frame))
	}
	if len(all) > 0 {
		f.Err = fmt.Errorf("%w; it was put together of %s", err, strings.Join(all, ", "))
	}
	return f
}

// inEntry adds the entry to an error.
func inEntry(e *remotelog.Entry, err error) error { return fmt.Errorf("entry %d: %w", e.Number, err) }

// inHeader adds the entry to an error about what is in its header.
func (l *Log) inHeader(e *remotelog.Entry, err error) error {
	key := remotelog.EntryKey(l.name, e.Number)
	return &Fault{Object: key, Err: fmt.Errorf("%s in %s: %w", key, l.entries, err)}
}
