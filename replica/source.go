package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
)

// A Source is where a replica may be read from. Either store may be nil: then
// the source has none of that kind.
type Source struct {
	Name      string // for messages; empty means the name of a store
	Chunks    store.Store
	Manifests store.Store
}

// String returns the source's name.
func (s Source) String() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.Manifests != nil:
		return s.Manifests.String()
	case s.Chunks != nil:
		return s.Chunks.String()
	}
	return "(nothing)"
}

// A Remote is a manifest as it was found in a source.
type Remote struct {
	Manifest *manifest.Manifest
	Encoded  []byte // the manifest's bytes, not compressed
	Source   Source
	ETag     string // as the store had it
}

// FetchManifest gets a manifest from the first source that has a valid one, with
// its encoded bytes, not compressed. If all were asked and none has it, it fails
// with [ErrNotFound]; if some could not be asked, or what they have is damaged, with
// all their errors.
func FetchManifest(ctx context.Context, sources []Source, name string) (*manifest.Manifest, []byte, Source, error) {
	r, err := Poll(ctx, sources, name, nil)
	if err != nil {
		return nil, nil, Source{}, err
	}
	return r.Manifest, r.Encoded, r.Source, nil
}

// Poll is [FetchManifest] for one who already has last, which may be nil. If the
// source that last came from says that it has not changed, the result is last
// itself and nothing is transferred.
func Poll(ctx context.Context, sources []Source, name string, last *Remote) (*Remote, error) {
	var errs sourceErrors
	var asked []string
	absent := true
	for _, src := range sources {
		if src.Manifests == nil {
			continue
		}
		asked = append(asked, src.String())
		r, err := poll(ctx, src, name, last)
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("fetch manifest %s: %w", name, context.Cause(ctx))
		}
		absent = absent && store.IsNotExist(err)
		errs = append(errs, &sourceError{src.String(), err})
	}
	switch {
	case len(asked) == 0:
		return nil, fmt.Errorf("fetch manifest %s: %w", name, ErrNoSource)
	case absent:
		return nil, fmt.Errorf("%w: %s, in %s", ErrNotFound, name, strings.Join(asked, ", "))
	}
	return nil, fmt.Errorf("fetch manifest %s: %w", name, errs)
}

// poll asks one source.
func poll(ctx context.Context, src Source, name string, last *Remote) (r *Remote, err error) {
	opts := &store.GetOptions{}
	if last != nil && last.Source.String() == src.String() {
		opts.IfNoneMatch = last.ETag
	}
	obj, err := src.Manifests.Get(ctx, name, opts)
	if errors.Is(err, store.ErrNotModified) && opts.IfNoneMatch != "" {
		return last, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, obj.Body.Close()) }()
	body, err := readLimited(obj.Body, manifest.MaxManifest)
	if err != nil {
		return nil, err
	}
	m, encoded, err := Parse(body)
	if err != nil {
		return nil, err
	}
	return &Remote{Manifest: m, Encoded: encoded, Source: src, ETag: obj.ETag}, nil
}

// isNotExist says whether err is about an object or a file that is not there.
func isNotExist(err error) bool { return store.IsNotExist(err) || errors.Is(err, fs.ErrNotExist) }

// readLimited reads all of r, or fails if that is more than limit bytes.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", manifest.ErrCorrupt, limit)
	}
	return body, nil
}

// Parse decodes and validates a manifest, compressed or not, and also returns its
// bytes, not compressed.
func Parse(body []byte) (*manifest.Manifest, []byte, error) {
	encoded := body
	if manifest.IsCompressed(body) {
		var err error
		if encoded, err = manifest.DecompressManifest(body); err != nil {
			return nil, nil, err
		}
	}
	m, err := manifest.Decode(encoded)
	if err != nil {
		return nil, nil, err
	}
	return m, encoded, nil
}
