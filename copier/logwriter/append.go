package logwriter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"slices"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// An appending is an entry that is being made.
type appending struct {
	w   *Writer
	old *head
	e   *remotelog.Entry
	f   *frames

	changed []*changedBlock // not yet in e
	wholes  []whole         // up to maxSalvage of them
	kept    int             // packs that were there when they were offered to be kept

	// What the Writer is to remember once the entry is there.
	known   []knownChunk
	touched []touchedBlock
	patched []patchedBlock
	fresh   blockCache // of those touched that were stored
	spent   map[int]spending
}

// A touchedBlock is one that has changed, and how, unless that is in the cache of fresh ones.
type touchedBlock struct {
	block   int
	changed []remotelog.Override
}

// A patchedBlock is one that has a new patch.
type patchedBlock struct {
	block int
	patch []remotelog.Override
}

// A changedBlock is an index block with chunks that have changed.
type changedBlock struct {
	block     int
	digest    manifest.Fingerprint
	overrides []remotelog.Override // what has changed, by ascending place
	anew      bool                 // the block has to be stored anew
	repatch   bool                 // it has to be patched anew, if not
}

// compose makes an entry that follows h: fill sets the blocks. Only if it succeeds does what the Writer remembers change.
func (w *Writer) compose(ctx context.Context, h *head, e *remotelog.Entry, fill func(*appending) error) (Result, error) {
	e.Name, e.Number, e.Owner = remotelog.NameSum(w.name), h.number()+1, w.o.Owner
	e.Bundled, e.Bundles = h.bundled(), nil
	e.Sealed, e.Inline = h.sealed(), 0
	if h.Head != nil {
		e.Previous = h.Sum()
	}
	a := &appending{
		w: w, old: h, e: e, f: w.newFrames(ctx, e.Number),
		spent: make(map[int]spending),
	}
	defer a.f.stop()
	err := w.salvageable(ctx, e.Number)
	if w.salvaged.unsealed {
		e.Sealed = max(e.Sealed, e.Number+1)
	}
	if err == nil {
		err = fill(a)
	}
	if err == nil {
		err = a.fold(ctx)
	}
	if err == nil {
		err = a.f.finish()
	}
	var res Result
	if err != nil {
		err = fmt.Errorf("append entry %d: %w", e.Number, err)
	} else {
		res, err = a.commit(ctx)
	}
	a.f.stop()
	if err != nil {
		a.salvage()
	} else {
		w.salvaged = salvage{}
	}
	return res, err
}

// snapshot compares the state that m describes with that of the newest entry, and makes frames of what differs.
func (a *appending) snapshot(ctx context.Context, m *manifest.Manifest, src Source) error {
	a.e.Blocks = make([]remotelog.Block, len(m.Blocks))
	for b := range m.Blocks {
		same := b < len(a.old.blocks()) && a.old.blocks()[b].Digest == m.Blocks[b].Digest
		if same {
			a.e.Blocks[b] = a.old.blocks()[b]
		}
		if same && a.w.damage.empty() {
			continue
		}
		if err := a.block(ctx, m, b, src); err != nil {
			return err
		}
		if a.f.packing {
			// From now on places are known at once, so nothing has to wait.
			if err := a.settle(ctx); err != nil {
				return err
			}
		}
	}
	return a.settle(ctx)
}

// oldChunks returns the chunks of a block of the newest entry that can be had.
func (a *appending) oldChunks(ctx context.Context, b int) ([]remotelog.Chunk, error) {
	if b >= len(a.old.blocks()) || a.w.damage.block(b, &a.old.blocks()[b]) {
		return nil, nil
	}
	if chunks, ok := a.w.blocks.get(b); ok {
		return a.w.damage.sound(b, chunks), nil
	}
	chunks, err := a.w.log.Block(ctx, a.old.Entry, b)
	if err != nil {
		return nil, unreadable(fmt.Errorf("read index block %d of entry %d: %w", b, a.old.Entry.Number, err), b, -1)
	}
	a.w.blocks.set(b, chunks)
	return a.w.damage.sound(b, chunks), nil
}

