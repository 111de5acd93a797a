package logwriter

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// A state lies in the entries that came before it, up to some hundred of them, and each takes a request. The newest one is compacted, older
// ones are not: so what entries have is kept a second time in bundles, for whoever restores to a time.
const (
	// bundleFew is from how many entries on a bundle is made.
	bundleFew = 3
	// bundleMost is how long an entry may be to be in a bundle. What is inline is mostly shorter.
	bundleMost = 5 << 20
	// movedMost is how long the frames of a compaction may be to be in a bundle. There are few such entries, and what they have was written before.
	movedMost = 64 << 10
	// bundleReach is of about how many entries bundles are named once more, so that a reader finds them at once.
	bundleReach = 512
	// bundleBack is how many entries at the most are read to be put into bundles; what is older stays as it is.
	bundleBack = 512
)

// A bundling is what compactions still have to put into bundles: the frames of entries from next to last. The zero value is nothing.
type bundling struct{ next, last uint64 }

// count is how many entries there are.
func (b bundling) count() int {
	if b.next == 0 || b.last < b.next {
		return 0
	}
	return int(b.last - b.next + 1)
}

// A bundled is what is known of the bundles of the entry that was bundled last.
type bundled struct {
	entry uint64 // 0 if nothing is known
	list  []remotelog.Bundle
}

