package tracker

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/boule-db/boule/manifest"
)

// maxLoaded bounds the lists of an index that are kept in memory, of 64 KiB each.
const maxLoaded = 64

// An index is the list of the fingerprints of a database's chunks while it changes. It costs what
// is changed: of the blocks that nobody asks for only the names are in memory.
type index struct {
	blocks []manifest.Block // as a manifest has them; digests of changed blocks are old
	states []blockState
	chunks int
	read   manifest.BlockReader

	overrides int // in all blocks
	loaded    int // lists in memory
	clock     uint64
}

type blockState struct {
	list    []byte // the fingerprints, in binary form; nil: not in memory
	changed bool   // so the digest is old
	used    uint64 // when
}

// newIndex returns the index of a manifest, or an empty one if that is nil.
func newIndex(m *manifest.Manifest, read manifest.BlockReader) *index {
	x := &index{read: read}
	if m == nil {
		return x
	}
	x.blocks = m.Blocks
	x.states = make([]blockState, len(m.Blocks))
	x.chunks = manifest.Count(m.Size)
	for i := range m.Blocks {
		x.overrides += len(m.Blocks[i].Overrides)
	}
	if len(m.Blocks) > 0 {
		// That of the first chunk follows from the manifest, and not from the block alone.
		if list, err := m.Block(0, read); err == nil {
			x.states[0].list = list
			x.loaded = 1
		}
	}
	return x
}

// block brings the list of block b into memory.
func (x *index) block(b int) (*blockState, error) {
	s := &x.states[b]
	x.clock++
	s.used = x.clock
	if s.list != nil {
		return s, nil
	}
	if x.loaded >= maxLoaded {
		x.evict()
	}
	block := &x.blocks[b]
	var stored []byte
	if block.Stored != manifest.NoBlock {
		var err error
		if stored, err = x.read(block.Stored); err != nil {
			return nil, fmt.Errorf("%w: %w", errIndex, err)
		}
	}
	list, err := block.Apply(stored, manifest.BlockLen(x.chunks, b), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	if !s.changed && manifest.Sum(list) != block.Digest {
		return nil, fmt.Errorf("%w: block %d is not what its digest says", errIndex, b)
	}
	s.list = list
	x.loaded++
	return s, nil
}

// evict forgets the list that was used least recently. The first block's stays: what it says of
// the first chunk is nowhere else.
func (x *index) evict() {
	oldest := -1
	for b := 1; b < len(x.states); b++ {
		if x.states[b].list != nil && (oldest < 0 || x.states[b].used < x.states[oldest].used) {
			oldest = b
		}
	}
	if oldest >= 0 {
		x.digest(oldest)
		x.states[oldest].list = nil
		x.loaded--
	}
}

// digest brings that of a block up to date.
func (x *index) digest(b int) {
	s, block := &x.states[b], &x.blocks[b]
	if !s.changed || s.list == nil {
		return
	}
	s.changed = false
	block.Digest = manifest.Sum(s.list)
	if block.Digest == block.Stored {
		x.overrides -= len(block.Overrides)
		block.Overrides = nil
	}
}

// get returns the fingerprint of chunk i.
func (x *index) get(i int) (manifest.Fingerprint, error) {
	s, err := x.block(i / manifest.BlockChunks)
	if err != nil {
		return manifest.Fingerprint{}, err
	}
	return manifest.At(s.list, i%manifest.BlockChunks), nil
}

// set replaces the fingerprint of chunk i.
func (x *index) set(i int, f manifest.Fingerprint) error {
	b, place := i/manifest.BlockChunks, i%manifest.BlockChunks
	s, err := x.block(b)
	if err != nil {
		return err
	}
	manifest.SetAt(s.list, place, f)
	s.changed = true
	if i == 0 {
		return nil
	}
	block := &x.blocks[b]
	at, found := slices.BinarySearchFunc(block.Overrides, place, func(o manifest.Override, place int) int { return cmp.Compare(o.Place, place) })
	if found {
		block.Overrides[at].Sum = f
		return nil
	}
	block.Overrides = slices.Insert(block.Overrides, at, manifest.Override{Place: place, Sum: f})
	x.overrides++
	return nil
}

// resize makes the index one of n chunks. New ones have no fingerprint until they are set.
func (x *index) resize(n int) error {
	old := x.chunks
	if n == old {
		return nil
	}
	count := manifest.BlockCount(n)
	if count < len(x.blocks) {
		for b := count; b < len(x.blocks); b++ {
			x.overrides -= len(x.blocks[b].Overrides)
			if x.states[b].list != nil {
				x.loaded--
			}
		}
		x.blocks, x.states = x.blocks[:count], x.states[:count]
	}
	// The list that ends elsewhere now, if there is one.
	if last := min(manifest.BlockCount(old), count) - 1; last >= 0 && manifest.BlockLen(old, last) != manifest.BlockLen(n, last) {
		if err := x.stretch(last, manifest.BlockLen(n, last)); err != nil {
			return err
		}
	}
	x.chunks = n
	for len(x.blocks) < count {
		x.blocks = append(x.blocks, manifest.Block{})
		x.states = append(x.states, blockState{changed: true})
	}
	return nil
}

// stretch gives the list of block b another length.
func (x *index) stretch(b, n int) error {
	s, err := x.block(b)
	if err != nil {
		return err
	}
	size := len(manifest.AppendList(nil, make([]manifest.Fingerprint, n)))
	if size < len(s.list) {
		s.list = s.list[:size]
	} else {
		s.list = append(s.list[:len(s.list):len(s.list)], make([]byte, size-len(s.list))...)
	}
	s.changed = true
	block := &x.blocks[b]
	for len(block.Overrides) > 0 && block.Overrides[len(block.Overrides)-1].Place >= n {
		block.Overrides = block.Overrides[:len(block.Overrides)-1]
		x.overrides--
	}
	return nil
}

// fold writes blocks anew, the one with the most overrides first, until not more than limit
// overrides are left. put gets each block, and the name of the one that it takes the place of.
func (x *index) fold(limit int, put func(f, old manifest.Fingerprint, list []byte) error) error {
	for x.overrides > limit {
		b := 0
		for i := range x.blocks {
			if len(x.blocks[i].Overrides) > len(x.blocks[b].Overrides) {
				b = i
			}
		}
		s, err := x.block(b)
		if err != nil {
			return err
		}
		block := &x.blocks[b]
		f, old := manifest.Sum(s.list), block.Stored
		if err := put(f, old, s.list); err != nil {
			return err
		}
		x.overrides -= len(block.Overrides)
		block.Stored, block.Digest, block.Overrides = f, f, nil
		s.changed = false
	}
	return nil
}

// list returns the blocks as a manifest has them, with all digests. They change with the index.
func (x *index) list() []manifest.Block {
	for b := range x.states {
		x.digest(b)
	}
	return x.blocks
}

// names says whether a block is stored under this name.
func (x *index) names(f manifest.Fingerprint) bool {
	return slices.ContainsFunc(x.blocks, func(b manifest.Block) bool { return b.Stored == f })
}
