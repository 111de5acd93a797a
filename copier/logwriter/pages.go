package logwriter

import (
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// pageSums are the fingerprints of the pages of a chunk.
type pageSums [remotelog.MaxLayers]manifest.Fingerprint

// sumPages returns those of a chunk. The pages that it does not have are left zero.
func sumPages(chunk []byte) (sums pageSums) {
	for i := 0; i*remotelog.PageSize < len(chunk); i++ {
		sums[i] = manifest.Sum(page(chunk, i))
	}
	return sums
}

// page returns page i of a chunk, which may be short.
func page(chunk []byte, i int) []byte {
	return chunk[i*remotelog.PageSize : min((i+1)*remotelog.PageSize, len(chunk))]
}

// differ returns the pages of a chunk with the given sums, of n bytes, that old does not have. A page has the
// same sum only if it has the same length.
func (old *pageSums) differ(sums *pageSums, n int) (pages uint16) {
	for i := 0; i*remotelog.PageSize < n; i++ {
		if sums[i] != old[i] {
			pages |= 1 << i
		}
	}
	return pages
}

// appendPages appends the bytes of some pages.
func appendPages(b, chunk []byte, pages uint16) []byte {
	for i := 0; i*remotelog.PageSize < len(chunk); i++ {
		if pages&(1<<i) != 0 {
			b = append(b, page(chunk, i)...)
		}
	}
	return b
}

// A pageMemory has the sums of the pages of those chunks that were uploaded last, by the number of the chunk.
// What it has says of which chunk it is, so it is never wrong, only of no use. It forgets what was not used for longest.
type pageMemory struct {
	most  int
	index map[int]int32
	nodes []pageNode // a ring of the last used, through nodes[0]
}

// A knownChunk is what is remembered of a chunk.
type knownChunk struct {
	chunk int // its number in the database
	sum   manifest.Fingerprint
	pages pageSums
}

type pageNode struct {
	knownChunk
	prev, next int32
}

func newPageMemory(most int) *pageMemory {
	return &pageMemory{most: most, index: make(map[int]int32), nodes: make([]pageNode, 1)}
}

// get returns the sums of the pages of a chunk, if it is remembered as the one with that fingerprint.
func (m *pageMemory) get(chunk int, sum manifest.Fingerprint) *pageSums {
	i, ok := m.index[chunk]
	if !ok || m.nodes[i].sum != sum {
		return nil
	}
	m.unlink(i)
	m.pushFront(i)
	return &m.nodes[i].pages
}

// set remembers a chunk as what is now uploaded.
func (m *pageMemory) set(k *knownChunk) {
	if m.most <= 0 {
		return
	}
	i, ok := m.index[k.chunk]
	switch {
	case ok:
		m.unlink(i)
	case len(m.index) < m.most:
		i = int32(len(m.nodes))
		m.nodes = append(m.nodes, pageNode{})
	default:
		i = m.nodes[0].prev
		m.unlink(i)
		delete(m.index, m.nodes[i].chunk)
	}
	m.nodes[i].knownChunk = *k
	m.index[k.chunk] = i
	m.pushFront(i)
}

func (m *pageMemory) unlink(i int32) {
	n := &m.nodes[i]
	m.nodes[n.prev].next, m.nodes[n.next].prev = n.next, n.prev
}

func (m *pageMemory) pushFront(i int32) {
	n, head := &m.nodes[i], &m.nodes[0]
	n.prev, n.next = 0, head.next
	m.nodes[head.next].prev = i
	head.next = i
}
