package logrep

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/boule-db/boule/internal/recent"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica"
)

const (
	ownCache  = 16 << 20 // size of the cache of a snapshot that was given none
	keptLists = 16       // index blocks of the state; each takes 160 KiB
)

// A Snapshot is a database as one entry describes it. It never changes, and is
// safe for concurrent use. It holds nothing that has to be closed.
type Snapshot struct {
	l     *Log
	e     *remotelog.Entry
	cache *replica.Cache
	lists *recent.Values[int, []remotelog.Chunk] // nobody writes to one
}

// Open returns the snapshot that e describes. Chunks are fetched when they are read, through cache; a nil
// cache means a small one of its own. Open itself does no I/O.
func (l *Log) Open(e *remotelog.Entry, cache *replica.Cache) *Snapshot {
	if cache == nil {
		cache = replica.NewCache(ownCache)
	}
	return &Snapshot{l: l, e: e, cache: cache, lists: recent.New[int, []remotelog.Chunk](keptLists)}
}

// Size returns the size of the database in bytes.
func (s *Snapshot) Size() int64 { return s.e.Size }

// Entry returns the entry, which must not be changed.
func (s *Snapshot) Entry() *remotelog.Entry { return s.e }

// ReadAt is io.ReaderAt with a context: it fails with io.EOF if and only if less
// than len(p) bytes are left from off on. Bytes that were read are verified, also if
// there is an error besides.
func (s *Snapshot) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("logrep: read at a negative offset")
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= s.Size() || at < off {
			return n, io.EOF
		}
		data, err := s.chunk(ctx, int(at/manifest.ChunkSize))
		if err != nil {
			return n, fmt.Errorf("read at %d of %s: %w", at, s.l.name, err)
		}
		n += copy(p[n:], data[at%manifest.ChunkSize:])
	}
	return n, nil
}

// chunk returns chunk i, which the caller must not write to.
func (s *Snapshot) chunk(ctx context.Context, i int) ([]byte, error) {
	c, err := s.where(ctx, i)
	if err != nil {
		return nil, err
	}
	if c.Sum == manifest.ZeroChunk {
		return zeros[:manifest.ChunkLen(s.e.Size, i)], nil
	}
	data, err := s.cache.Get(ctx, c.Sum, func(ctx context.Context) ([]byte, error) { return s.l.compose(ctx, s.e, i, c) })
	if err == nil && len(data) != manifest.ChunkLen(s.e.Size, i) { // of another place with that fingerprint
		err = inEntry(s.e, s.l.inChunk(c, corrupt("chunk %d has %d bytes, the database has %d there",
			i, len(data), manifest.ChunkLen(s.e.Size, i))))
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// where returns where chunk i is.
func (s *Snapshot) where(ctx context.Context, i int) (*remotelog.Chunk, error) {
	b := i / manifest.BlockChunks
	chunks, ok := s.lists.Get(b)
	if !ok {
		var err error
		if chunks, err = s.l.Block(ctx, s.e, b); err != nil {
			return nil, err
		}
		s.lists.Add(b, chunks)
	}
	return &chunks[i%manifest.BlockChunks], nil
}

// Prefetch fetches and verifies the first n chunks and the last one (SQLite likes to
// begin with those), or all of them if n is negative, by as few requests as it can, of which
// jobs are under way at a time; jobs 0 means 16. They are kept as far as the cache has room.
func (s *Snapshot) Prefetch(ctx context.Context, n, jobs int) error {
	last := count(s.e) - 1
	if n < 0 || n > last {
		n = last + 1
	}
	g := newGatherer(s.l, jobsOrDefault(jobs), func(i int, data []byte) error {
		c, err := s.where(ctx, i)
		if err == nil {
			_, err = s.cache.Get(ctx, c.Sum, func(context.Context) ([]byte, error) { return data, nil })
		}
		return err
	})
	add := func(i int) error {
		c, err := s.where(ctx, i)
		if err != nil || c.Sum == manifest.ZeroChunk || s.cache.Has(c.Sum) {
			return err
		}
		return g.add(ctx, s.e, i, c)
	}
	var err error
	for i := 0; i < n && err == nil; i++ {
		err = add(i)
	}
	if err == nil && last >= n {
		err = add(last)
	}
	if err == nil {
		err = g.flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("prefetch of %s: %w", s.l.name, err)
	}
	return nil
}
