package logwriter

import (
	"github.com/boule-db/boule/internal/recent"
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
	chunks *recent.LRU[int, knownPages]
}

// knownPages are the sums of the pages of the chunk with that fingerprint.
type knownPages struct {
	sum   manifest.Fingerprint
	pages pageSums
}

// A knownChunk is what is remembered of a chunk.
type knownChunk struct {
	chunk int // its number in the database
	knownPages
}

func newPageMemory(most int) *pageMemory {
	return &pageMemory{recent.NewLRU[int, knownPages](most)}
}

// get returns the sums of the pages of a chunk, if it is remembered as the one with that fingerprint.
func (m *pageMemory) get(chunk int, sum manifest.Fingerprint) *pageSums {
	known := m.chunks.Peek(chunk)
	if known == nil || known.sum != sum {
		return nil
	}
	m.chunks.Use(chunk)
	return &known.pages
}

// set remembers a chunk as what is now uploaded.
func (m *pageMemory) set(k *knownChunk) { m.chunks.Set(k.chunk, k.knownPages) }
