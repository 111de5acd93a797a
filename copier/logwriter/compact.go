package logwriter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

const (
	// smallObject is the size below which an object counts as small.
	smallObject = 256 << 10
	// maxSmall is how many small objects the newest state may lie in before they are put together; the youngest quarter is left
	// alone then. A restore has to ask for each of them, and so has a compaction.
	maxSmall = 128
	// minGain is how many bytes there must be to free.
	minGain = 64 << 10
	// dueBytes is below how many bytes appended no compaction is due.
	dueBytes = 1 << 20
)

// How many percent of what it needs the objects have that the newest state lies in. That is also how much a restore fetches at most,
// compared with one of a replica that was uploaded just now. What is rewritten for each byte appended grows as these get less: see RATIONALE.md.
const (
	freshPercent = 103 // less is as good as uploaded just now
	burstPercent = 130 // more is too much of a fresh one: what comes in a minute may be all that comes
	widePercent  = 122 // more is too much of another
	tightPercent = 111 // what a compaction leaves
	solidPercent = 90  // an object that needs as much of itself is not worth rewriting
)

// A Budget bounds what a Compact does.
type Budget struct {
	// Bytes is about how many bytes are written at most, but one object is always rewritten, or one entry bundled; 32 MiB if zero. At most
	// some times as many are read.
	Bytes int64
	// Requests is about how many requests the rewriting, or the bundling, takes at most; 256 if zero. To find out what there is to do, once for all calls
	// until there is no more, takes one for each index block (of 256 MiB of a database) and one for 1000 objects besides, if they are not remembered.
	Requests int
}

// A Compaction says what Compact did.
type Compaction struct {
	Result
	Freed      int   // objects that the newest state is not in any more: it is for Prune to remove them
	FreedBytes int64 // that those had
	More       bool  // there is more to do than the budget allowed, or there may be
}

// A growth is how the objects of the newest state have grown since a compaction looked at them.
type growth struct {
	small int   // objects that there are: those that were there then, and entries since
	bytes int64 // that were appended
	raw   int64 // of pages in these, before they were compressed
	size  int64 // of the objects that there were then, without what was freed since; 0 if not known
	need  int64 // what the state needed of them
}

// add counts an entry.
func (g *growth) add(entry, bytes, raw int64) {
	if entry < smallObject {
		g.small++
	}
	g.bytes, g.raw = g.bytes+bytes, g.raw+raw
}

// wide is how many percent are too much.
func (g *growth) wide() int64 {
	if 100*g.size <= freshPercent*g.need {
		return burstPercent
	}
	return widePercent
}

// due says whether there may be something to do for a state of so many bytes, or so many times what makes it so. What was appended is
// taken for the replacement of what was there, so it may turn out that there is not.
func (g *growth) due(size int64, times int) bool {
	room := g.need*g.wide()/100 - g.size
	if g.size == 0 && g.raw > 0 {
		room = int64(float64(size) * (burstPercent - 100) / 100 * min(1, float64(g.bytes)/float64(g.raw)))
	}
	// If the last compaction left more than it should have, the next one had better wait for something to gain.
	return g.small > times*mostSmall(size) || g.bytes > int64(times)*max(dueBytes, room, g.size/10)
}

// mostSmall is how many small objects a state of so many bytes may lie in: to find out what to do about them takes a request for every index block.
func mostSmall(size int64) int { return max(maxSmall, 2*manifest.BlockCount(manifest.Count(size))) }

// CompactionDue says whether so much has been appended since the last Compact with nothing left that another may have something to do. It
// costs nothing.
func (w *Writer) CompactionDue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.head == nil || w.head.Head == nil {
		return false
	}
	return len(w.plan) > 0 || w.bundling.count() > 0 || w.behind || w.grown.due(w.head.Entry.Size, 1)
}

// CompactionOverdue says whether twice as much has been appended as makes a compaction due: processes that end as soon as they have
// appended leave no time for any.
func (w *Writer) CompactionOverdue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.head != nil && w.head.Head != nil && w.grown.due(w.head.Entry.Size, 2)
}

// PostponeCompaction makes the next one due when as much has been appended again.
func (w *Writer) PostponeCompaction() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan, w.bundling, w.behind, w.allBundled = nil, bundling{}, false, false
	w.grown.small, w.grown.bytes, w.grown.raw = 0, 0, 0
}

// Compact moves what the newest state needs out of objects of which it needs least, if all of them have much more than
// it needs, and out of small ones if there are very many; and appends an entry that says so, with the state as it is. After an error, and of how
// much has been done, the same is true as of [Writer.Append].
//
// Before that it puts what entries have into bundles, from which older states are restored by few requests.
//
// If it is called often enough to have nothing left to do, the newest state lies in objects of at most 1.22 times the
// size that it has by itself, about, and of these at most 128 are small; of 1.3 times if none was compacted since it was uploaded as a whole.
func (w *Writer) Compact(ctx context.Context, b Budget) (Compaction, error) {
	b.Bytes, b.Requests = cmp.Or(b.Bytes, 32<<20), cmp.Or(b.Requests, 256)
	w.mu.Lock()
	defer w.mu.Unlock()
	var c Compaction
	_, err := w.repeat(ctx, func() (res Result, err error) {
		c, err = w.compact(ctx, b)
		return c.Result, err
	})
	w.suspect(err)
	return c, err
}

