package doctor

import (
	"errors"
	"fmt"

	"github.com/boule-db/boule/manifest"
)

// errNotKnown says that an index block may be somewhere, but its content is not known.
var errNotKnown = errors.New("index block is not known")

// References returns what must be had to restore m, besides m itself: its index blocks, and chunks.
// Of an index block that read, which may be nil, does not return, the chunks are left out but for
// those that override it; the error then joins why.
func References(m *manifest.Manifest, read manifest.BlockReader) ([]manifest.Fingerprint, error) {
	var refs []manifest.Fingerprint
	for _, b := range m.Blocks {
		if b.Stored != manifest.NoBlock {
			refs = append(refs, b.Stored)
		}
	}
	err := eachChunk(m, read, func(i int, f manifest.Fingerprint) {
		if i > 0 && f != manifest.ZeroChunk {
			refs = append(refs, f)
		}
	})
	return refs, err
}

// eachChunk calls f for each chunk of a manifest, in order. Of an index block that can't be had
// it knows the overrides only; the error joins why.
func eachChunk(m *manifest.Manifest, read manifest.BlockReader, f func(i int, sum manifest.Fingerprint)) error {
	if m.Chunks != nil {
		for i, sum := range m.Chunks {
			f(i, sum)
		}
		return nil
	}
	var errs []error
	for b := range m.Blocks {
		list, err := m.Block(b, read)
		if err != nil {
			errs = append(errs, err)
			for _, o := range m.Blocks[b].Overrides {
				f(b*manifest.BlockChunks+o.Place, o.Sum)
			}
			continue
		}
		for i := range manifest.BlockLen(manifest.Count(m.Size), b) {
			f(b*manifest.BlockChunks+i, manifest.At(list, i))
		}
	}
	return errors.Join(errs...)
}

// block returns the content of an index block that the place holds, staged for upload or as the
// tracker keeps it; nil if it has none, or a damaged one.
func (p *Place) block(f manifest.Fingerprint) []byte {
	for _, file := range []*File{p.Index[f], p.Chunks[f]} {
		if file != nil && file.Sum == f && len(file.Data) > 0 {
			return file.Data
		}
	}
	return nil
}

// reader reads index blocks from spools as they were seen, and from a store as far as that is known.
func reader(remote *Stored, spools ...*Spool) manifest.BlockReader {
	return func(f manifest.Fingerprint) ([]byte, error) {
		for _, s := range spools {
			if s == nil {
				continue
			}
			for _, p := range s.places() {
				if data := p.block(f); data != nil {
					return data, nil
				}
			}
		}
		if remote != nil {
			if sum, ok := remote.sum(f.ChunkName()); ok && sum == f {
				return remote.Chunks[f.ChunkName()], nil
			}
		}
		return nil, fmt.Errorf("%w: %v", errNotKnown, f)
	}
}

// blocksOf reads index blocks that a spool or its store has, now or before.
func (c *evidence) blocksOf(s *Spool) manifest.BlockReader {
	if s == nil {
		return reader(nil)
	}
	spools := []*Spool{s}
	if c.before != nil {
		spools = append(spools, c.before.tree().Spools[s.Path])
	}
	return reader(c.now.store(s.Key.Target), spools...)
}

// misdescribed says what is wrong with the index of a manifest of which all that it needs is at
// hand, and is what its name says; nil if nothing is, or not all is known.
func misdescribed(m *manifest.Manifest, read manifest.BlockReader) error {
	if m.Chunks != nil {
		return nil
	}
	for b := range m.Blocks {
		if _, err := m.Block(b, read); errors.Is(err, manifest.ErrCorrupt) {
			return err
		}
	}
	return nil
}
