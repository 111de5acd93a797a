package logwriter

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

const (
	// smallBlock is how many chunks a block may have to be never stored: its overrides say it all.
	smallBlock = 16
	// maxOverrides is how many overrides a block may have, in the entry or in its patch.
	maxOverrides = 1024
	// patchCost is about how many bytes a patch takes besides its chunks, in its frame and in the entries that name it.
	patchCost = 64
	// maxHeader is about how many bytes of overrides an entry may have.
	maxHeader = 1 << 20
)

// A spending is how many bytes of what has changed in a block were sent.
type spending struct {
	stored int64 // of patches and overrides since the block was stored
	patch  int64 // of overrides since it was patched
}

// settle writes what has changed in blocks into the entry, since the places of all frames so far are known then: as
// overrides, as a patch of all overrides since the block was stored, or by storing the block anew.
func (a *appending) settle(ctx context.Context) error {
	if err := a.f.settle(); err != nil {
		return err
	}
	for _, c := range a.changed {
		if err := a.settleBlock(ctx, c); err != nil {
			return err
		}
	}
	a.changed = nil
	return nil
}

func (a *appending) settleBlock(ctx context.Context, c *changedBlock) error {
	b, n := c.block, a.length(c.block)
	var before remotelog.Block
	if b < len(a.old.blocks()) {
		before = a.old.blocks()[b]
	}
	block := &a.e.Blocks[b]
	*block = remotelog.Block{Digest: c.digest, Stored: before.Stored, Patch: before.Patch, Overrides: override(before.Overrides, c.overrides, n)}
	a.touched = append(a.touched, touchedBlock{b, c.overrides})
	defer func() {
		if block.Stored != before.Stored {
			a.touched[len(a.touched)-1].changed = nil // there may be many such blocks
		}
	}()
	switch {
	case n <= smallBlock && before.Stored.IsZero():
		return nil
	case n <= smallBlock:
		chunks, err := a.chunks(ctx, c)
		if err != nil {
			return err
		}
		block.Stored, block.Patch, block.Overrides = remotelog.Place{}, remotelog.Place{}, nil
		for place := range chunks {
			block.Overrides = append(block.Overrides, remotelog.Override{Place: place, Chunk: chunks[place]})
		}
		return nil
	case before.Stored.IsZero(), c.anew, 2*len(c.overrides) > n, len(block.Overrides) > maxOverrides, a.isSpent(b, 1):
		return a.store(ctx, c)
	case c.repatch, a.isPatchDue(b, 1):
		return a.patch(ctx, c)
	}
	return nil
}

// length is how many chunks a block of the new entry has.
func (a *appending) length(b int) int { return manifest.BlockLen(manifest.Count(a.e.Size), b) }

// override returns old overrides with new ones, of a block of n chunks.
func override(old, changed []remotelog.Override, n int) []remotelog.Override {
	out := make([]remotelog.Override, 0, len(old)+len(changed))
	for len(old) > 0 || len(changed) > 0 {
		switch {
		case len(changed) == 0 || len(old) > 0 && old[0].Place < changed[0].Place:
			if old[0].Place < n {
				out = append(out, old[0])
			}
			old = old[1:]
		default:
			if len(old) > 0 && old[0].Place == changed[0].Place {
				old = old[1:]
			}
			out, changed = append(out, changed[0]), changed[1:]
		}
	}
	return out
}

// chunks returns all chunks of a block as they are now.
func (a *appending) chunks(ctx context.Context, c *changedBlock) ([]remotelog.Chunk, error) {
	old, err := a.oldChunks(ctx, c.block)
	if err != nil {
		return nil, err
	}
	return apply(old, c.overrides, a.length(c.block)), nil
}

// apply returns a new list of n chunks: old ones, and those that have changed.
func apply(old []remotelog.Chunk, changed []remotelog.Override, n int) []remotelog.Chunk {
	chunks := make([]remotelog.Chunk, n)
	copy(chunks, old)
	for _, o := range changed {
		chunks[o.Place] = o.Chunk
	}
	return chunks
}