// bundles returns the bundles that h knows of, the youngest last.
func (w *Writer) bundles(ctx context.Context, h *head) ([]remotelog.Bundle, error) {
	from := h.bundled()
	switch from {
	case 0:
		return nil, nil
	case w.bundled.entry:
		return w.bundled.list, nil
	}
	found := h.Head
	if from != h.number() {
		var err error
		found, err = w.log.Entry(ctx, from)
		switch {
		case store.IsNotExist(err), errors.Is(err, remotelog.ErrCorrupt): // pruned, or damaged
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
	w.bundled = bundled{from, found.Entry.Bundles}
	return w.bundled.list, nil
}

// bundled returns the number of the newest entry that bundles were made for, or 0.
func (h *head) bundled() uint64 {
	switch {
	case h.Head == nil:
		return 0
	case len(h.Entry.Own()) > 0:
		return h.number()
	}
	return h.Entry.Bundled
}

// unbundled returns the entries of which there is no bundle.
func (w *Writer) unbundled(ctx context.Context, h *head) (bundling, error) {
	list, err := w.bundles(ctx, h)
	if err != nil {
		return bundling{}, err
	}
	if w.passed > h.number() {
		w.passed = 0 // the log was begun anew
	}
	b := bundling{max(1, h.bundled()), h.number()}
	if n := len(list); n > 0 {
		b.next = list[n-1].End()
	}
	if b.next = max(b.next, w.passed+1); b.last >= bundleBack {
		b.next = max(b.next, b.last-bundleBack+1)
	}
	return b, nil
}

// makeBundles makes bundles of entries, as many as the budget allows, and names them in a new entry.
func (w *Writer) makeBundles(ctx context.Context, h *head, b Budget) (c Compaction, err error) {
	c.Entry, c.Unchanged = h.number(), true
	if err := w.probe(ctx, h); err != nil {
		return c, err
	}
	grown, todo := w.grown, w.bundling
	c.Result, err = w.rewrite(ctx, h, func(a *appending) error {
		next, made, err := a.bundle(ctx, todo, b)
		if err != nil {
			return err
		}
		if todo.next = next; len(made) == 0 {
			return errNothing
		}
		return nil
	})
	switch {
	case errors.Is(err, errNothing):
		c.Entry, c.Unchanged = h.number(), true
	case err != nil:
		w.dropPlan()
		return c, err
	default:
		w.grown = grown // nothing of it is new
	}
	w.bundling, w.passed, w.allBundled = todo, todo.next-1, todo.count() == 0
	w.behind, c.More = true, true // what there is to rewrite, the next call sees
	return c, nil
}

// bundle makes bundles, and says which entry is the next one.
func (a *appending) bundle(ctx context.Context, what bundling, b Budget) (next uint64, made []remotelog.Bundle, err error) {
	list, err := a.w.bundles(ctx, a.old)
	if err != nil {
		return 0, nil, err
	}
	const others = 2 // requests: for a bundle, and for the entry
	b.Requests = max(b.Requests, others+2)
	bytes, requests := int64(0), 0
	last := uint64(0) // sequence of the state before
	for next = what.next; next <= what.last && bytes < b.Bytes && requests+others < b.Requests; {
		u := remotelog.Bundle{First: next}
		var body []byte
		fits := func(n int) bool { // at least one always does
			size := len(body) + n
			return (len(body) == 0 || size <= a.w.o.PackSize) && (bytes+int64(len(body)) == 0 || bytes+int64(size) <= b.Bytes)
		}
		for full := false; next <= what.last && !full && requests+others < b.Requests; {
			n := min(a.w.o.Jobs, int(what.last-next)+1, b.Requests-requests-others)
			parts, gets, err := a.w.inlineFrames(ctx, next, n)
			if err != nil {
				return 0, nil, err
			}
			requests += gets
			for _, part := range parts {
				if (part.bundles || part.sequence == last) && len(part.frames) > movedMost {
					part.frames = nil
				}
				if full = !fits(len(part.frames)); full {
					break
				}
				u.Lengths = append(u.Lengths, int64(len(part.frames)))
				body = append(body, part.frames...)
				last = part.sequence
				next++
			}
		}
		if len(body) == 0 {
			if len(u.Lengths) == 0 {
				break // of what the budget allows
			}
			continue // all are too long, or gone
		}
		u.Sum, u.Pack = manifest.Sum(body), a.f.packID()
		bytes += int64(len(body))
		requests++
		if err := a.f.send(body, object{}); err != nil {
			return 0, nil, err
		}
		made = append(made, u)
	}
	a.e.Bundles = newestBundles(slices.Concat(list, made))
	return next, made, nil
}

// newestBundles returns the last bundles of a list.
func newestBundles(list []remotelog.Bundle) []remotelog.Bundle {
	entries := 0
	for i := len(list) - 1; i >= 0; i-- {
		if entries >= bundleReach || entries+len(list[i].Lengths) > remotelog.MaxBundled {
			return list[i+1:]
		}
		entries += len(list[i].Lengths)
	}
	return list
}

// An inlined is what an entry has inline.
type inlined struct {
	frames   []byte // none if the entry is long, pruned or damaged
	sequence uint64 // of its state; 0 then
	bundles  bool   // it was made for a compaction, like one with the same state as the one before
}

// inlineFrames returns the frames of n successive entries, and how many of these it had to read.
func (w *Writer) inlineFrames(ctx context.Context, first uint64, n int) (parts []inlined, gets int, err error) {
	parts = make([]inlined, n)
	g, ctx := errgroup.WithContext(ctx)
	for i := range parts {
		number := first + uint64(i)
		if o, ok := w.known[remotelog.ObjectID{Entry: number}]; ok && o.size > bundleMost {
			continue
		}
		if known, ok := w.lately.get(number); ok {
			parts[i] = known
			continue
		}
		gets++
		g.Go(func() error {
			b, info, err := w.begin(ctx, remotelog.EntryKey(w.name, number), bundleMost)
			if store.IsNotExist(err) || err == nil && info.Size > bundleMost {
				return nil
			}
			var e *remotelog.Entry
			var header int
			if err == nil {
				e, header, _, err = remotelog.DecodeEntry(b)
			}
			if err == nil {
				err = verifyFrames(b[header:])
			}
			if err == nil {
				err = e.Check(w.name, number)
			}
			if err == nil {
				err = e.CheckInline(int64(len(b) - header))
			}
			switch {
			case isUnreadable(err) && ctx.Err() == nil:
				w.o.Logger.Warn("an entry is in no bundle", "name", w.name, "entry", number, "err", err)
				return nil
			case err != nil:
				return fmt.Errorf("read entry %d: %w", number, err)
			}
			parts[i] = inlined{b[header:], e.Sequence, len(e.Own()) > 0}
			return nil
		})
	}
	return parts, gets, g.Wait()
}

// isUnreadable says whether an error of an entry will be the same next time.
func isUnreadable(err error) bool {
	for _, target := range []error{remotelog.ErrCorrupt, remotelog.ErrShort, remotelog.ErrVersion} {
		if errors.Is(err, target) {
			return true
		}
	}
	return err != nil && store.IsPermanent(err)
}
