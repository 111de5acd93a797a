package logwriter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// A damage is what of the newest entry is not relied on: the next snapshot has it anew.
type damage struct {
	found *logrep.Damage               // by who examined it
	sizes map[remotelog.ObjectID]int64 // of the objects that there are, with headers; nil if all are thought to be there
	of    uint64                       // number of the newest entry when they were listed
}

func (d *damage) empty() bool { return d.found.Empty() && d.sizes == nil }

// in says whether a frame is gone.
func (d *damage) in(p remotelog.Place) bool {
	return !p.IsZero() && d.sizes != nil && p.End() > d.sizes[p.Object]
}

// block says whether nothing is known of the chunks of a block.
func (d *damage) block(b int, block *remotelog.Block) bool {
	return d.found != nil && d.found.Blocks[b] || d.in(block.Stored) || d.in(block.Patch)
}

// index says whether a block is to be stored anew, though it can be had.
func (d *damage) index(b int) bool { return d.found != nil && d.found.Index[b] }

// chunk says whether a chunk can't be had, or should not be relied on.
func (d *damage) chunk(i int, c *remotelog.Chunk) bool {
	return d.found != nil && d.found.Chunks[i] || slices.ContainsFunc(c.Layers, func(l remotelog.Layer) bool { return d.in(l.Frame) })
}

// sound returns the chunks of a block without those that can't be had, which have the fingerprint of no chunk.
func (d *damage) sound(b int, chunks []remotelog.Chunk) []remotelog.Chunk {
	if d.empty() {
		return chunks
	}
	chunks = slices.Clone(chunks)
	for place := range chunks {
		if d.chunk(chunkNumber(b, place), &chunks[place]) {
			chunks[place] = remotelog.Chunk{}
		}
	}
	return chunks
}

// Suspect has what d says, which may be nil, uploaded anew with the next snapshot, although the replica should have it: even if that is the one which it has
// already. Until then nothing is compacted.
func (w *Writer) Suspect(d *logrep.Damage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d != nil {
		w.damage.found = d
	}
}

// An unreadableError is that an index block or a chunk of the newest entry can't be had.
type unreadableError struct {
	error
	block, chunk int // one of them is negative
}

func (e *unreadableError) Unwrap() error { return e.error }

// isDamage says whether an error is about what is in the store, and not about asking it.
func isDamage(err error) bool { return errors.Is(err, remotelog.ErrCorrupt) || store.IsNotExist(err) }

// unreadable says of what the error is, if it is about what is in the store.
func unreadable(err error, block, chunk int) error {
	if isDamage(err) {
		return &unreadableError{err, block, chunk}
	}
	return err
}

// suspect is Suspect for what an error is about, if it is about such. It reports whether that was not suspected yet.
func (w *Writer) suspect(err error) bool {
	var u *unreadableError
	if !errors.As(err, &u) {
		return false
	}
	d := &logrep.Damage{Blocks: map[int]bool{}, Chunks: map[int]bool{}}
	if old := w.damage.found; old != nil {
		d.Entry, d.Index = old.Entry, old.Index
		maps.Copy(d.Blocks, old.Blocks)
		maps.Copy(d.Chunks, old.Chunks)
	}
	set, i := d.Blocks, u.block
	if i < 0 {
		set, i = d.Chunks, u.chunk
	}
	if set[i] {
		return false
	}
	set[i] = true
	w.damage.found = d
	w.o.Logger.Error("the replica is damaged: what can't be read is uploaded again", "name", w.name, "error", err)
	return true
}

// there finds out whether there is an entry of which the copy was found. If it is lost, so may others be, which are looked for then.
func (w *Writer) there(ctx context.Context, h *logrep.Head) error {
	if h == nil {
		w.damage.sizes, w.distrust = nil, false
		return nil
	}
	n := h.Entry.Number
	if w.damage.sizes != nil && w.damage.of == n && !w.distrust {
		return nil // nobody has appended since
	}
	w.damage.sizes = nil
	if !w.distrust && h.Info.Key == remotelog.LatestKey(w.name) {
		_, err := w.entries.Head(ctx, remotelog.EntryKey(w.name, n))
		if err != nil && !store.IsNotExist(err) {
			return fmt.Errorf("look whether entry %d is there: %w", n, err)
		}
		w.distrust = err != nil
	}
	if !w.distrust {
		return nil
	}
	sizes := map[remotelog.ObjectID]int64{}
	for item, err := range w.log.List(ctx, 0) {
		if err != nil {
			return fmt.Errorf("list entries: %w", err)
		}
		sizes[remotelog.ObjectID{Entry: item.Number}] = item.Info.Size
	}
	for info, err := range w.packs.List(ctx, remotelog.PackPrefix(w.name)) {
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
		if id, ok := remotelog.ParsePackKey(w.name, info.Key); ok {
			sizes[id] = info.Size
		}
	}
	w.damage.sizes, w.damage.of, w.distrust = sizes, n, false
	w.o.Logger.Error("the newest entry of the replica, or its copy, was lost or damaged: what is not there is uploaded again", "name", w.name, "entry", n)
	return nil
}
