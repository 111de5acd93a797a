package replica

import (
	"context"

	"github.com/boule-db/boule/internal/recent"
	"github.com/boule-db/boule/manifest"
)

// keptLists is how many expanded index blocks a reader keeps. Each takes 64 KiB, and is of 256 MiB
// of the database. The blocks as stored are in the cache besides, like chunks.
const keptLists = 16

// An index tells the fingerprints of the chunks of one manifest, getting index blocks when they
// are needed. It is safe for concurrent use.
type index struct {
	m     *manifest.Manifest
	fetch func(context.Context, manifest.Fingerprint) ([]byte, error)
	lists *recent.Values[int, []byte] // of the fingerprints of blocks, in binary form. Nobody writes to one
}

func newIndex(m *manifest.Manifest, fetch func(context.Context, manifest.Fingerprint) ([]byte, error)) *index {
	return &index{m: m, fetch: fetch, lists: recent.New[int, []byte](keptLists)}
}

// sum returns the fingerprint of chunk i.
func (x *index) sum(ctx context.Context, i int) (manifest.Fingerprint, error) {
	if x.m.Chunks != nil {
		return x.m.Chunks[i], nil
	}
	sums, err := x.list(ctx, i/manifest.BlockChunks)
	if err != nil {
		return manifest.Fingerprint{}, err
	}
	return manifest.At(sums, i%manifest.BlockChunks), nil
}

func (x *index) list(ctx context.Context, block int) ([]byte, error) {
	if sums, ok := x.lists.Get(block); ok {
		return sums, nil
	}
	sums, err := x.m.Block(block, func(f manifest.Fingerprint) ([]byte, error) { return x.fetch(ctx, f) })
	if err != nil {
		return nil, err
	}
	x.lists.Add(block, sums)
	return sums, nil
}

// window returns the fingerprints of n chunks from i on.
func (x *index) window(ctx context.Context, i, n int) ([]manifest.Fingerprint, error) {
	if x.m.Chunks != nil {
		return x.m.Chunks[i : i+n], nil
	}
	all := make([]manifest.Fingerprint, 0, n)
	for ; n > 0; i, n = i+1, n-1 {
		f, err := x.sum(ctx, i)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}
