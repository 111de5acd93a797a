package copier

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/boule-db/boule/internal/recent"
	"github.com/boule-db/boule/manifest"
)

// A memory remembers which chunks were uploaded lately, so that a chunk staged again is not
// sent again. Chunks are remembered under a generation of their target; what was remembered
// under an older generation is as good as forgotten, and goes as the least recently used does.
type memory struct {
	ttl time.Duration

	mu      sync.Mutex                        // guards what follows
	expires *recent.LRU[memoryKey, time.Time] // when what was uploaded is forgotten
}

type memoryKey struct {
	generation uint64
	chunk      manifest.Fingerprint
}

func newMemory(limit int, ttl time.Duration) *memory {
	return &memory{ttl: ttl, expires: recent.NewLRU[memoryKey, time.Time](limit)}
}

// has reports whether the chunk was added not long ago.
func (m *memory) has(generation uint64, chunk manifest.Fingerprint) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := memoryKey{generation, chunk}
	expires := m.expires.Peek(key)
	if expires == nil || !time.Now().Before(*expires) {
		return false
	}
	m.expires.Use(key)
	return true
}

// add remembers the chunk for the time to live, less up to a sixth of it at random, so that
// what was uploaded together is not forgotten together.
func (m *memory) add(generation uint64, chunk manifest.Fingerprint) {
	if m.ttl <= 0 {
		return
	}
	expires := time.Now().Add(m.ttl - rand.N(m.ttl/6+1))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expires.Set(memoryKey{generation, chunk}, expires)
}
