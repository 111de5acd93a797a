package copier

import (
	"errors"
	"fmt"

	"github.com/boule-db/boule/manifest"
)

// A comparison finds what a manifest references and the last one in the store does not: there all
// references of the last one are. It goes block by block, and reads index blocks only where their
// names and the overrides do not tell.
type comparison struct {
	m    *manifest.Manifest
	last *manifest.Manifest // nil if it is not known: then nothing is known to be there
	read manifest.BlockReader
}

// unknown returns the references of block b that block b of the last manifest does not have, each
// once: the name of the index block, and chunks. A chunk that has come from another block is among
// them, and so may be one that has become again what the stored index block says. It fails if
// the block can't be had. That the last one's can't be had only makes all chunks unknown.
func (c *comparison) unknown(b int) ([]manifest.Fingerprint, error) {
	block := &c.m.Blocks[b]
	var old *manifest.Block
	if c.last != nil && b < len(c.last.Blocks) {
		old = &c.last.Blocks[b]
	}
	refs := newRefs(nil)
	if block.Stored != manifest.NoBlock && (old == nil || old.Stored != block.Stored) {
		refs.add(block.Stored)
	}
	if old != nil {
		if old.Digest == block.Digest {
			return refs.list, nil
		}
		n, oldLen := manifest.BlockLen(manifest.Count(c.m.Size), b), manifest.BlockLen(manifest.Count(c.last.Size), b)
		if changed, ok := overridden(block, old, n, oldLen); ok {
			known := map[manifest.Fingerprint]struct{}{}
			if len(changed) > 0 {
				for _, o := range old.Overrides {
					known[o.Sum] = struct{}{}
				}
			}
			chunks := newRefs(known)
			for _, sum := range changed {
				chunks.add(sum)
			}
			return append(refs.list, chunks.list...), nil
		}
	}
	list, err := c.m.Block(b, c.read)
	if err != nil {
		return nil, fmt.Errorf("list chunks: %w", err)
	}
	var oldList []byte
	if old != nil {
		if oldList, err = c.last.Block(b, c.read); err != nil && !cannotBeHad(err) {
			return nil, fmt.Errorf("list chunks of the last manifest: %w", err)
		}
	}
	chunks := newRefs(nil)
	for i := firstRef(b); i < length(list); i++ {
		if i >= length(oldList) || manifest.At(list, i) != manifest.At(oldList, i) {
			chunks.add(manifest.At(list, i))
		}
	}
	if len(chunks.list) == 0 {
		return refs.list, nil
	}
	known := make(map[manifest.Fingerprint]struct{}, length(oldList))
	for i := firstRef(b); i < length(oldList); i++ {
		known[manifest.At(oldList, i)] = struct{}{}
	}
	for _, sum := range chunks.list {
		if _, ok := known[sum]; !ok {
			refs.add(sum)
		}
	}
	return refs.list, nil
}

// cannotBeHad says that an index block is not there, or not what its manifest says, which asking
// again does not change.
func cannotBeHad(err error) bool {
	var missing *missingError
	return errors.As(err, &missing) || errors.Is(err, manifest.ErrCorrupt)
}

// overridden returns the fingerprints that a block of n chunks overrides, and an older state of
// it, of oldLen chunks, does not. It is not ok if others may have changed, too: the stored index
// blocks differ, or what it says counts again for some chunk.
func overridden(block, old *manifest.Block, n, oldLen int) (changed []manifest.Fingerprint, ok bool) {
	if block.Stored != old.Stored {
		return nil, false
	}
	rest := block.Overrides
	grown := n - oldLen // chunks that the older state did not have, and that are not overridden
	take := func(o *manifest.Override) {
		if o == nil || rest[0].Sum != o.Sum {
			changed = append(changed, rest[0].Sum)
		}
		if rest[0].Place >= oldLen {
			grown--
		}
		rest = rest[1:]
	}
	for i := range old.Overrides {
		o := &old.Overrides[i]
		if o.Place >= n {
			break
		}
		for len(rest) > 0 && rest[0].Place < o.Place {
			take(nil)
		}
		if len(rest) == 0 || rest[0].Place != o.Place {
			return nil, false
		}
		take(o)
	}
	for len(rest) > 0 {
		take(nil)
	}
	return changed, grown <= 0
}

// firstRef is the first place of block b whose chunk is in the store: the first chunk of a
// database is in the manifest.
func firstRef(b int) int {
	if b == 0 {
		return 1
	}
	return 0
}

// length returns how many fingerprints a list in binary form has.
func length(list []byte) int { return len(list) / fingerprintSize }

const fingerprintSize = manifest.ChunkSize / manifest.BlockChunks

// references calls yield for all that block b of a manifest references: the index block, which
// comes first and is not read for that, and chunks. It ends when yield returns false.
func references(m *manifest.Manifest, b int, read manifest.BlockReader, yield func(manifest.Fingerprint) bool) error {
	if stored := m.Blocks[b].Stored; stored != manifest.NoBlock && !yield(stored) {
		return nil
	}
	list, err := m.Block(b, read)
	if err != nil {
		return fmt.Errorf("list chunks: %w", err)
	}
	for i := firstRef(b); i < length(list); i++ {
		if sum := manifest.At(list, i); sum != manifest.ZeroChunk && !yield(sum) {
			return nil
		}
	}
	return nil
}

// refs are references, each once, but for the well-known chunk.
type refs struct {
	list []manifest.Fingerprint
	seen map[manifest.Fingerprint]struct{}
}

// newRefs returns an empty list that leaves out what has been seen.
func newRefs(seen map[manifest.Fingerprint]struct{}) *refs {
	if seen == nil {
		seen = map[manifest.Fingerprint]struct{}{}
	}
	return &refs{seen: seen}
}

func (r *refs) add(f manifest.Fingerprint) {
	if _, ok := r.seen[f]; ok || f == manifest.ZeroChunk {
		return
	}
	r.seen[f] = struct{}{}
	r.list = append(r.list, f)
}
