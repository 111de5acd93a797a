package logwriter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/boule-db/boule/remotelog"
)

const (
	// smallObject is the size below which an object counts as small.
	smallObject = 256 << 10
	// maxSmall is how many small objects the newest state may lie in before they are put together. Half of them, the youngest,
	// are left alone then.
	maxSmall = 256
	// minGain is how many bytes there must be to free.
	minGain = 64 << 10
	// dueBytes is below how many bytes appended no compaction is due.
	dueBytes = 4 << 20
)

// A Budget bounds what a Compact does.
type Budget struct {
	// Bytes is about how many bytes are written at most; 32 MiB if zero. At most some times as many are read.
	Bytes int64
	// Requests is about how many requests the rewriting takes at most; 256 if zero. To find out what there is to do takes one for each index block
	// that is not remembered (of 256 MiB of a database) and one for 1000 objects besides.
	Requests int
}

// A Compaction says what Compact did.
type Compaction struct {
	Result
	Before      int   // objects that the newest state was in before
	BeforeBytes int64 // that they had
	Freed       int   // of them, that the newest state is not in any more: it is for Prune to remove them
	FreedBytes  int64 // that those had
	More        bool  // there is more to do than the budget allowed
}

// A growth is what was appended since the last compaction found nothing more to do.
type growth struct {
	objects int
	bytes   int64
	size    int64 // of the objects that the newest state was in then; 0 if not known
}

// CompactionDue says whether so much has been appended since the last Compact with nothing left that another is worth its requests: a
// quarter of what there was, or half as many objects as may be small. It costs nothing.
func (w *Writer) CompactionDue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grown.objects >= maxSmall/2 || w.grown.bytes > max(dueBytes, w.grown.size/4)
}

// Compact moves what the newest state needs out of objects of which it needs less than a half, and out of small ones
// if there are very many, and appends an entry that says so, with the state as it is. After an error, and of how
// much has been done, the same is true as of [Writer.Append].
//
// If it is called often enough to have nothing left to do, the newest state lies in objects of at most twice the
// size that it has by itself.
func (w *Writer) Compact(ctx context.Context, b Budget) (Compaction, error) {
	b.Bytes, b.Requests = cmp.Or(b.Bytes, 32<<20), cmp.Or(b.Requests, 256)
	w.mu.Lock()
	defer w.mu.Unlock()
	var c Compaction
	_, err := w.repeat(ctx, func() (res Result, err error) {
		c, err = w.compact(ctx, b)
		return c.Result, err
	})
	return c, err
}

func (w *Writer) compact(ctx context.Context, b Budget) (c Compaction, err error) {
	h, err := w.current(ctx)
	if err != nil {
		return c, fmt.Errorf("compact: %w", err)
	}
	c.Entry, c.Unchanged = h.number(), true
	if h.Head == nil {
		return c, nil
	}
	if !h.Entry.Owner.Same(w.o.Owner) {
		w.forget()
		return c, fencedBy(h.Entry)
	}
	if err := w.verify(ctx, h); err != nil {
		return c, err
	}
	s, err := w.scan(ctx, h)
	if err != nil {
		return c, fmt.Errorf("compact: %w", err)
	}
	for _, u := range s.objects {
		c.Before, c.BeforeBytes = c.Before+1, c.BeforeBytes+u.size
	}
	victims, more := w.choose(s, h.number(), b)
	c.More = more
	defer func() {
		if err == nil && !c.More {
			w.grown = growth{size: c.BeforeBytes - c.FreedBytes + c.Bytes}
		}
	}()
	if len(victims) == 0 {
		return c, nil
	}
	if err := w.probe(ctx, h); err != nil {
		return c, err
	}
	r := &rewriting{victims: make(map[remotelog.ObjectID]*victim)}
	for _, v := range victims {
		r.victims[v.id] = v
	}
	e := *h.Entry
	e.Takeover = false
	c.Result, err = w.compose(ctx, h, &e, func(a *appending) error {
		r.a = a
		return r.run(ctx, victims)
	})
	if err != nil {
		if errors.Is(err, errNothing) {
			c.Entry, c.Unchanged, err = h.number(), true, nil
		}
		return c, err
	}
	for _, v := range victims {
		if !v.spared {
			c.Freed, c.FreedBytes = c.Freed+1, c.FreedBytes+v.size
		}
	}
	return c, nil
}

// A victim is an object out of which everything is to be moved.
type victim struct {
	*usage
	small  bool // also if more than half of it is needed
	spared bool // it was not, after all
	frames map[remotelog.Place][]layerOf
}

// A layerOf is a layer that lies in a frame.
type layerOf struct {
	block, place int // of the chunk
	layer        int
}

// choose returns the objects that are to be rewritten, those first of which least is needed.
func (w *Writer) choose(s *scan, newest uint64, b Budget) (victims []*victim, more bool) {
	small, solid := 0, make(map[remotelog.ObjectID]int)
	for _, u := range s.objects {
		if u.size < smallObject {
			small++
		}
		if n, ok := w.solid[u.id]; ok {
			solid[u.id] = n
		}
	}
	w.solid = solid
	merge := 0
	if small > maxSmall {
		merge = small - maxSmall/2
	}
	gain := int64(0)
	for _, u := range s.objects { // the oldest first
		if u.id == (remotelog.ObjectID{Entry: newest}) {
			continue // most of it may be its header, but that is needed
		}
		v := &victim{usage: u, frames: make(map[remotelog.Place][]layerOf)}
		if u.size < smallObject && merge > 0 {
			v.small = true
			merge--
		}
		if v.small || 2*u.live(s.page) < u.size && solid[u.id] != u.pages+1 {
			victims = append(victims, v)
			gain += u.size - u.live(s.page)
		}
	}
	if gain < minGain && small <= maxSmall {
		return nil, false
	}
	slices.SortStableFunc(victims, func(x, y *victim) int {
		return cmp.Compare(float64(x.live(s.page))/float64(x.size), float64(y.live(s.page))/float64(y.size))
	})
	bytes, requests := int64(0), 1
	for i, v := range victims {
		bytes += v.live(s.page)
		requests++
		if i > 0 && (bytes > b.Bytes || requests+int(bytes)/w.o.PackSize > b.Requests) {
			return victims[:i], true
		}
	}
	return victims, false
}
