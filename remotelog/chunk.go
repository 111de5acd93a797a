package remotelog

import (
	"fmt"
	"math/bits"

	"github.com/boule-db/boule/manifest"
)

const (
	// PageSize is the granularity of deltas, whatever the page size of the database.
	PageSize = 4096
	// MaxLayers is how many layers a chunk may have: as many as it has pages.
	MaxLayers = manifest.ChunkSize / PageSize

	wholeChunk uint16 = 1<<MaxLayers - 1 // all pages of a chunk that is not short
)

// A Chunk is where one is: its pages in the order of Layers, each in exactly one of them.
// The chunk of zeros (manifest.ZeroChunk) has no layers.
type Chunk struct {
	Sum    manifest.Fingerprint
	Layers []Layer // the oldest first
}

// A Layer is the pages of a chunk that one frame has. Bit i of Pages is page i; a page has PageSize bytes, the last
// of a database may have fewer. The frame may have more pages of the chunk, which others have replaced.
type Layer struct {
	Frame Place
	Pages uint16
}

// AllPages returns the pages of a chunk of n bytes.
func AllPages(n int) uint16 {
	return uint16(1<<min((max(n, 0)+PageSize-1)/PageSize, MaxLayers) - 1)
}

// Pages returns all pages that the chunk has.
func (c *Chunk) Pages() (all uint16) {
	for _, l := range c.Layers {
		all |= l.Pages
	}
	return all
}

// Cover puts a layer on top: from now on, frame has these pages, and the older layers only the others. Layers
// that have no page left go away. It makes new Layers and leaves the old ones as they were, since others may share them.
// Sum is for the caller to set.
func (c *Chunk) Cover(pages uint16, frame Place) {
	if pages == 0 {
		return
	}
	c.Layers = append(without(c.Layers, pages), Layer{Frame: frame, Pages: pages})
}

// Truncate takes away the pages that a chunk of n bytes does not have. It makes new Layers, as Cover does.
func (c *Chunk) Truncate(n int) {
	if gone := c.Pages() &^ AllPages(n); gone != 0 {
		c.Layers = without(c.Layers, gone)
	}
}

// without returns a copy of layers, with room for one more, that lacks some pages.
func without(layers []Layer, pages uint16) []Layer {
	left := make([]Layer, 0, len(layers)+1)
	for _, l := range layers {
		if l.Pages &^= pages; l.Pages != 0 {
			left = append(left, l)
		}
	}
	return left
}

// check fails unless each of these pages is in exactly one layer, and no other page is in any. pages of 0 means
// those of any chunk, whole or short. Places must be such as an entry of the number may name.
func (c *Chunk) check(pages uint16, number uint64) error {
	if c.Sum == manifest.ZeroChunk {
		if len(c.Layers) > 0 {
			return corrupt("the chunk of zeros has %d layers", len(c.Layers))
		}
		return nil
	}
	if len(c.Layers) == 0 {
		return corrupt("chunk %v is nowhere", c.Sum)
	}
	var all uint16
	for i := range c.Layers {
		l := &c.Layers[i]
		if l.Pages == 0 || l.Pages&all != 0 {
			return corrupt("layer %d of chunk %v has the pages %016b, those before it %016b", i, c.Sum, l.Pages, all)
		}
		all |= l.Pages
		if err := l.Frame.check(number, MaxDelta); err != nil {
			return fmt.Errorf("chunk %v: %w", c.Sum, err)
		}
	}
	if pages == 0 && all&(all+1) == 0 {
		return nil
	}
	if all != pages {
		return corrupt("chunk %v has the pages %016b, not %016b", c.Sum, all, pages)
	}
	return nil
}

// A FrameReader returns the kind of the frame at a place and what is in it, as [OpenFrame] does. It may return the same
// bytes again and again: they are only read.
type FrameReader func(Place) (Kind, []byte, error)

// Compose returns the bytes of the chunk, of which there are n, and which is the one with that number in the
// database. read is called once per layer, with its frame. Compose fails with [ErrCorrupt] unless the result has the
// fingerprint of the chunk, and with read's error.
func (c *Chunk) Compose(number int64, n int, read FrameReader) ([]byte, error) {
	if n < 0 || n > manifest.ChunkSize {
		return nil, corrupt("a chunk of %d bytes", n)
	}
	if c.Sum == manifest.ZeroChunk {
		if n != manifest.ChunkSize {
			return nil, errShortZero
		}
		return make([]byte, n), nil
	}
	data := make([]byte, n)
	var all uint16
	for i := range c.Layers {
		l := &c.Layers[i]
		kind, raw, err := read(l.Frame)
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", number, err)
		}
		if err := l.copy(data, number, kind, raw); err != nil {
			return nil, fmt.Errorf("chunk %d, frame %v: %w", number, l.Frame, err)
		}
		all |= l.Pages
	}
	if all != AllPages(n) {
		return nil, corrupt("chunk %d has the pages %016b of %d bytes", number, all, n)
	}
	if got := manifest.Sum(data); got != c.Sum {
		return nil, corrupt("chunk %d has the fingerprint %v, not %v", number, got, c.Sum)
	}
	return data, nil
}

// copy copies the pages of the layer to where they belong in data, which is the chunk.
func (l *Layer) copy(data []byte, number int64, kind Kind, raw []byte) error {
	var has uint16
	var pages []byte
	switch kind {
	case KindChunk:
		has, pages = AllPages(len(raw)), raw
	case KindDelta:
		deltas, err := DecodeDeltas(raw)
		if err != nil {
			return err
		}
		for _, d := range deltas {
			if d.Chunk == number {
				has, pages = d.Pages, d.Data
			}
		}
	default:
		return corrupt("a frame of kind %d has no pages", kind)
	}
	if missing := l.Pages &^ has; missing != 0 {
		return corrupt("the frame does not have the pages %016b", missing)
	}
	for ; has != 0; has &= has - 1 {
		page := bits.TrailingZeros16(has)
		if l.Pages&(1<<page) != 0 {
			if page*PageSize >= len(data) {
				return corrupt("page %d is behind the end", page)
			}
			// What the frame has may be longer, from before the database was truncated, but not shorter.
			to := data[page*PageSize : min((page+1)*PageSize, len(data))]
			if copy(to, pages) < len(to) {
				return corrupt("page %d is cut short", page)
			}
		}
		pages = pages[min(PageSize, len(pages)):]
	}
	return nil
}
