package logrep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// pageKeys is how many keys a store lists by one request.
const pageKeys = 1000

// An Item is an entry as it is listed, without being read.
type Item struct {
	Number uint64
	Info   store.Info
}

// List yields the entries with greater numbers than after, in their order, at the cost of one request for
// every 1000, if the store can begin to list anywhere. After an error it yields nothing more.
func (l *Log) List(ctx context.Context, after uint64) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		from := ""
		if after > 0 {
			from = remotelog.EntryKey(l.name, after)
		}
		for info, err := range store.ListAfter(ctx, l.entries, remotelog.EntryPrefix(l.name), from) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			number, ok := remotelog.ParseEntryKey(l.name, info.Key)
			if ok && !yield(Item{number, info}, nil) {
				return
			}
		}
	}
}

// after returns the first entry with a number greater than that one, but for those that are pruned, if there is one.
func (l *Log) after(ctx context.Context, number uint64, pruned *remotelog.Pruned) (Item, bool, error) {
	for item, err := range l.kept(ctx, number, pruned) {
		return item, err == nil, err
	}
	return Item{}, false, nil
}

// lastListed returns the number of the newest entry, whatever gaps there are: it asks whether anything comes after some
// number, and halves what is left.
func (l *Log) lastListed(ctx context.Context) (uint64, error) {
	newest, ok, err := l.after(ctx, 0, &remotelog.Pruned{})
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("%w: nothing under %s in %s: %w", ErrNotFound,
			remotelog.EntryPrefix(l.name), l.entries, store.ErrNotExist)
	}
	none := uint64(0) // nothing comes after this
	for step := uint64(pageKeys); none == 0 || none > newest.Number; step *= 2 {
		number := newest.Number + step
		if none > 0 {
			number = newest.Number + (none-newest.Number)/2
		}
		next, ok, err := l.after(ctx, number, &remotelog.Pruned{})
		switch {
		case err != nil:
			return 0, err
		case ok:
			newest = next
		default:
			none = number
		}
	}
	return newest.Number, nil
}

// A Point is an entry to which a database can be restored.
type Point struct {
	Entry      uint64    // its number
	Time       time.Time // when it was appended, by the clock of the writer
	SourceTime time.Time // when the database changed
	Size       int64     // of the database
	ObjectSize int64     // of the entry
}

// History yields all entries that were kept, but not those that are pruned and only still there, the oldest first. They are read for that, several at a time; [Log.List] does
// without. An entry that is damaged is yielded with its number, ObjectSize and an error, and the others
// follow; so they do after an error without a number, which says that the list of pruned entries is damaged: then some of them may be pruned.
// After any other error nothing does.
func (l *Log) History(ctx context.Context) iter.Seq2[Point, error] {
	return func(yield func(Point, error) bool) {
		pruned, err := l.Pruned(ctx)
		if err != nil && (!yield(Point{}, err) || !isFault(err)) {
			return
		}
		for item, h := range l.heads(ctx, l.kept(ctx, 0, &pruned)) {
			p := Point{Entry: item.Number, ObjectSize: item.Info.Size}
			if h.err == nil {
				e := h.head.Entry
				p.Time, p.SourceTime, p.Size = e.Appended, e.SourceTime, e.Size
			}
			if errors.Is(h.err, store.ErrNotExist) {
				continue // pruned meanwhile
			}
			if !yield(p, h.err) || h.err != nil && !isFault(h.err) {
				return
			}
		}
	}
}

// A found is an entry, or why there is none.
type found struct {
	head *Head
	err  error
}

// heads yields these entries, in their order, which are read ahead. An error of the list itself comes last, with no item.
func (l *Log) heads(ctx context.Context, items iter.Seq2[Item, error]) iter.Seq2[Item, found] {
	return func(yield func(Item, found) bool) {
		type reading struct {
			item   Item
			result chan found
		}
		ctx, cancel := context.WithCancel(ctx)
		ahead := make(chan reading, defaultJobs) // its length bounds what is read at a time
		defer func() {
			cancel()
			for r := range ahead { // until everything has ended
				<-r.result
			}
		}()
		go func() {
			defer close(ahead)
			for item, err := range items {
				r := reading{item, make(chan found, 1)}
				select {
				case ahead <- r:
				case <-ctx.Done():
					return
				}
				if err != nil {
					r.result <- found{nil, err}
					return
				}
				go func() {
					h, err := l.Entry(ctx, item.Number)
					r.result <- found{h, err}
				}()
			}
		}()
		for r := range ahead {
			if !yield(r.item, <-r.result) {
				return
			}
		}
		if err := context.Cause(ctx); err != nil {
			yield(Item{}, found{nil, err})
		}
	}
}

// At returns the newest entry that was appended at t or before, by the clock of the writer. If there is none, it fails with
// [ErrNotFound]. Times are supposed to ascend.
//
// It lets the list of entries, with the times of the objects, tell where to look, and so takes few requests: less than ten
// for some hundred entries back, and two more whenever that grows tenfold.
func (l *Log) At(ctx context.Context, t time.Time) (*Head, error) {
	h, err := l.at(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("find the entry of %s at %s: %w", l.name, t.Format(time.RFC3339), err)
	}
	return h, nil
}

