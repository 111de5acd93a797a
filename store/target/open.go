package target

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/storeurl"
)

// OpenOptions says how to open a target's stores.
type OpenOptions = storeurl.Options

// Stores are the two halves of a target.
type Stores struct {
	Chunks    store.Store // packs too
	Manifests store.Store // entries too
	Layout    Layout      // not empty
}

// Open opens a target's stores, each with retries and a budget. A bucket that
// does not exist is store.ErrNoBucket, unless the target says to create it, or nobody
// looks since the options say ReadOnly. A directory may be absent: the first Put creates it.
func Open(ctx context.Context, t Target, opts *OpenOptions) (*Stores, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	s, err := open(ctx, t, opts)
	if err != nil {
		return nil, fmt.Errorf("open replication target %s: %w", t, err)
	}
	s.Layout = t.LayoutOrDefault()
	return s, nil
}

func open(ctx context.Context, t Target, opts *OpenOptions) (*Stores, error) {
	var o OpenOptions
	if opts != nil {
		o = *opts
	}
	if o.Limiter == nil {
		o.Limiter = budget.NewLimiter(nil) // one for both halves
	}
	switch {
	case t.File != nil:
		s, err := storeurl.URL{Dir: t.File.Directory}.Stack(ctx, &o)
		if err != nil {
			return nil, err
		}
		return below(s, ""), nil
	case t.S3 != nil && t.S3.Bucket != "":
		s, err := bucket(ctx, t.S3, t.S3.Bucket, &o)
		if err != nil {
			return nil, err
		}
		return below(s, t.S3.keyPrefix()), nil
	case t.S3 != nil:
		chunks, err := bucket(ctx, t.S3, t.S3.ChunkBucket, &o)
		if err != nil {
			return nil, err
		}
		manifests := chunks
		if t.S3.ManifestBucket != t.S3.ChunkBucket {
			if manifests, err = bucket(ctx, t.S3, t.S3.ManifestBucket, &o); err != nil {
				return nil, err
			}
		}
		prefix := t.S3.keyPrefix()
		return &Stores{Chunks: store.WithPrefix(chunks, prefix), Manifests: store.WithPrefix(manifests, prefix)}, nil
	}
	return nil, errors.New("a cache is for reading only; write an s3 or a file target")
}

func below(s store.Store, prefix string) *Stores {
	return &Stores{Chunks: store.WithPrefix(s, prefix+"chunks/"), Manifests: store.WithPrefix(s, prefix+"manifests/")}
}

func (s *S3) keyPrefix() string {
	if p := s.url("").Prefix; p != "" {
		return p + "/"
	}
	return ""
}

func bucket(ctx context.Context, s *S3, name string, opts *OpenOptions) (store.Store, error) {
	stack, err := s.url(name).Stack(ctx, opts)
	if err != nil {
		return nil, err
	}
	if opts.ReadOnly {
		return stack, nil
	}
	return stack, store.Prepare(ctx, stack, s.CreateBucketsOnDemand)
}
