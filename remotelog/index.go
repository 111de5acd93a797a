package remotelog

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

// AppendIndex appends the raw content of a frame of kind KindIndex: 1 to manifest.BlockChunks chunks. It panics if that is
// not so or if a chunk breaks a rule of the format: each page in exactly one layer, all of them there, and only the last
// chunk short.
func AppendIndex(b []byte, chunks []Chunk) []byte {
	if err := checkIndex(chunks); err != nil {
		panic(fmt.Sprintf("remotelog: AppendIndex: %v", err))
	}
	return appendIndex(b, chunks)
}

func appendIndex(b []byte, chunks []Chunk) []byte {
	base := newest(chunks)
	b = protowire.AppendVarint(b, base)
	b = protowire.AppendVarint(b, uint64(len(chunks)))
	return appendColumns(b, base, nil, chunks)
}

// newest is the greatest number of an entry among the objects that chunks lie in.
func newest(chunks []Chunk) (number uint64) {
	for i := range chunks {
		for _, l := range chunks[i].Layers {
			number = max(number, l.Frame.Object.Entry)
		}
	}
	return number
}

// DecodeIndex is the reverse of AppendIndex. It fails with [ErrCorrupt].
func DecodeIndex(raw []byte) ([]Chunk, error) {
	if len(raw) > MaxIndex {
		return nil, fmt.Errorf("decode index block: %w", corrupt("it has %d bytes", len(raw)))
	}
	c := cursor{rest: raw}
	base := c.uint(MaxNumber)
	n := c.uint(manifest.BlockChunks)
	_, chunks := c.columns(base, 0, int(n))
	if c.failed || len(c.rest) > 0 {
		return nil, fmt.Errorf("decode index block: %w", corrupt("it is cut short or malformed"))
	}
	if err := checkIndex(chunks); err != nil {
		return nil, fmt.Errorf("decode index block: %w", err)
	}
	if !bytes.Equal(appendIndex(make([]byte, 0, len(raw)), chunks), raw) {
		return nil, fmt.Errorf("decode index block: %w", corrupt("it is not in its shortest form"))
	}
	return chunks, nil
}

// checkIndex checks the rules about the chunks of an index block that hold wherever in a database it is.
func checkIndex(chunks []Chunk) error {
	if len(chunks) == 0 || len(chunks) > manifest.BlockChunks {
		return corrupt("%d chunks", len(chunks))
	}
	for i := range chunks {
		pages := wholeChunk
		if i == len(chunks)-1 {
			pages = 0
		}
		if err := chunks[i].check(pages, MaxNumber); err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
	}
	return nil
}

// appendColumns appends chunks column by column: fingerprints, shapes, pages of layers; then the other places and those of
// the layers, which refer to each other.
func appendColumns(b []byte, base uint64, others []Place, chunks []Chunk) []byte {
	layers := 0
	for i := range chunks {
		b = appendSum(b, chunks[i].Sum)
		layers += len(chunks[i].Layers)
	}
	places := append(make([]Place, 0, len(others)+layers), others...)
	for i := range chunks {
		b = append(b, shape(&chunks[i]))
	}
	for i := range chunks {
		layers := chunks[i].Layers
		for _, l := range layers {
			places = append(places, l.Frame)
		}
		if chunks[i].Pages() == wholeChunk {
			layers = layers[1:] // the first has what is left
		}
		for _, l := range layers {
			b = binary.BigEndian.AppendUint16(b, l.Pages)
		}
	}
	return appendPlaces(b, base, places)
}

// shape says how many layers a chunk has, and whether they have all pages of a chunk that is not short: 0 is none,
// 2n-1 is n that have, 2n is n that have not.
func shape(c *Chunk) byte {
	s := 2 * len(c.Layers)
	if c.Pages() == wholeChunk {
		s--
	}
	return byte(s)
}

// columns undoes appendColumns. Whether the chunks keep the rules is for the caller to check.
func (c *cursor) columns(base uint64, others, n int) ([]Place, []Chunk) {
	sums := c.sums(n)
	shapes := c.bytes(n)
	layers := 0
	for _, s := range shapes {
		if s > 2*MaxLayers {
			c.fail()
		}
		layers += int(s+1) / 2
	}
	if c.failed || layers > len(c.rest) {
		c.fail()
		return nil, nil
	}
	chunks := make([]Chunk, n)
	all := make([]Layer, layers) // of all chunks: one allocation instead of thousands
	rest := all
	for i, s := range shapes {
		chunks[i].Sum = manifest.At(sums, i)
		n := int(s+1) / 2
		if n == 0 {
			continue
		}
		mine := rest[:n:n]
		rest = rest[n:]
		chunks[i].Layers = mine
		if s%2 == 1 {
			mine[0].Pages, mine = wholeChunk, mine[1:]
		}
		for k := range mine {
			mine[k].Pages = c.mask()
			if s%2 == 1 {
				chunks[i].Layers[0].Pages &^= mine[k].Pages
			}
		}
	}
	places := c.places(base, others+layers)
	if c.failed {
		return nil, nil
	}
	for i := range all {
		all[i].Frame = places[others+i]
	}
	return places[:others], chunks
}
