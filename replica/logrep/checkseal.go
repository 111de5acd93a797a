package logrep

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// seals reads the last bytes of the packs that are to have a seal. What is put in the place of another pack, or cut, is else only noticed if a
// state needs what is not there any more.
func (c *checker) seals(ctx context.Context, skip map[remotelog.ObjectID]bool) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.g.jobs)
	for id, size := range c.sizes {
		if !c.hasSeal(id) || skip[id] {
			continue
		}
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return c.seal(gctx, id, size) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// hasSeal says whether an object is to have a seal, which is looked at.
func (c *checker) hasSeal(id remotelog.ObjectID) bool {
	return id.Part > 0 && id.Entry > c.opts.After && c.sound != nil && c.sound.HasSeal(id)
}

// seal checks that of a pack of that size.
func (c *checker) seal(ctx context.Context, id remotelog.ObjectID, size int64) error {
	s, key := c.l.object(id)
	var b []byte
	var err error
	if size >= remotelog.SealSize {
		b, _, err = getPart(ctx, s, key, size-remotelog.SealSize, remotelog.SealSize)
	}
	switch {
	case errors.Is(err, store.ErrNotExist):
		return nil // pruned meanwhile
	case err == nil:
		err = remotelog.CheckSeal(b, c.l.name, id, size)
	}
	if err == nil {
		return nil
	}
	if err := c.bad(&Fault{Object: key, Err: fmt.Errorf("%s was cut, or is another object in its place: %w", key, err)}); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsealed[id] = true
	return nil
}

// damaged returns the objects of which something was told already.
func (c *checker) damaged() map[remotelog.ObjectID]bool {
	all := maps.Clone(c.lost)
	for p := range c.told {
		all[p.Object] = true
	}
	return all
}
