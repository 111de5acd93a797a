package logrep

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// A Damage is what of a state can't be had from the stores: something that it lies in is gone, or is not what it was.
type Damage struct {
	Blocks map[int]bool // index blocks: nothing is known of their chunks
	Chunks map[int]bool // by their numbers
	Entry  bool         // the entry itself, or the copy of its header: see Doubts
}

// Empty says whether there is none.
func (d *Damage) Empty() bool { return d == nil || len(d.Blocks)+len(d.Chunks) == 0 && !d.Entry }

// Examine fetches and verifies all that the state needs which e describes, as a restore does without the second copies in bundles. What lies in packs that lack their
// seal is damaged, too: nobody should rely on it. fault is called with everything that is
// wrong, once for an object that is gone, by one goroutine at a time. The error is about something else, which ended it.
func (l *Log) Examine(ctx context.Context, e *remotelog.Entry, fault func(*Fault)) (*Damage, error) {
	gone := map[string]bool{} // that were told
	x := &checker{l: l, told: map[remotelog.Place]bool{}, used: map[remotelog.ObjectID]bool{}, stopped: ctx.Err, fault: func(f *Fault) {
		missing := errors.Is(f, store.ErrNotExist)
		if !missing || !gone[f.Object] {
			fault(f)
		}
		gone[f.Object] = missing
	}}
	d := &Damage{Blocks: map[int]bool{}, Chunks: map[int]bool{}}
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
		err = x.unsealedParts(ctx, e, d)
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
			err = c.bad(err)
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
