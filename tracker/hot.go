package tracker

import (
	"github.com/boule-db/boule/manifest"
)

// hot is what is known of the spool of one target, so that a commit need not read again what was
// staged before. It holds as long as the spool's Producer says that nobody else staged anything.
type hot struct {
	base  *manifest.Manifest // what is staged; nil if nothing usable is. Its blocks are those of index
	index *index             // that of base, and ahead of it while a snapshot is taken
	size  int64              // of the database that index is of
	token uint64             // of the deferred snapshot whose progress index has; zero: none

	demands int // what was staged before so many demands of a full snapshot is of no account here

	// What may be in the staging area and is needed.
	uses     map[manifest.Fingerprint]uses
	fresh    []manifest.Fingerprint // staged after base
	released []manifest.Fingerprint // not used any more, but by base
}

// uses counts the places of a chunk in the index, or those of an index block's name.
type uses struct {
	now   int32
	held  int32 // places that base has, and index has not any more
	fresh bool  // base cannot need it
}

// exactScan is how many index blocks are read, and chunks compared, to find out what is in use; of a
// larger database all that is staged counts as in use, in uncounted places, if it is not much.
const (
	exactScan = 64
	uncounted = 1 << 30 // more than are ever released
)

// newHot returns what is known of a spool in which base, which may be nil, and the chunks with
// these names are staged.
func newHot(base *manifest.Manifest, read manifest.BlockReader, names []string) (*hot, error) {
	h := &hot{base: base, index: newIndex(base, read), uses: map[manifest.Fingerprint]uses{}}
	if base == nil {
		return h, nil
	}
	h.size = base.Size
	staged := make(map[manifest.Fingerprint]bool, len(names))
	for _, name := range names {
		if f, err := manifest.ParseChunkName(name); err == nil {
			staged[f] = true
		}
	}
	switch {
	case len(staged) == 0:
		return h, nil
	case len(base.Blocks) > exactScan && len(staged) < h.index.chunks/8:
		for f := range staged {
			h.uses[f] = uses{now: uncounted}
		}
		return h, nil
	}
	use := func(f manifest.Fingerprint) {
		if staged[f] {
			u := h.uses[f]
			u.now++
			h.uses[f] = u
		}
	}
	for b := range base.Blocks {
		s, err := h.index.block(b)
		if err != nil {
			return nil, err
		}
		use(base.Blocks[b].Stored)
		for i := range manifest.BlockLen(h.index.chunks, b) {
			use(manifest.At(s.list, i))
		}
	}
	return h, nil
}

// take notes that a chunk, or an index block, that was staged has a place more.
func (h *hot) take(f manifest.Fingerprint) {
	u, ok := h.uses[f]
	if !ok {
		u.fresh = true
		h.fresh = append(h.fresh, f)
	}
	u.now++
	h.uses[f] = u
}

// release notes that it has one less, and says whether it has none now. As long as base is the staged manifest, that needs it still.
func (h *hot) release(f manifest.Fingerprint) (gone bool) {
	u, ok := h.uses[f]
	if !ok || u.now == 0 {
		return false
	}
	u.now--
	if !u.fresh {
		u.held++
		h.released = append(h.released, f)
	}
	h.put(f, u)
	return u.now == 0
}

// resize makes the index one of n chunks, and releases what is cut off.
func (h *hot) resize(n int) error {
	for i := max(n, 1); i < h.index.chunks && len(h.uses) > 0; i++ {
		f, err := h.index.get(i)
		if err != nil {
			return err
		}
		h.release(f)
	}
	for b := manifest.BlockCount(n); b < len(h.index.blocks); b++ {
		h.release(h.index.blocks[b].Stored)
	}
	return h.index.resize(n)
}

func (h *hot) put(f manifest.Fingerprint, u uses) {
	if u.now == 0 && u.held == 0 {
		delete(h.uses, f)
		return
	}
	h.uses[f] = u
}

// staged notes that m, which has the index as it is, is the staged manifest now.
func (h *hot) staged(m *manifest.Manifest) {
	h.base = m
	h.token = 0
	for _, f := range h.released {
		if u, ok := h.uses[f]; ok && u.held > 0 {
			u.held--
			h.put(f, u)
		}
	}
	for _, f := range h.fresh {
		if u, ok := h.uses[f]; ok {
			u.fresh = false
			h.uses[f] = u
		}
	}
	h.released, h.fresh = h.released[:0], h.fresh[:0]
}

// published notes that nothing in the staging area is needed any more.
func (h *hot) published() { clear(h.uses) }

// needs says whether a chunk that is staged is needed.
func (h *hot) needs(f manifest.Fingerprint) bool {
	_, ok := h.uses[f]
	return ok
}
