package logrep

import (
	"context"
	"fmt"

	"github.com/boule-db/boule/remotelog"
)

// A Usage is what a log takes in its stores.
type Usage struct {
	Entries, Packs int   // objects; the copy of the newest header, and the lists of what is pruned and of garbage, are not counted
	Bytes          int64 // that they have
	Live           int64 // of those, what the newest state needs: its header, the frames that it names, and the seals of the packs that these are in
	LiveObjects    int   // that these are in
}

// Usage lists the objects of the log, and reads the index of its newest entry. If there is no log, it fails with [ErrNotFound]. It
// remembers some bytes for every frame of the newest state.
func (l *Log) Usage(ctx context.Context) (u Usage, err error) {
	h, err := l.Head(ctx, nil)
	if err != nil {
		return u, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("usage of %s: %w", l.name, err)
		}
	}()
	for item, err := range l.List(ctx, 0) {
		if err != nil {
			return u, err
		}
		u.Entries++
		u.Bytes += item.Info.Size
	}
	for info, err := range l.packs.List(ctx, remotelog.PackPrefix(l.name)) {
		if err != nil {
			return u, err
		}
		if _, ok := remotelog.ParsePackKey(l.name, info.Key); ok {
			u.Packs++
			u.Bytes += info.Size
		}
	}
	u.Live = int64(h.HeaderLen)
	counted := map[remotelog.Place]bool{}
	objects := map[remotelog.ObjectID]bool{{Entry: h.Entry.Number}: true}
	count := func(p remotelog.Place) {
		if p.IsZero() || counted[p] {
			return
		}
		counted[p] = true
		u.Live += p.Length
		if !objects[p.Object] && p.Object.Part > 0 && h.Entry.HasSeal(p.Object) {
			u.Live += remotelog.SealSize
		}
		objects[p.Object] = true
	}
	for b := range h.Entry.Blocks {
		count(h.Entry.Blocks[b].Stored)
		count(h.Entry.Blocks[b].Patch)
	}
	err = l.each(ctx, h.Entry, func(_ int, c *remotelog.Chunk) error {
		for _, layer := range c.Layers {
			count(layer.Frame)
		}
		return nil
	})
	u.LiveObjects = len(objects)
	return u, err
}
