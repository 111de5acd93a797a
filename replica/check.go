package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
)

// CheckOptions configure [Check]. Nil is the same as the zero value.
type CheckOptions struct {
	// Percent is how many of the chunks are fetched and compared with their fingerprints: 0 is none, 100 and more
	// is all. Of the others only the existence is asked.
	Percent int
	// Shift turns the choice of those that are fetched, so that checks with different ones fetch others.
	Shift uint32
	// Jobs is how many requests are under way at a time; 0 means 16.
	Jobs int
	// Progress is called as chunks are done, by one goroutine at a time. It should return soon.
	Progress func(done, total int)
}

// CheckStats are what [Check] saw.
type CheckStats struct {
	Blocks int   // stored index blocks, all of which are read
	Chunks int   // that the database has, without those that are like the first one, which is in the manifest, or zeros
	Asked  int   // for how many the store was asked; the same one is named again in places
	Read   int   // of those, how many were fetched and are sound
	Bytes  int64 // that the objects have which were asked for
	Faults int
}

// Check looks whether everything is in src that m needs: every index block is read and verified, and for every chunk it asks
// whether it is there. fault is called with everything that is wrong and the name of the object, by one goroutine at a time. The error is about
// something else, which ended the check.
func Check(ctx context.Context, m *manifest.Manifest, src Source, opts *CheckOptions, fault func(object string, err error)) (CheckStats, error) {
	c := &checker{m: m, src: src, fault: fault, told: map[manifest.Fingerprint]bool{}}
	if opts != nil {
		c.opts = *opts
	}
	if err := m.Validate(); err != nil {
		return c.stats, fmt.Errorf("check: %w", err)
	}
	for b := range m.Blocks {
		if err := c.block(ctx, b); err != nil {
			return c.stats, fmt.Errorf("check: %w", err)
		}
	}
	return c.stats, nil
}

type checker struct {
	m     *manifest.Manifest
	src   Source
	opts  CheckOptions
	fault func(object string, err error)

	mu    sync.Mutex // guards the following, and is held while fault and Progress are called
	told  map[manifest.Fingerprint]bool
	done  int
	stats CheckStats
}

// bad reports an error about an object if it is a fault, and returns it otherwise.
func (c *checker) bad(f manifest.Fingerprint, err error) error {
	if !store.IsNotExist(err) && !errors.Is(err, manifest.ErrCorrupt) && !errors.Is(err, store.ErrTooLarge) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.told[f] {
		c.told[f] = true
		c.stats.Faults++
		c.fault(f.ChunkName(), err)
	}
	return nil
}

func (c *checker) count(n int) {
	c.done += n
	if c.opts.Progress != nil {
		c.opts.Progress(c.done, manifest.Count(c.m.Size))
	}
}

// block checks an index block and the chunks that it names, each once.
func (c *checker) block(ctx context.Context, b int) error {
	stored := c.m.Blocks[b].Stored
	list, err := c.m.Block(b, func(f manifest.Fingerprint) ([]byte, error) {
		c.stats.Blocks++
		data, _, err := c.get(ctx, f)
		return data, err
	})
	if err != nil {
		return c.bad(stored, err)
	}
	n := manifest.BlockLen(manifest.Count(c.m.Size), b)
	lens := make(map[manifest.Fingerprint]int, n) // how long the chunks are
	first := manifest.Sum(c.m.First)
	again := 0
	for place := range n {
		f, i := manifest.At(list, place), b*manifest.BlockChunks+place
		if i == 0 || f == first || f == manifest.ZeroChunk {
			again++
			continue
		}
		c.stats.Chunks++
		want := manifest.ChunkLen(c.m.Size, i)
		if had, ok := lens[f]; ok {
			again++
			if had != want {
				return c.bad(f, fmt.Errorf("%w: chunks of different lengths have the name", manifest.ErrCorrupt))
			}
			continue
		}
		lens[f] = want
	}
	c.count(again)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(jobsOrDefault(c.opts.Jobs))
	for f, want := range lens {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := c.chunk(gctx, f, want); err != nil {
				return c.bad(f, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func (c *checker) chunk(ctx context.Context, f manifest.Fingerprint, want int) error {
	read := (f.Lo%100+uint64(c.opts.Shift))%100 < uint64(max(c.opts.Percent, 0))
	size, err := int64(0), error(nil)
	if read {
		var data []byte
		if data, size, err = c.get(ctx, f); err == nil && len(data) != want {
			err = fmt.Errorf("%w: it has %d bytes, the database has %d there", manifest.ErrCorrupt, len(data), want)
		}
	} else {
		var info store.Info
		info, err = c.src.Chunks.Head(ctx, f.ChunkName())
		if size = info.Size; err == nil && (size == 0 || size > maxCompressed) {
			err = fmt.Errorf("%w: the object has %d bytes", manifest.ErrCorrupt, size)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Asked++
	c.stats.Bytes += size
	if read && err == nil {
		c.stats.Read++
	}
	c.count(1)
	return err
}

// get returns a chunk or an index block, verified, and the size of its object.
func (c *checker) get(ctx context.Context, f manifest.Fingerprint) ([]byte, int64, error) {
	body, info, err := store.ReadAll(ctx, c.src.Chunks, f.ChunkName(), maxCompressed)
	if err != nil {
		return nil, 0, err
	}
	data, err := manifest.DecompressChunk(body, f)
	return data, info.Size, err
}
