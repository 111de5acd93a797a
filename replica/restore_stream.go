package replica

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/internal/progress"
	"github.com/boule-db/boule/manifest"
)

// RestoreTo writes the database that m describes to w, from its beginning to its
// end, while the chunks to come are fetched. All that it writes is verified. After an
// error, or when ctx is done, w has got a part of the database.
func RestoreTo(ctx context.Context, m *manifest.Manifest, sources []Source, w io.Writer, opts *RestoreOptions) error {
	o := opts.withDefaults()
	// The cache is for chunks that occur more than once close together, and an index block.
	cache := NewCache(int64(2*o.Jobs+1) * (manifest.ChunkSize + entryOverhead))
	defer cache.wait()
	r, err := newReader(m, sources, cache)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	p := progress.New(o.Progress, m.Size)
	g, gctx := errgroup.WithContext(ctx)
	ahead := make(chan chan []byte, o.Jobs) // of chunks in order; its length bounds the fetches
	g.Go(func() error {
		defer close(ahead)
		for i := range r.count() {
			result := make(chan []byte, 1)
			select {
			case ahead <- result:
			case <-gctx.Done():
				return context.Cause(gctx)
			}
			g.Go(func() error {
				chunk, err := r.chunk(gctx, i)
				if err != nil {
					return err
				}
				result <- chunk
				return nil
			})
		}
		return nil
	})
	g.Go(func() error {
		for result := range ahead {
			select {
			case chunk := <-result:
				if _, err := w.Write(chunk); err != nil {
					return err
				}
				p.Add(len(chunk))
			case <-gctx.Done():
				return context.Cause(gctx)
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}
