package replica

import (
	"container/list"
	"context"
	"sync"

	"github.com/boule-db/boule/manifest"
)

// entryOverhead is about what the cache itself needs per chunk.
const entryOverhead = 256

// A Cache keeps verified chunks, those least recently used going first. Chunks are
// named by their content, so one Cache serves all replicas of a process, whatever
// stores they come from. While a chunk is being fetched, whoever else needs it
// waits for that. A Cache is safe for concurrent use.
type Cache struct {
	max int64

	fetches sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	bytes   int64
	recent  *list.List // of *entry, the most recently used in front
	entries map[manifest.Fingerprint]*list.Element
	flights map[manifest.Fingerprint]*flight
	stats   CacheStats
}

// CacheStats are numbers of a [Cache].
type CacheStats struct {
	Chunks  int   // now in it
	Bytes   int64 // that they take
	Hits    int64 // chunks that were there
	Shared  int64 // chunks that somebody was fetching already
	Misses  int64 // chunks that had to be fetched
	Evicted int64 // chunks that had to go
}

type entry struct {
	f     manifest.Fingerprint
	chunk []byte // never written to
}

func (e *entry) size() int64 { return int64(cap(e.chunk)) + entryOverhead }

// A flight is a fetch in progress. The fields chunk and err are set before done
// is closed.
type flight struct {
	done    chan struct{}
	waiters int // guarded by Cache.mu; the fetch is cancelled when nobody waits
	cancel  context.CancelFunc
	chunk   []byte
	err     error
}

// NewCache returns an empty cache of at most maxBytes bytes. A chunk takes about
// 64 KiB, also the short one at the end of a database. With less than that nothing is
// kept, but fetches are still shared.
func NewCache(maxBytes int64) *Cache {
	return &Cache{
		max:     maxBytes,
		recent:  list.New(),
		entries: map[manifest.Fingerprint]*list.Element{},
		flights: map[manifest.Fingerprint]*flight{},
	}
}

// Stats returns the numbers up to now.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Chunks, s.Bytes = c.recent.Len(), c.bytes
	return s
}

// Get returns the chunk f, calling fetch if it has to, which must return a chunk that is verified and that
// nobody writes to any more. The result is shared: it must not be written to. Errors are not kept.
//
// fetch runs in a goroutine of its own, so that one reader giving up does not
// spoil it for the others. Its context ends when the last of them gives up.
func (c *Cache) Get(ctx context.Context, f manifest.Fingerprint, fetch func(context.Context) ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	if el, ok := c.entries[f]; ok {
		c.recent.MoveToFront(el)
		c.stats.Hits++
		c.mu.Unlock()
		return el.Value.(*entry).chunk, nil
	}
	fl := c.flights[f]
	if fl == nil {
		c.stats.Misses++
		fl = c.start(ctx, f, fetch)
	} else {
		c.stats.Shared++
	}
	fl.waiters++
	c.mu.Unlock()

	select {
	case <-fl.done:
		return fl.chunk, fl.err
	case <-ctx.Done():
		c.leave(f, fl)
		return nil, context.Cause(ctx)
	}
}

// Has says whether the chunk f is there. That does not count as a use of it.
func (c *Cache) Has(f manifest.Fingerprint) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.entries[f]
	return ok
}

// start begins a fetch; the caller holds c.mu.
func (c *Cache) start(ctx context.Context, f manifest.Fingerprint, fetch func(context.Context) ([]byte, error)) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fl := &flight{done: make(chan struct{}), cancel: cancel}
	c.flights[f] = fl
	c.fetches.Go(func() {
		defer cancel()
		fl.chunk, fl.err = fetch(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.flights[f] == fl {
			delete(c.flights, f)
		}
		if fl.err == nil {
			c.add(f, fl.chunk)
		}
		close(fl.done)
	})
	return fl
}

// wait waits for fetches that go on although nobody needs them, because they have
// not yet noticed that they were cancelled. Nobody may call Get meanwhile.
func (c *Cache) wait() { c.fetches.Wait() }

// leave is called by a waiter that gives up.
func (c *Cache) leave(f manifest.Fingerprint, fl *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fl.waiters--
	if fl.waiters == 0 {
		fl.cancel()
		if c.flights[f] == fl {
			delete(c.flights, f) // the next one starts afresh
		}
	}
}

// add keeps a chunk; the caller holds c.mu.
func (c *Cache) add(f manifest.Fingerprint, chunk []byte) {
	e := &entry{f, chunk}
	if _, ok := c.entries[f]; ok || e.size() > c.max {
		return
	}
	c.bytes += e.size()
	c.entries[f] = c.recent.PushFront(e)
	for c.bytes > c.max {
		oldest := c.recent.Remove(c.recent.Back()).(*entry)
		delete(c.entries, oldest.f)
		c.bytes -= oldest.size()
		c.stats.Evicted++
	}
}
