package logrep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// lists looks whether the lists of pruned entries and of garbage are both there, if one of them is.
func (c *checker) lists(ctx context.Context) (err error) {
	key := remotelog.GarbageKey(c.l.name)
	there := false
	if c.garbage, there, err = c.l.Garbage(ctx); err != nil {
		return c.bad(err)
	}
	if c.pruned.Garbage && !there {
		return c.bad(&Fault{Object: key, Err: fmt.Errorf("the list of garbage, %s, is gone; the next prune makes a new one: %w", key, store.ErrNotExist)})
	}
	gone := func() bool { // an empty list of garbage comes first, and says nothing of the other
		return len(c.garbage.Batches) > 0 && !c.pruned.Garbage || !c.pruned.Contains(c.garbage.Pruned)
	}
	if !gone() {
		return nil
	}
	if c.pruned, err = c.l.Pruned(ctx); err != nil { // somebody may have pruned meanwhile
		return c.bad(err)
	}
	if gone() {
		key := remotelog.PrunedKey(c.l.name)
		return c.bad(&Fault{Object: key, Err: fmt.Errorf("the list of pruned entries, %s, is gone, or an old one: %w", key, store.ErrNotExist)})
	}
	return nil
}

// waiting reports garbage that is not there any more, or has another size: who removes it says so in the list before.
func (c *checker) waiting(ctx context.Context) (err error) {
	before := c.changed()
	if len(before) == 0 {
		return nil
	}
	// The objects were listed after the first list was read. Of those that are in another one only, nobody knows.
	if c.garbage, _, err = c.l.Garbage(ctx); err != nil {
		return c.bad(err)
	}
	for _, o := range slices.SortedFunc(maps.Keys(c.changed()), func(x, y remotelog.GarbageObject) int { return x.Compare(y.ObjectID) }) {
		if !before[o] {
			continue
		}
		_, key := c.l.object(o.ObjectID)
		c.lost[o.ObjectID] = true
		err := fmt.Errorf("%s is gone, though it was to stay for those who read older states: %w", key, store.ErrNotExist)
		if size, ok := c.sizes[o.ObjectID]; ok {
			err = corrupt("%s has %d bytes, not %d", key, size, o.Size)
		}
		if err := c.bad(&Fault{Object: key, Err: err}); err != nil {
			return err
		}
	}
	return nil
}

// changed returns the garbage that is not there as it was, and is not being removed.
func (c *checker) changed() map[remotelog.GarbageObject]bool {
	changed := map[remotelog.GarbageObject]bool{}
	for _, b := range c.garbage.Batches {
		for _, o := range b.Objects {
			if size, ok := c.sizes[o.ObjectID]; !b.Removing && (!ok || size != o.Size) {
				changed[o] = true
			}
		}
	}
	return changed
}

// unneeded reads what objects have that no entry needs, as far as it is chosen: it must be whole frames.
func (c *checker) unneeded(ctx context.Context) error {
	if c.opts.Percent <= 0 {
		return nil
	}
	headers := make(map[uint64]int64, len(c.entries))
	for _, e := range c.entries {
		if size, ok := c.sizes[remotelog.ObjectID{Entry: e.number}]; ok {
			headers[e.number] = e.size - size // 0 if it could not be read
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.g.jobs)
	for id, size := range c.sizes {
		if c.lost[id] || c.unsealed[id] || id.Part == 0 && headers[id.Entry] == 0 {
			continue // told already
		}
		end := size
		if c.hasSeal(id) { // which was read
			end = max(0, size-remotelog.SealSize)
		}
		for _, s := range c.needed[id].gaps(end) {
			p := remotelog.Place{Object: id, Offset: s.first, Length: s.end - s.first}
			if gctx.Err() == nil && c.chosen(placeSum(p)) {
				g.Go(func() error { return c.frames(gctx, p, headers[id.Entry], size) })
			}
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// frames reads frames that follow each other in an object with so many bytes of frames, up to the first that is damaged. Those of kinds that are unknown are
// of programs to come.
func (c *checker) frames(ctx context.Context, p remotelog.Place, header, size int64) (err error) {
	base := int64(0)
	if p.Object.Part == 0 {
		base = header
	}
	s, key := c.l.object(p.Object)
	obj, err := getRange(ctx, s, key, base+p.Offset, p.Length)
	switch {
	case errors.Is(err, store.ErrNotExist):
		return nil // pruned meanwhile
	case err != nil:
		return c.bad(c.l.inFrame(p, err))
	}
	defer func() { err = errors.Join(err, obj.Body.Close()) }()
	var frame []byte
	for at := p; at.Length > 0; {
		frame = slices.Grow(frame[:0], remotelog.FrameHead)[:min(remotelog.FrameHead, at.Length)]
		err := readNext(obj.Body, 0, frame)
		var kind remotelog.Kind
		n := 0
		if err == nil {
			kind, n, err = remotelog.FrameLen(frame)
		}
		if err == nil && int64(n) > at.Length {
			err = endsBefore
		}
		if err == nil {
			at.Length = int64(n)
			frame = slices.Grow(frame, n)[:n]
			err = readNext(obj.Body, 0, frame[remotelog.FrameHead:])
		}
		if err == nil {
			err = remotelog.CheckFrame(frame)
		}
		if err == nil && kind == remotelog.KindSeal {
			err = c.lastFrame(frame, at, size)
		}
		if err != nil {
			return c.bad(c.l.inFrame(at, fmt.Errorf("no state needs it, but: %w", err)))
		}
		at = remotelog.Place{Object: p.Object, Offset: at.End(), Length: p.End() - at.End()}
	}
	return nil
}

// lastFrame fails unless a seal at that place is that of the pack, and the end of it.
func (c *checker) lastFrame(seal []byte, at remotelog.Place, size int64) error {
	if at.Object.Part == 0 || at.End() != size {
		return corrupt("a seal where none is to be")
	}
	return remotelog.CheckSeal(seal, c.l.name, at.Object, size)
}

// spans are parts of an object. The zero value, and nil, are none.
type spans struct {
	list []span
	most int // how long the list may be until it is made shorter
}

type span struct{ first, end int64 }

func (s *spans) add(first, end int64) {
	s.list = append(s.list, span{first, end})
	if len(s.list) > s.most {
		s.merge()
		s.most = max(64, 2*len(s.list))
	}
}

// merge sorts the list and joins what touches.
func (s *spans) merge() {
	slices.SortFunc(s.list, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	merged := s.list[:0]
	for _, v := range s.list {
		if n := len(merged); n > 0 && v.first <= merged[n-1].end {
			merged[n-1].end = max(merged[n-1].end, v.end)
			continue
		}
		merged = append(merged, v)
	}
	s.list = merged
}

// gaps returns what is between them in an object of that size.
func (s *spans) gaps(size int64) (gaps []span) {
	at := int64(0)
	if s != nil {
		s.merge()
		for _, v := range s.list {
			if v.first > at {
				gaps = append(gaps, span{at, v.first})
			}
			at = max(at, v.end)
		}
	}
	if at < size {
		gaps = append(gaps, span{at, size})
	}
	return gaps
}
