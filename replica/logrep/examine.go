package logrep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// A Damage is what of a state is to be had anew: an object that it lies in is gone, or is not what it was.
type Damage struct {
	Blocks map[int]bool // index blocks that can't be had: nothing is known of their chunks
	Index  map[int]bool // index blocks that can, though they, or their patches, lie in such objects
	Chunks map[int]bool // by their numbers
	Entry  bool         // the entry itself, or the copy of its header: see Doubts
}

// Empty says whether there is none.
func (d *Damage) Empty() bool {
	return d == nil || len(d.Blocks)+len(d.Index)+len(d.Chunks) == 0 && !d.Entry
}

// Examine fetches and verifies all that the state needs which e describes, as a restore does without the second copies in bundles, and the seals and headers of
// the objects that it lies in. If anything of an object is found to be wrong, all that the state has there is damaged, though it may be sound: so
// nothing needs the object once that is stored elsewhere, and it can be pruned. fault is called with everything that is
// wrong, once for an object that is gone, by one goroutine at a time. The error is about something else, which ended it.
func (l *Log) Examine(ctx context.Context, e *remotelog.Entry, fault func(*Fault)) (*Damage, error) {
	gone := map[string]bool{} // that were told
	x := &checker{l: l, told: map[remotelog.Place]bool{}, used: map[remotelog.ObjectID]bool{}, lost: map[remotelog.ObjectID]bool{}, stopped: ctx.Err, fault: func(f *Fault) {
		missing := errors.Is(f, store.ErrNotExist)
		if !missing || !gone[f.Object] {
			fault(f)
		}
		gone[f.Object] = missing
	}}
	d := &Damage{Blocks: map[int]bool{}, Index: map[int]bool{}, Chunks: map[int]bool{}}
	sound := func(i int, _ []byte) error {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(d.Chunks, i)
		return nil
	}
	g := newGatherer(l, defaultJobs, sound)
	g.bad, x.g = x.bad, g
	err := x.examine(ctx, e, d)
	if err == nil {
		err = g.flush(ctx)
	}
	if err == nil {
		err = x.spoiled(ctx, e, d)
	}
	if err != nil {
		return nil, fmt.Errorf("examine %s: %w", l.name, err)
	}
	return d, nil
}

// examine has all chunks of e fetched.
func (c *checker) examine(ctx context.Context, e *remotelog.Entry, d *Damage) error {
	for b := range e.Blocks {
		c.used[e.Blocks[b].Stored.Object], c.used[e.Blocks[b].Patch.Object] = true, true
		chunks, err := c.l.Block(ctx, e, b)
		if err != nil {
			d.Blocks[b] = true
			err = c.badBlock(ctx, &e.Blocks[b], err)
		}
		for place := 0; err == nil && place < len(chunks); place++ {
			i := b*manifest.BlockChunks + place
			if len(chunks[place].Layers) == 0 {
				continue // zeros
			}
			for _, l := range chunks[place].Layers {
				c.used[l.Frame.Object] = true
			}
			c.mu.Lock()
			d.Chunks[i] = true // until it is found to be sound
			c.mu.Unlock()
			err = c.g.add(ctx, e, i, &chunks[place])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// badBlock reports what is wrong with an index block and with its patch, of which err is one.
func (c *checker) badBlock(ctx context.Context, block *remotelog.Block, err error) error {
	if err := c.bad(err); err != nil {
		return err
	}
	if block.Stored.IsZero() {
		return nil
	}
	if _, err := c.l.stored(ctx, block.Stored); err != nil {
		if err := c.bad(err); err != nil {
			return err
		}
	}
	if block.Patch.IsZero() {
		return nil
	}
	if _, err := c.l.Patch(ctx, block.Patch); err != nil {
		return c.bad(err)
	}
	return nil
}

// spoiled has all that e needs of objects of which something is wrong counted as damaged: nothing but that keeps them from being pruned.
func (c *checker) spoiled(ctx context.Context, e *remotelog.Entry, d *Damage) error {
	if err := c.usedSeals(ctx, e); err != nil {
		return err
	}
	wrong := c.damaged()
	maps.Copy(wrong, c.unsealed)
	if err := c.usedHeaders(ctx, e, d, wrong); err != nil || len(wrong) == 0 {
		return err
	}
	for b := range e.Blocks {
		if d.Blocks[b] {
			continue
		}
		chunks, err := c.l.Block(ctx, e, b)
		if err != nil {
			if err = c.bad(err); err != nil {
				return err
			}
			d.Blocks[b] = true
			continue
		}
		if wrong[e.Blocks[b].Stored.Object] || wrong[e.Blocks[b].Patch.Object] {
			d.Index[b] = true
		}
		for place := range chunks {
			if slices.ContainsFunc(chunks[place].Layers, func(l remotelog.Layer) bool { return wrong[l.Frame.Object] }) {
				d.Chunks[b*manifest.BlockChunks+place] = true
			}
		}
	}
	return nil
}

// usedSeals looks at those of packs that e needs.
func (c *checker) usedSeals(ctx context.Context, e *remotelog.Entry) error {
	c.sound, c.sizes, c.unsealed = e, map[remotelog.ObjectID]int64{}, map[remotelog.ObjectID]bool{}
	for info, err := range c.l.packs.List(ctx, remotelog.PackPrefix(c.l.name)) {
		if err != nil {
			return err
		}
		if id, ok := remotelog.ParsePackKey(c.l.name, info.Key); ok && c.used[id] {
			c.sizes[id] = info.Size
		}
	}
	return c.seals(ctx, c.damaged())
}

// usedHeaders looks whether the entries that e needs, and e itself, have the headers and lengths that they should, and adds those to wrong that have not. Who reads
// a frame finds it by the first bytes of the header, and does not notice.
func (c *checker) usedHeaders(ctx context.Context, e *remotelog.Entry, d *Damage, wrong map[remotelog.ObjectID]bool) error {
	self := remotelog.ObjectID{Entry: e.Number}
	items := func(yield func(Item, error) bool) {
		for id := range c.used {
			if id.Part == 0 && id != self && id.Entry > 0 && !wrong[id] && !yield(Item{Number: id.Entry}, nil) {
				return
			}
		}
		if !wrong[self] {
			yield(Item{Number: self.Entry}, nil)
		}
	}
	found := map[remotelog.ObjectID]bool{} // items reads wrong meanwhile
	for item, h := range c.l.heads(ctx, items) {
		id := remotelog.ObjectID{Entry: item.Number}
		err := h.err
		if id == self && !c.used[id] && err != nil && isFault(err) {
			continue // Doubts says so
		}
		if err == nil {
			if err = h.head.Entry.CheckInline(h.head.Info.Size - int64(h.head.HeaderLen)); err == nil {
				continue
			}
			err = c.l.inHeader(h.head.Entry, err)
			d.Entry = d.Entry || id == self
		}
		if err := c.bad(&Fault{Object: remotelog.EntryKey(c.l.name, item.Number), Err: err}); err != nil {
			return err
		}
		found[id] = true
	}
	maps.Copy(wrong, found)
	return nil
}
