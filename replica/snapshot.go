package replica

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
)

// ownCache is the size of the cache of a snapshot that was given none.
const ownCache = 16 << 20

// A Snapshot is a database as one manifest describes it. It never changes, and is
// safe for concurrent use. It holds nothing that has to be closed.
type Snapshot struct {
	r *reader
}

// Open returns the snapshot that m describes. Chunks are fetched when they are
// read, through cache; a nil cache means a small one of its own. Open itself does no
// I/O, for index blocks neither; it fails only if m is not valid.
func Open(_ context.Context, m *manifest.Manifest, sources []Source, cache *Cache) (*Snapshot, error) {
	if cache == nil {
		cache = NewCache(ownCache)
	}
	r, err := newReader(m, sources, cache)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return &Snapshot{r}, nil
}

// Size returns the size of the database in bytes.
func (s *Snapshot) Size() int64 { return s.r.m.Size }

// Manifest returns the manifest, which must not be changed.
func (s *Snapshot) Manifest() *manifest.Manifest { return s.r.m }

// ReadAt is io.ReaderAt with a context: it fails with io.EOF if and only if less
// than len(p) bytes are left from off on. Bytes that were read are verified, also if
// there is an error besides.
func (s *Snapshot) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("replica: read at a negative offset")
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= s.Size() || at < off {
			return n, io.EOF
		}
		chunk, err := s.r.chunk(ctx, int(at/manifest.ChunkSize))
		if err != nil {
			return n, fmt.Errorf("read at %d: %w", at, err)
		}
		n += copy(p[n:], chunk[at%manifest.ChunkSize:])
	}
	return n, nil
}

// Prefetch fetches and verifies the first n chunks and the last one (SQLite likes to
// begin with those), or all of them if n is negative, jobs at a time; jobs 0 means
// 8. They are kept as far as the cache has room.
func (s *Snapshot) Prefetch(ctx context.Context, n, jobs int) error {
	last := s.r.count() - 1
	if n < 0 || n > last {
		n = last + 1
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(jobsOrDefault(jobs))
	fetch := func(i int) {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			_, err := s.r.chunk(ctx, i)
			return err
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		fetch(i)
	}
	if last >= n {
		fetch(last)
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("prefetch: %w", err)
	}
	return nil
}