// store stores a block as it is now, so that it has no overrides.
func (a *appending) store(ctx context.Context, c *changedBlock) error {
	chunks, err := a.chunks(ctx, c)
	if err != nil {
		return err
	}
	block := &a.e.Blocks[c.block]
	block.Stored, block.Patch, block.Overrides = remotelog.Place{}, remotelog.Place{}, nil
	a.fresh.set(c.block, chunks)
	return a.f.add(remotelog.KindIndex, remotelog.AppendIndex(nil, chunks), &block.Stored)
}

// patch makes a patch of what has changed in a block since it was stored, so that it has no overrides.
func (a *appending) patch(ctx context.Context, c *changedBlock) error {
	block := &a.e.Blocks[c.block]
	patch := block.Overrides
	if !block.Patch.IsZero() {
		before, err := a.w.log.Patch(ctx, block.Patch)
		if err != nil {
			return unreadable(fmt.Errorf("read a patch of entry %d: %w", a.old.Entry.Number, err), c.block, -1)
		}
		if patch = override(before, block.Overrides, a.length(c.block)); len(patch) > maxOverrides {
			return a.store(ctx, c)
		}
	}
	block.Patch, block.Overrides = remotelog.Place{}, nil
	if len(patch) == 0 {
		return nil // the database was truncated
	}
	a.patched = append(a.patched, patchedBlock{c.block, patch})
	return a.f.add(remotelog.KindPatch, remotelog.AppendPatch(nil, patch), &block.Patch)
}

// overridesSize is about how many bytes the overrides of a block have in an entry.
func overridesSize(block *remotelog.Block) (size int64) {
	for i := range block.Overrides {
		size += 20 + 6*int64(len(block.Overrides[i].Chunk.Layers))
	}
	return size
}

// isSpent says whether, with this entry, so many bytes of overrides and patches of the block were sent since it was stored that
// storing it would have cost no more, times a factor.
func (a *appending) isSpent(b int, factor int64) bool {
	block := &a.e.Blocks[b]
	return a.w.spent[b].stored+overridesSize(block) > factor*max(block.Stored.Length, 20*int64(a.length(b)))
}

// isPatchDue says whether so many bytes of overrides of the block were sent since it was patched that a new patch, which has what the
// old one has, would have cost no more, times a factor.
func (a *appending) isPatchDue(b int, factor int64) bool {
	block := &a.e.Blocks[b]
	return len(block.Overrides) > 0 && a.w.spent[b].patch > factor*(patchCost+block.Patch.Length)
}

// fold notes what was spent, and patches or stores those blocks that have not changed whose overrides have been sent long enough, or are
// too many together.
func (a *appending) fold(ctx context.Context) error {
	type sized struct {
		block int
		size  int64
	}
	var list []sized
	total := int64(0)
	for b := range a.e.Blocks {
		if block := &a.e.Blocks[b]; len(block.Overrides) > 0 && a.length(b) > smallBlock {
			size := overridesSize(block)
			list, total = append(list, sized{b, size}), total+size
		}
	}
	slices.SortFunc(list, func(x, y sized) int { return cmp.Compare(y.size, x.size) })
	for _, s := range list {
		// Of a block that has not changed the chunks are perhaps not at hand: so it may cost twice as much.
		spent := a.isSpent(s.block, 2)
		if total <= maxHeader && !spent && !a.isPatchDue(s.block, 2) {
			continue
		}
		c := &changedBlock{block: s.block}
		for _, t := range a.touched {
			if t.block == s.block {
				c.overrides = t.changed
			}
		}
		relieve := a.patch
		if spent {
			relieve = a.store
		}
		if err := relieve(ctx, c); err != nil {
			return err
		}
		total -= s.size
	}
	for b := range a.e.Blocks {
		a.spend(b)
	}
	return nil
}

// spend notes what this entry has of a block, whose places need not be known yet.
func (a *appending) spend(b int) {
	block := &a.e.Blocks[b]
	var before remotelog.Block
	if b < len(a.old.blocks()) {
		before = a.old.blocks()[b]
	}
	if block.Stored != before.Stored || a.length(b) <= smallBlock {
		return
	}
	s, size := a.w.spent[b], overridesSize(block)
	if block.Patch != before.Patch {
		s = spending{stored: s.stored + block.Patch.Length}
	}
	if s.stored, s.patch = s.stored+size, s.patch+size; s.stored > 0 {
		a.spent[b] = s
	}
}
