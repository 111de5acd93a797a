package logwriter

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// latestTries bounds how often a latestCopy looks again what others have put.
const latestTries = 4

// A latestCopy is what is known of the copy of the newest entry.
type latestCopy struct {
	s    store.Store
	name string

	number uint64 // of the entry; 0 if unknown
	etag   string // empty if unknown
	failed bool   // to refresh it
}

// refresh refreshes the copy of the newest entry if it is time to: readers find the newest one from it, in steps that
// grow, so it need not be that of the newest. It is no failure if it fails: then it is tried after the next
// entry.
func (w *Writer) refresh(ctx context.Context) {
	n, every := w.head.number(), uint64(w.o.LatestEvery)
	if n > 1 && n%every != 0 && !w.latest.failed && (w.latest.number == 0 || n < w.latest.number+every) {
		return
	}
	err := w.latest.put(ctx, w.head.Head, w.plain == yes)
	if w.latest.failed = err != nil; err != nil {
		w.o.Logger.Warn("cannot refresh the copy of the newest entry", "name", w.name, "error", err)
	}
}

// put makes the copy that of h, unless it is of a later entry. Entries are gone from where it would go back to, so it is put only
// if it is what it was when it was read, where the store can tell: also a put that arrives late must not succeed. plain stores can't.
func (c *latestCopy) put(ctx context.Context, h *logrep.Head, plain bool) error {
	if c.etag != "" && c.number >= h.Entry.Number {
		return nil
	}
	refused := "" // ETag
	for try := range latestTries {
		cond := store.Condition{IfMatch: c.etag}
		switch {
		case c.etag == "" && h.Entry.Number == 1 && try == 0: // mostly there is none
			cond = store.Condition{IfAbsent: true}
		case c.etag == "":
			copied, info, err := c.read(ctx)
			switch {
			case err != nil:
				return fmt.Errorf("refresh the copy of the newest entry: %w", err)
			case copied != nil && copied.Entry.Number >= h.Entry.Number:
				return nil
			}
			cond = store.Condition{IfMatch: info.ETag, IfAbsent: info.ETag == ""}
			if refused != "" && info.ETag == refused {
				cond = store.Condition{} // nobody has put another one: some servers refuse whatever they are given
			}
		}
		if plain {
			cond = store.Condition{}
		}
		key := remotelog.LatestKey(c.name)
		info, err := c.s.Put(ctx, key, h.Encoded, cond)
		if errors.Is(err, errors.ErrUnsupported) {
			info, err = c.s.Put(ctx, key, h.Encoded, store.Condition{})
		}
		c.etag = info.ETag
		switch {
		case err == nil:
			c.number = h.Entry.Number
			return nil
		case errors.Is(err, store.ErrPrecondition), store.IsNotExist(err):
			c.etag, refused = "", cond.IfMatch
			continue
		}
		c.number, c.etag = 0, ""
		return fmt.Errorf("refresh the copy of the newest entry: %w", err)
	}
	return fmt.Errorf("refresh the copy of the newest entry: others do: %w", store.ErrPrecondition)
}

// read reads the copy; nil if there is none, or a damaged one.
func (c *latestCopy) read(ctx context.Context) (*logrep.Head, store.Info, error) {
	c.etag = ""
	b, info, err := store.ReadAll(ctx, c.s, remotelog.LatestKey(c.name), remotelog.MaxHeader)
	switch {
	case store.IsNotExist(err):
		return nil, store.Info{}, nil
	case err != nil:
		return nil, info, err
	}
	h, err := decode(c.s, c.name, b, info, 0)
	if errors.Is(err, remotelog.ErrCorrupt) {
		return nil, info, nil
	}
	if err == nil {
		c.number, c.etag = h.Entry.Number, info.ETag
	}
	return h, info, err
}
