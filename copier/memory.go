package copier

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/boule-db/boule/manifest"
)

// A memory remembers which chunks were uploaded lately, so that a chunk staged again is not
// sent again. Chunks are remembered under a generation of their target; what was remembered
// under an older generation is as good as forgotten, and goes as the least recently used does.
type memory struct {
	max int
	ttl time.Duration

	mu    sync.Mutex // guards what follows
	index map[memoryKey]int32
	nodes []memoryNode // a ring of the last used, through nodes[0]
}

type memoryKey struct {
	generation uint64
	chunk      manifest.Fingerprint
}

type memoryNode struct {
	key        memoryKey
	expires    time.Time
	prev, next int32
}

func newMemory(limit int, ttl time.Duration) *memory {
	return &memory{max: limit, ttl: ttl, index: make(map[memoryKey]int32), nodes: make([]memoryNode, 1)}
}

// has reports whether the chunk was added not long ago.
func (m *memory) has(generation uint64, chunk manifest.Fingerprint) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.index[memoryKey{generation, chunk}]
	if !ok || !time.Now().Before(m.nodes[i].expires) {
		return false
	}
	m.unlink(i)
	m.pushFront(i)
	return true
}

// add remembers the chunk for the time to live, less up to a sixth of it at random, so that
// what was uploaded together is not forgotten together.
func (m *memory) add(generation uint64, chunk manifest.Fingerprint) {
	if m.max <= 0 || m.ttl <= 0 {
		return
	}
	key := memoryKey{generation, chunk}
	expires := time.Now().Add(m.ttl - rand.N(m.ttl/6+1))

	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.index[key]
	switch {
	case ok:
		m.unlink(i)
	case len(m.index) < m.max:
		i = int32(len(m.nodes))
		m.nodes = append(m.nodes, memoryNode{})
	default:
		i = m.nodes[0].prev
		m.unlink(i)
		delete(m.index, m.nodes[i].key)
	}
	m.nodes[i].key, m.nodes[i].expires = key, expires
	m.index[key] = i
	m.pushFront(i)
}

func (m *memory) unlink(i int32) {
	n := &m.nodes[i]
	m.nodes[n.prev].next, m.nodes[n.next].prev = n.next, n.prev
}

func (m *memory) pushFront(i int32) {
	n, head := &m.nodes[i], &m.nodes[0]
	n.prev, n.next = 0, head.next
	m.nodes[head.next].prev = i
	head.next = i
}