// block makes frames of what has changed in a block.
func (a *appending) block(ctx context.Context, m *manifest.Manifest, b int, src Source) error {
	list, err := m.Block(b, func(f manifest.Fingerprint) ([]byte, error) { return src.Block(ctx, f) })
	if err != nil {
		return fmt.Errorf("fingerprints of the snapshot: %w", err)
	}
	old, err := a.oldChunks(ctx, b)
	if err != nil {
		return err
	}
	c := &changedBlock{block: b, digest: m.Blocks[b].Digest, anew: a.w.damage.index(b)}
	for place := range manifest.BlockLen(manifest.Count(m.Size), b) {
		sum := manifest.At(list, place)
		var before remotelog.Chunk
		if place < len(old) {
			if before = old[place]; before.Sum == sum {
				continue
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk, err := a.chunk(ctx, m, b*manifest.BlockChunks+place, sum, before, old, src)
		if err != nil {
			return err
		}
		c.overrides = append(c.overrides, remotelog.Override{Place: place, Chunk: chunk})
		a.keep()
	}
	if len(c.overrides) > 0 || c.anew || a.e.Blocks[b].Digest != c.digest { // or else the block has not changed, and is sound
		a.changed = append(a.changed, c)
	}
	return nil
}

// maxLayers is how many frames a chunk may lie in: who reads a page of it has to get all of them. Another one makes it whole.
const maxLayers = 12

// chunk makes a frame of a chunk that has changed, or of the pages of it that have.
func (a *appending) chunk(ctx context.Context, m *manifest.Manifest, i int, sum manifest.Fingerprint, before remotelog.Chunk,
	near []remotelog.Chunk, src Source,
) (remotelog.Chunk, error) {
	if sum == manifest.ZeroChunk {
		return remotelog.Chunk{Sum: sum}, nil
	}
	n := manifest.ChunkLen(m.Size, i)
	data, err := m.First, error(nil)
	if i > 0 {
		data, err = src.Chunk(ctx, sum)
	}
	place, salvaged := a.w.salvaged.places[sum]
	switch {
	case errors.Is(err, fs.ErrNotExist) && salvaged:
		return wholeChunk(sum, n, place), nil
	case errors.Is(err, fs.ErrNotExist):
		return a.elsewhere(ctx, i, n, sum, near, err)
	case err != nil:
		return remotelog.Chunk{}, fmt.Errorf("chunk %d of the snapshot: %w", i, err)
	case len(data) != n || manifest.Sum(data) != sum:
		err := fmt.Errorf("%w: %d bytes, want %d, with the fingerprint %v", manifest.ErrCorrupt, len(data), n, manifest.Sum(data))
		return remotelog.Chunk{}, &MissingError{Chunk: i, Sum: sum, Err: err}
	}
	k := knownChunk{i, knownPages{sum, sumPages(data)}}
	if len(a.known) < a.w.o.Remember {
		a.known = append(a.known, k)
	}
	if salvaged {
		return wholeChunk(sum, n, place), nil
	}
	all := remotelog.AllPages(n)
	pages := all
	if known := a.w.pages.get(i, before.Sum); known != nil && len(before.Layers) > 0 {
		pages = known.differ(&k.pages, n)
	}
	chunk := remotelog.Chunk{Sum: sum, Layers: before.Layers}
	chunk.Truncate(n)
	chunk.Cover(pages, remotelog.Place{})
	if 4*bits.OnesCount16(pages) > 3*bits.OnesCount16(all) || len(chunk.Layers) > maxLayers {
		chunk = wholeChunk(sum, n, remotelog.Place{})
		ref := &chunk.Layers[0].Frame
		if len(a.wholes) < maxSalvage {
			a.wholes = append(a.wholes, whole{sum, ref})
		}
		return chunk, a.f.add(remotelog.KindChunk, data, ref)
	}
	if pages == 0 {
		return chunk, nil // it was only cut off at the end of a page
	}
	d := remotelog.Delta{Chunk: int64(i), Pages: pages, Data: appendPages(nil, data, pages)}
	return chunk, a.f.addDelta(d, &chunk.Layers[len(chunk.Layers)-1].Frame)
}

// wholeChunk is a chunk of n bytes in a frame of its own.
func wholeChunk(sum manifest.Fingerprint, n int, place remotelog.Place) remotelog.Chunk {
	return remotelog.Chunk{Sum: sum, Layers: []remotelog.Layer{{Pages: remotelog.AllPages(n), Frame: place}}}
}

// elsewhere looks for a chunk that is not at hand in the newest entry: in near, the chunks of the same block, then
// everywhere. It is made a frame of its own, since frames of pages say which chunk they are for.
func (a *appending) elsewhere(ctx context.Context, i, n int, sum manifest.Fingerprint, near []remotelog.Chunk, why error) (remotelog.Chunk, error) {
	at := indexOf(near, sum)
	if at >= 0 {
		at += i / manifest.BlockChunks * manifest.BlockChunks
	}
	for b := 0; at < 0 && b < len(a.old.blocks()); b++ {
		chunks, err := a.oldChunks(ctx, b)
		if err != nil {
			return remotelog.Chunk{}, err
		}
		if at = indexOf(chunks, sum); at >= 0 {
			at += b * manifest.BlockChunks
		}
	}
	if at < 0 || manifest.ChunkLen(a.old.Entry.Size, at) != n {
		return remotelog.Chunk{}, &MissingError{Chunk: i, Sum: sum, Err: why}
	}
	data, err := a.w.log.Chunk(ctx, a.old.Entry, at)
	if err != nil {
		return remotelog.Chunk{}, unreadable(fmt.Errorf("read chunk %d of entry %d: %w", at, a.old.Entry.Number, err), -1, at)
	}
	chunk := wholeChunk(sum, n, remotelog.Place{})
	return chunk, a.f.add(remotelog.KindChunk, data, &chunk.Layers[0].Frame)
}

func indexOf(chunks []remotelog.Chunk, sum manifest.Fingerprint) int {
	return slices.IndexFunc(chunks, func(c remotelog.Chunk) bool { return c.Sum == sum })
}