func (w *Writer) compact(ctx context.Context, b Budget) (c Compaction, err error) {
	h, err := w.current(ctx)
	if err != nil {
		return c, fmt.Errorf("compact: %w", err)
	}
	c.Entry, c.Unchanged = h.number(), true
	if h.Head == nil || !w.damage.empty() {
		return c, nil
	}
	if !h.Entry.Owner.Same(w.o.Owner) {
		w.forget()
		return c, fencedBy(h.Entry)
	}
	if err := w.verify(ctx, h); err != nil {
		return c, err
	}
	for len(w.plan) == 0 {
		if w.bundling.count() == 0 {
			if err := w.look(ctx, h); err != nil {
				return c, fmt.Errorf("compact: %w", err)
			}
		}
		if w.bundling.count() == 0 {
			break
		}
		if c, err = w.makeBundles(ctx, h, b); err != nil || !c.Unchanged || w.bundling.count() > 0 {
			return c, err
		}
		c.More = false
	}
	victims := w.next(b)
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
	grown := w.grown
	c.Result, err = w.rewrite(ctx, h, func(a *appending) error {
		r.a = a
		return r.run(ctx, victims)
	})
	switch {
	case errors.Is(err, errNothing):
		c.Entry, c.Unchanged = h.number(), true
	case err != nil:
		w.dropPlan() // what it was made for may not be so any more
		return c, err
	}
	w.plan = w.plan[len(victims):]
	c.More = len(w.plan) > 0
	w.allBundled = c.More
	w.grown = grown // what was moved is not new
	if w.grown.size += c.Bytes; c.Bytes > 0 && c.Bytes < smallObject {
		w.grown.small++
	}
	for _, v := range victims {
		if v.spared {
			continue
		}
		c.Freed, c.FreedBytes = c.Freed+1, c.FreedBytes+v.size
		if v.size < smallObject {
			w.grown.small--
		}
	}
	w.grown.size -= c.FreedBytes
	return c, nil
}

// rewrite appends the newest state once more, with places that fill sets.
func (w *Writer) rewrite(ctx context.Context, h *head, fill func(*appending) error) (Result, error) {
	e := *h.Entry
	e.Takeover = false
	return w.compose(ctx, h, &e, func(a *appending) error {
		a.e.Blocks = slices.Clone(h.blocks())
		return fill(a)
	})
}

// look finds out what there is to do: first what to put into bundles, and when that is done, what to rewrite.
func (w *Writer) look(ctx context.Context, h *head) error {
	if !w.allBundled {
		b, err := w.unbundled(ctx, h)
		if err != nil {
			return err
		}
		if b.count() >= bundleFew {
			w.bundling = b
			return nil
		}
	}
	s, err := w.scan(ctx, h)
	if err != nil {
		return err
	}
	wide := w.grown.wide()
	w.grown, w.behind = growth{}, false
	w.plan = w.choose(s, h.Entry, wide)
	w.allBundled = len(w.plan) > 0
	return nil
}

// A candidate is an object out of which everything is to be moved.
type candidate struct {
	*usage
	small bool // also if most of it is needed
}

// A victim is one that is being rewritten.
type victim struct {
	candidate
	spared bool // it was not, after all
	frames map[remotelog.Place][]layerOf
}

// A layerOf is a layer that lies in a frame.
type layerOf struct {
	block, place int // of the chunk
	layer        int
}

// choose returns the objects that are to be rewritten, those first of which least is needed.
func (w *Writer) choose(s *scan, newest *remotelog.Entry, wide int64) (chosen []candidate) {
	known := make(map[remotelog.ObjectID]int)
	size, small := int64(0), 0
	need := &w.grown.need
	for _, u := range s.objects { // the oldest first
		if n, ok := w.solid[u.id]; ok {
			known[u.id] = n
			if n == u.pages+1 {
				u.need = u.size
			}
		}
		if u.size < smallObject {
			small++
		}
		size, *need = size+u.size, *need+u.need
	}
	w.solid = known
	w.grown.size, w.grown.small = size, small
	merge, most := 0, mostSmall(newest.Size)
	if small > most {
		merge = small - most/4
	}
	left := size
	var others []candidate
	for _, u := range s.objects {
		switch {
		case u.id == (remotelog.ObjectID{Entry: newest.Number}):
			// Most of it may be its header, but that is needed.
		case u.size < smallObject && merge > 0:
			merge--
			chosen = append(chosen, candidate{u, true})
			left -= u.size - u.need
		case 100*u.need < solidPercent*u.size:
			others = append(others, candidate{u, false})
		}
	}
	byNeed := func(x, y candidate) int {
		return cmp.Compare(float64(x.need)/float64(x.size), float64(y.need)/float64(y.size))
	}
	slices.SortStableFunc(others, byNeed)
	if 100*size > wide**need {
		for _, o := range others {
			if 100*left <= tightPercent**need {
				break
			}
			chosen = append(chosen, o)
			left -= o.size - o.need
		}
	}
	if size-left < minGain && small <= most {
		return nil
	}
	slices.SortStableFunc(chosen, byNeed)
	return chosen
}

// dropPlan makes the next compaction look again at what there is to do.
func (w *Writer) dropPlan() {
	w.behind = w.behind || len(w.plan) > 0 || w.bundling.count() > 0
	w.plan, w.bundling = nil, bundling{}
}

// next returns the objects of the plan that the budget allows to rewrite, at least one.
func (w *Writer) next(b Budget) (victims []*victim) {
	bytes, requests := int64(0), 1
	for i, o := range w.plan {
		bytes += o.need
		requests++
		if i > 0 && (bytes > b.Bytes || requests+int(bytes)/w.o.PackSize > b.Requests) {
			break
		}
		victims = append(victims, &victim{candidate: o, frames: make(map[remotelog.Place][]layerOf)})
	}
	return victims
}