func (l *Log) at(ctx context.Context, t time.Time) (*Head, error) {
	start := time.Now()
	newest := l.seen() // what was appended since is not asked for
	if newest == nil || !newest.Entry.Appended.After(t) {
		var err error
		if newest, err = l.Head(ctx, newest); err != nil {
			return nil, err
		}
	}
	if !newest.Entry.Appended.After(t) {
		return newest, nil
	}
	key := remotelog.EntryKey(l.name, newest.Entry.Number)
	info := newest.Info
	if info.Key != key {
		var err error
		switch info, err = l.entries.Head(ctx, key); {
		case errors.Is(err, store.ErrNotExist):
			info = newest.Info // of the copy, which is as good for this
		case err != nil:
			return nil, err
		}
	}
	pruned, err := l.prunedSince(ctx, start)
	s := &search{l: l, t: t, newest: newest, listed: err == nil, heads: map[uint64]*Head{newest.Entry.Number: newest}}
	if pruned, err = orNone(pruned, err); err != nil {
		return nil, err
	}
	s.pruned = &pruned
	// What the clock of the store says when that of the writer says t.
	listed := t.Add(info.ModTime.Sub(newest.Entry.Appended))
	h, ok, err := s.run(ctx, func(_ context.Context, item Item) (bool, error) { return !item.Info.ModTime.After(listed), nil })
	if err == nil && !ok {
		// The clocks mislead, or objects were put again.
		h, _, err = s.run(ctx, s.early)
	}
	if err == nil && h == nil {
		err = fmt.Errorf("%w: all entries are younger: %w", ErrNotFound, store.ErrNotExist)
	}
	return h, err
}

// A search is for the newest entry that was appended at t or before.
type search struct {
	l      *Log
	t      time.Time
	newest *Head             // which was not
	pruned *remotelog.Pruned // those that are no recovery points
	listed bool              // these are all that there are
	heads  map[uint64]*Head  // that were read
}

// early says whether an entry was appended at t or before.
func (s *search) early(ctx context.Context, item Item) (bool, error) {
	h := s.heads[item.Number]
	if h == nil {
		var err error
		if h, err = s.l.Entry(ctx, item.Number); err != nil {
			return false, err
		}
		s.heads[item.Number] = h
	}
	return !h.Entry.Appended.After(s.t), nil
}

// run searches as guess says, which need not be right: in the end headers decide, and ok is false if they
// say that it is elsewhere.
func (s *search) run(ctx context.Context, guess func(context.Context, Item) (bool, error)) (h *Head, ok bool, err error) {
	items, first, err := s.narrow(ctx, guess)
	if err != nil {
		return nil, false, err
	}
	// Go from where it should be to where it is.
	at, err := bisect(ctx, items, -1, len(items), guess)
	if err != nil {
		return nil, false, err
	}
	low, high := -1, len(items) // early and late
	for step, up := 1, true; at >= 0 && at < len(items) && at > low && at < high; step *= 2 {
		early, err := s.early(ctx, items[at])
		if err != nil {
			return nil, false, err
		}
		if early {
			low = at
		} else {
			high = at
		}
		if step == 1 {
			up = early
		}
		if up != early {
			break
		}
		if up {
			at += step
		} else {
			at -= step
		}
	}
	if low, err = bisect(ctx, items, low, high, s.early); err != nil {
		return nil, false, err
	}
	switch {
	case low == len(items)-1:
		return nil, false, nil // the last one is known to be late, or not the newest
	case low < 0 && first:
		return nil, true, s.lost(ctx, 1, items[0].Number-1)
	case low < 0:
		return nil, false, nil
	}
	h = s.heads[items[low].Number]
	if h.Entry.Appended.Equal(s.t) {
		return h, true, nil // it is asked for by its own time
	}
	return h, true, s.lost(ctx, items[low].Number+1, items[low+1].Number-1)
}

// lost fails if any of the entries between the one that was the newest at that time, as far as can be told, and the next one was lost, and not pruned: it may have been the
// newest. Whoever wants to do without it asks for the other one by its number.
func (s *search) lost(ctx context.Context, first, last uint64) error {
	if !s.listed || first > last || len(s.pruned.Missing(first, last)) == 0 {
		return nil
	}
	pruned, err := s.l.Pruned(ctx) // they may have been pruned meanwhile
	if err != nil {
		return err
	}
	for _, r := range pruned.Missing(first, last) {
		return &Fault{Object: remotelog.EntryKey(s.l.name, r.First), Err: fmt.Errorf("%s is gone, and may be the newest entry of that time; those before and behind it can be had by their numbers",
			remotelog.EntryKey(s.l.name, r.First))}
	}
	return nil
}

// bisect returns the last of the items between low and high for which early is true, or low.
func bisect(ctx context.Context, items []Item, low, high int, early func(context.Context, Item) (bool, error)) (int, error) {
	for high-low > 1 {
		mid := low + (high-low)/2
		is, err := early(ctx, items[mid])
		if err != nil {
			return 0, err
		}
		if is {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}

// narrow returns the entries from one for which early is true, or from the first of all (then first is true), to one
// for which it is not: at most about 1000.
func (s *search) narrow(ctx context.Context, early func(context.Context, Item) (bool, error)) (items []Item, first bool, err error) {
	low, high := uint64(0), s.newest.Entry.Number
	for step := uint64(pageKeys); high-low > pageKeys; step *= 4 {
		number := low + (high-low)/2
		if low == 0 && step < high {
			number = high - step
		}
		item, ok, err := s.l.after(ctx, number, s.pruned)
		if err != nil {
			return nil, false, err
		}
		is := false
		if ok && item.Number < high {
			if is, err = early(ctx, item); err != nil {
				return nil, false, err
			}
		} else {
			item.Number = number + 1 // there is nothing in between
		}
		if is {
			low = item.Number
		} else {
			high = item.Number
		}
	}
	for item, err := range s.l.kept(ctx, max(low, 1)-1, s.pruned) {
		if err != nil {
			return nil, false, err
		}
		items = append(items, item)
		if item.Number >= high {
			break
		}
	}
	if n := len(items); high == s.newest.Entry.Number && (n == 0 || items[n-1].Number < high) {
		items = append(items, Item{Number: high, Info: s.newest.Info}) // there is the copy only
	}
	return items, low == 0, nil
}
