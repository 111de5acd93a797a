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
	first   manifest.Fingerprint // of the first chunk
	index   *index
	sources []Source
	cache   *Cache // may be nil
}

func newReader(m *manifest.Manifest, sources []Source, cache *Cache) (*reader, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	r := &reader{m: m, first: manifest.Sum(m.First), sources: sources, cache: cache}
	r.index = newIndex(m, r.fetch)
	return r, nil
}

// count returns how many chunks there are.
func (r *reader) count() int { return manifest.Count(r.m.Size) }

// local returns the chunk with the fingerprint f if it needs no I/O. The caller must not
// write to it.
func (r *reader) local(f manifest.Fingerprint) ([]byte, bool) {
	switch f {
	case r.first:
		return r.m.First, true
	case manifest.ZeroChunk:
		return zeros[:], true
	}
	return nil, false
}

// fetch returns the chunk, or the index block, f from the cache or a source, verified. The
// caller must not write to it.
func (r *reader) fetch(ctx context.Context, f manifest.Fingerprint) ([]byte, error) {
	fetch := func(ctx context.Context) ([]byte, error) { return fetchChunk(ctx, r.sources, f) }
	if r.cache != nil {
		return r.cache.Get(ctx, f, fetch)
	}
	return fetch(ctx)
}

// chunk returns the chunk with index i, verified. The caller must not write to it.
func (r *reader) chunk(ctx context.Context, i int) ([]byte, error) {
	if i == 0 {
		return r.m.First, nil
	}
	f, err := r.index.sum(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("chunk %d: %w", i, err)
	}
	return r.chunkOf(ctx, i, f)
}

// chunkOf is chunk for one who knows its fingerprint.
func (r *reader) chunkOf(ctx context.Context, i int, f manifest.Fingerprint) ([]byte, error) {
	chunk, ok := r.local(f)
	if !ok {
		var err error
		if chunk, err = r.fetch(ctx, f); err != nil {
			return nil, fmt.Errorf("chunk %d: %w", i, err)
		}
	}
	return chunk, r.checkLen(i, f, chunk)
}

// checkLen compares the length of the chunk f with that of the place i. A manifest that
// is valid by itself may still name a chunk of another length.
func (r *reader) checkLen(i int, f manifest.Fingerprint, chunk []byte) error {
	if want := manifest.ChunkLen(r.m.Size, i); len(chunk) != want {
		return fmt.Errorf("chunk %d: %w: %s has %d bytes, the database has %d there",
			i, manifest.ErrCorrupt, f.ChunkName(), len(chunk), want)
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
