package manifest

import (
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"
)

// Bounds of the index.
const (
	// BlockChunks is how many fingerprints a whole index block has: it covers 256 MiB of
	// the database, and is as long as a chunk. The last block of a database is shorter.
	BlockChunks = ChunkSize / fingerprintSize
	// MaxOverrides is how many overrides a manifest may have. Writers keep to much fewer.
	MaxOverrides = 1 << 17
)

// NoBlock says that no index block is stored.
var NoBlock Fingerprint

// A Block describes the fingerprints of BlockChunks successive chunks, or of the last
// ones: an index block as it is stored, and what has changed since it was written.
type Block struct {
	// Stored names the index block, which is kept where chunks are and under such a name;
	// [NoBlock] if there is none.
	Stored Fingerprint
	// Digest is the fingerprint of the whole list, in its binary form: what Stored would be
	// if the block were stored now.
	Digest Fingerprint
	// Overrides are the fingerprints of chunks that are not those of the stored block, by
	// ascending place. That of the first chunk of the database is never among them, since
	// it follows from the manifest's First.
	Overrides []Override
}

// An Override is the fingerprint of one chunk of a block.
type Override struct {
	Place int // in the block
	Sum   Fingerprint
}

// BlockCount returns how many blocks the list of so many chunks has.
func BlockCount(chunks int) int { return (chunks + BlockChunks - 1) / BlockChunks }

// BlockLen returns how many of so many chunks belong to block b.
func BlockLen(chunks, b int) int { return max(0, min(chunks-b*BlockChunks, BlockChunks)) }

// AppendList appends the binary form of a list of fingerprints.
func AppendList(b []byte, list []Fingerprint) []byte {
	for _, f := range list {
		b = f.append(b)
	}
	return b
}

// At returns the fingerprint at a place of a list in its binary form.
func At(list []byte, place int) Fingerprint { return fingerprintOf(list[place*fingerprintSize:]) }

// SetAt replaces the fingerprint at a place of a list in its binary form.
func SetAt(list []byte, place int, f Fingerprint) {
	f.append(list[place*fingerprintSize : place*fingerprintSize])
}

// InlineBlocks describes a list of fingerprints without any stored block.
func InlineBlocks(list []Fingerprint) []Block {
	var blocks []Block
	for b := range BlockCount(len(list)) {
		part := list[b*BlockChunks:][:BlockLen(len(list), b)]
		block := Block{Digest: Sum(AppendList(nil, part))}
		for place, f := range part {
			if b > 0 || place > 0 {
				block.Overrides = append(block.Overrides, Override{place, f})
			}
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// CheckBlock fails with [ErrCorrupt] unless data is the index block of that name.
func CheckBlock(f Fingerprint, data []byte) error {
	if len(data) == 0 || len(data) > ChunkSize || len(data)%fingerprintSize != 0 {
		return corrupt("index block %v has %d bytes", f, len(data))
	}
	if got := Sum(data); got != f {
		return corrupt("index block %v has the fingerprint %v", f, got)
	}
	return nil
}

// Apply returns the list of n fingerprints that b describes, in its binary form, given the
// stored index block. With first, which is that of the database, b is the first block. What neither
// the stored block nor an override gives is left zero. The result shares no memory with stored.
func (b *Block) Apply(stored []byte, n int, first *Fingerprint) ([]byte, error) {
	list := make([]byte, n*fingerprintSize)
	if b.Stored != NoBlock {
		if err := CheckBlock(b.Stored, stored); err != nil {
			return nil, err
		}
		copy(list, stored)
	}
	for _, o := range b.Overrides {
		if o.Place < 0 || o.Place >= n {
			return nil, corrupt("override %d of %d fingerprints", o.Place, n)
		}
		SetAt(list, o.Place, o.Sum)
	}
	if first != nil && n > 0 {
		SetAt(list, 0, *first)
	}
	return list, nil
}

// A BlockReader returns the content of the index block with a name, as [Manifest.Block] needs it.
type BlockReader func(Fingerprint) ([]byte, error)

// Block returns the fingerprints of the chunks of block b, in binary form. read may be nil if the
// manifest names no stored block. It fails with [ErrCorrupt] if what it read, or
// the manifest, is not what the writer made, and with read's error.
func (m *Manifest) Block(b int, read BlockReader) ([]byte, error) {
	count := Count(m.Size)
	n := BlockLen(count, b)
	if b < 0 || b >= len(m.Blocks) || n == 0 {
		return nil, corrupt("there is no index block %d", b)
	}
	block := &m.Blocks[b]
	var stored []byte
	if block.Stored != NoBlock {
		if read == nil {
			return nil, corrupt("index block %v is not at hand", block.Stored)
		}
		var err error
		if stored, err = read(block.Stored); err != nil {
			return nil, fmt.Errorf("index block %d: %w", b, err)
		}
	}
	var first *Fingerprint
	if b == 0 {
		sum := Sum(m.First)
		first = &sum
	}
	list, err := block.Apply(stored, n, first)
	if err != nil {
		return nil, err
	}
	if got := Sum(list); got != block.Digest {
		return nil, corrupt("the fingerprints of block %d have the fingerprint %v, not %v", b, got, block.Digest)
	}
	if b == len(m.Blocks)-1 && m.Size%ChunkSize != 0 && At(list, n-1) == ZeroChunk {
		return nil, corrupt("last chunk is short, but has the fingerprint of a whole one")
	}
	return list, nil
}

// Whole reports whether the manifest names no stored block.
func (m *Manifest) Whole() bool {
	for i := range m.Blocks {
		if m.Blocks[i].Stored != NoBlock {
			return false
		}
	}
	return true
}

// List returns the fingerprints of all chunks: Chunks, or what the blocks say. It fails as Block
// does. The result must not be changed.
func (m *Manifest) List(read BlockReader) ([]Fingerprint, error) {
	if m.Chunks != nil || m.Size == 0 {
		return m.Chunks, nil
	}
	var list []Fingerprint // not made for all: the manifest alone proves nothing about its size
	for b := range m.Blocks {
		part, err := m.Block(b, read)
		if err != nil {
			return nil, err
		}
		list = slices.Grow(list, len(part)/fingerprintSize)
		for i := range len(part) / fingerprintSize {
			list = append(list, At(part, i))
		}
	}
	return list, nil
}

// Expand sets Chunks to what List returns.
func (m *Manifest) Expand(read BlockReader) (err error) {
	m.Chunks, err = m.List(read)
	return err
}

// Contents returns the digest of the whole content of the database: the fingerprint of the
// digests of all blocks. How the blocks are stored does not matter to it.
func (m *Manifest) Contents() Fingerprint {
	blocks := m.Blocks
	if blocks == nil {
		blocks = InlineBlocks(m.Chunks)
	}
	return contents(blocks)
}

func contents(blocks []Block) Fingerprint {
	var h xxh3.Hasher
	var buf [fingerprintSize]byte
	for i := range blocks {
		_, _ = h.Write(blocks[i].Digest.append(buf[:0]))
	}
	sum := h.Sum128()
	return Fingerprint{Hi: sum.Hi, Lo: sum.Lo}
}
