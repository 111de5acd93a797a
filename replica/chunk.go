package replica

import (
	"context"
	"fmt"
	"strings"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
)

// maxCompressed is more than the compressed form of any chunk has.
const maxCompressed = manifest.ChunkSize + 4096

// zeros is the well-known chunk. Nobody writes to it.
var zeros [manifest.ChunkSize]byte

// A reader gets the chunks of one snapshot. It is safe for concurrent use.
type reader struct {
	m       *manifest.Manifest
	sources []Source
	cache   *Cache // may be nil
}

func newReader(m *manifest.Manifest, sources []Source, cache *Cache) (*reader, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return &reader{m, sources, cache}, nil
}

// local returns the chunk with index i if it needs no I/O. The caller must not
// write to it.
func (r *reader) local(i int) ([]byte, bool) {
	switch r.m.Chunks[i] {
	case r.m.Chunks[0]:
		return r.m.First, true
	case manifest.ZeroChunk:
		return zeros[:], true
	}
	return nil, false
}

// chunk returns the chunk with index i, verified. The caller must not write to it.
func (r *reader) chunk(ctx context.Context, i int) ([]byte, error) {
	f := r.m.Chunks[i]
	chunk, ok := r.local(i)
	if !ok {
		var err error
		fetch := func(ctx context.Context) ([]byte, error) { return fetchChunk(ctx, r.sources, f) }
		if r.cache != nil {
			chunk, err = r.cache.get(ctx, f, fetch)
		} else {
			chunk, err = fetch(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", i, err)
		}
	}
	return chunk, r.checkLen(i, chunk)
}

// checkLen compares the length of chunk with that of the place i. A manifest that
// is valid by itself may still name a chunk of another length.
func (r *reader) checkLen(i int, chunk []byte) error {
	if want := manifest.ChunkLen(r.m.Size, i); len(chunk) != want {
		return fmt.Errorf("chunk %d: %w: %s has %d bytes, the database has %d there",
			i, manifest.ErrCorrupt, r.m.Chunks[i].ChunkName(), len(chunk), want)
	}
	return nil
}

// fetchChunk gets a chunk from the first source that has an intact copy.
func fetchChunk(ctx context.Context, sources []Source, f manifest.Fingerprint) ([]byte, error) {
	name := f.ChunkName()
	var errs sourceErrors
	var asked []string
	absent := true
	for _, src := range sources {
		if src.Chunks == nil {
			continue
		}
		asked = append(asked, src.String())
		body, _, err := store.ReadAll(ctx, src.Chunks, name, maxCompressed)
		if err == nil {
			var chunk []byte
			if chunk, err = manifest.DecompressChunk(body, f); err == nil {
				return chunk, nil
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("fetch %s: %w", name, context.Cause(ctx))
		}
		absent = absent && store.IsNotExist(err)
		errs = append(errs, &sourceError{src.String(), err})
	}
	switch {
	case len(asked) == 0:
		return nil, fmt.Errorf("fetch %s: %w", name, ErrNoSource)
	case absent:
		return nil, fmt.Errorf("%w: %s, in %s", ErrMissing, name, strings.Join(asked, ", "))
	}
	return nil, fmt.Errorf("fetch %s: %w", name, errs)
}
