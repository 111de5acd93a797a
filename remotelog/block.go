package remotelog

import (
	"fmt"

	"github.com/boule-db/boule/manifest"
)

// A Block says where the chunks of an index block are: of manifest.BlockChunks successive ones.
type Block struct {
	// Digest is the fingerprint of the list of the fingerprints of the chunks, as they are now:
	// manifest.Block's Digest.
	Digest manifest.Fingerprint
	// Stored is the frame of kind KindIndex with the block as it once was, maybe longer or shorter; the zero Place
	// if there is none. Then Overrides has every chunk.
	Stored Place
	// Patch is the frame of kind KindPatch with chunks that Stored does not have or has differently; the zero Place if there is
	// none, as without Stored.
	Patch Place
	// Overrides are the chunks that Stored and Patch do not have or have differently, by ascending place.
	Overrides []Override
}

// An Override is one chunk of a block.
type Override struct {
	Place int // in the block
	Chunk Chunk
}

// Block returns the chunks of block b. stored and patch are what [DecodeIndex] and [DecodePatch] made of the frames that the
// block says are its Stored and its Patch, or nil if it says that there is none. It fails with [ErrCorrupt] if these, or the
// entry, are not what the writer made. The result shares the layers of stored, of patch and of the overrides, so they must not be
// changed; [Chunk.Cover] and [Chunk.Truncate] do not.
func (e *Entry) Block(b int, stored []Chunk, patch []Override) ([]Chunk, error) {
	n := manifest.BlockLen(manifest.Count(e.Size), b)
	if b < 0 || b >= len(e.Blocks) || n == 0 {
		return nil, corrupt("there is no index block %d", b)
	}
	block := &e.Blocks[b]
	if block.Stored.IsZero() != (len(stored) == 0) {
		return nil, corrupt("index block %d: %d stored chunks, at %v", b, len(stored), block.Stored)
	}
	if block.Patch.IsZero() != (len(patch) == 0) {
		return nil, corrupt("index block %d: a patch of %d chunks, at %v", b, len(patch), block.Patch)
	}
	chunks := make([]Chunk, n)
	copy(chunks, stored)
	for _, o := range patch {
		if o.Place >= 0 && o.Place < n { // what is behind the end was there before the database was truncated
			chunks[o.Place] = o.Chunk
		}
	}
	for _, o := range block.Overrides {
		if o.Place < 0 || o.Place >= n {
			return nil, corrupt("override %d of %d chunks", o.Place, n)
		}
		chunks[o.Place] = o.Chunk
	}
	list := make([]manifest.Fingerprint, n)
	for place := range chunks {
		c := &chunks[place]
		if err := c.check(AllPages(e.chunkLen(b, place)), e.Number); err != nil {
			return nil, fmt.Errorf("chunk %d of index block %d: %w", place, b, err)
		}
		list[place] = c.Sum
	}
	if short(e.Size) && b == len(e.Blocks)-1 && list[n-1] == manifest.ZeroChunk {
		return nil, errShortZero
	}
	if got := manifest.Sum(manifest.AppendList(nil, list)); got != block.Digest {
		return nil, corrupt("the fingerprints of block %d have the fingerprint %v, not %v", b, got, block.Digest)
	}
	return chunks, nil
}

var errShortZero = corrupt("last chunk is short, but has the fingerprint of a whole one")

// short says whether the last chunk of a database is.
func short(size int64) bool { return size%manifest.ChunkSize != 0 }

// chunkLen is the length of the chunk at a place of block b.
func (e *Entry) chunkLen(b, place int) int {
	return manifest.ChunkLen(e.Size, b*manifest.BlockChunks+place)
}

// validateBlock checks what is known of block b, which has n chunks, without what is stored.
func (e *Entry) validateBlock(b, n int) error {
	block := &e.Blocks[b]
	if block.Digest == manifest.NoBlock {
		return corrupt("index block %d has no digest", b)
	}
	switch {
	case !block.Stored.IsZero():
		if err := block.Stored.check(e.Number, MaxIndex); err != nil {
			return fmt.Errorf("index block %d: %w", b, err)
		}
		if block.Patch.IsZero() {
			break
		}
		if err := block.Patch.check(e.Number, MaxIndex); err != nil {
			return fmt.Errorf("patch of index block %d: %w", b, err)
		}
	case !block.Patch.IsZero():
		return corrupt("index block %d is not stored, but has a patch", b)
	case len(block.Overrides) != n:
		return corrupt("index block %d is not stored, and has %d of %d chunks", b, len(block.Overrides), n)
	}
	last := -1
	for i := range block.Overrides {
		o := &block.Overrides[i]
		if o.Place <= last || o.Place >= n {
			return corrupt("override %d of index block %d, which has %d places, after %d", o.Place, b, n, last)
		}
		last = o.Place
		if err := o.Chunk.check(AllPages(e.chunkLen(b, o.Place)), e.Number); err != nil {
			return fmt.Errorf("override %d of index block %d: %w", o.Place, b, err)
		}
		if o.Chunk.Sum == manifest.ZeroChunk && e.chunkLen(b, o.Place) < manifest.ChunkSize {
			return errShortZero
		}
	}
	return nil
}
