package logwriter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// latestTries bounds how often a latestCopy looks again what others have put.
const latestTries = 4

// When the copy of the newest entry is due besides every LatestEvery entries: soon after the last one, and not so often that it would cost much where
// entries come slowly, or each is waited for.
const (
	latestQuiet   = 2 * time.Second
	latestSpacing = 20 * time.Second // of those beyond
	latestBurst   = 8                // in a row
	latestRetry   = time.Minute      // after a failure; twice that after the next, and so on
	maxLatestWait = 6                // times that it is doubled
)

// A latestCopy is what is known of the copy of the newest entry.
type latestCopy struct {
	s    store.Store
	name string

	number uint64 // of the entry; 0 if unknown
	etag   string // empty if unknown
}

// A latestPace says how often the copy is refreshed.
type latestPace struct {
	limit    *rate.Limiter
	tried    time.Time // when it was refreshed last, or was to be
	failures int       // since it was
}

func newLatestPace() latestPace {
	return latestPace{limit: rate.NewLimiter(rate.Every(latestSpacing), latestBurst)}
}

// again is when the copy may be refreshed again.
func (p *latestPace) again() time.Time {
	if p.failures > 0 {
		return p.tried.Add(latestRetry << min(p.failures-1, maxLatestWait))
	}
	lack := max(1-p.limit.TokensAt(p.tried), 0)
	return p.tried.Add(time.Duration(lack * float64(latestSpacing)))
}

// refresh refreshes the copy of the newest entry if so many were appended since: readers find the newest one from it, in steps that
// grow, so it need not be that of the newest. It is no failure if it fails: then it is tried after the next
// entry.
func (w *Writer) refresh(ctx context.Context) {
	n, every := w.head.number(), uint64(w.o.LatestEvery)
	known := w.latest.number
	if n > 1 && w.pace.failures == 0 && (known > 0 && n < known+every || known == 0 && n%every != 0) {
		return
	}
	if err := w.putLatest(ctx); err != nil {
		w.o.Logger.Warn("cannot refresh the copy of the newest entry", "name", w.name, "error", err)
	}
}

// putLatest makes the copy that of the entry that this Writer appended last.
func (w *Writer) putLatest(ctx context.Context) error {
	w.pace.tried = w.o.Now()
	w.pace.limit.AllowN(w.pace.tried, 1)
	if err := w.latest.put(ctx, w.last, w.plain == yes); err != nil {
		w.pace.failures++
		return err
	}
	w.pace.failures = 0
	return nil
}

// isStale says whether the copy is older than what this Writer appended last, and it is for this Writer to refresh it.
func (w *Writer) isStale() bool {
	return w.fenced == nil && w.mine > 0 && w.last != nil && w.last.Entry.Number == w.mine && w.latest.number < w.mine
}

// LatestDue returns when the copy of the newest entry is to be refreshed by [Writer.RefreshLatest], unless something is
// appended before. Until then nobody notices in the store alone if what was appended since the last time gets lost. Who waits for the entry to be safe,
// says so, and need not wait for a pause. It is the zero time if there is nothing to refresh.
func (w *Writer) LatestDue(waiting bool) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.isStale() {
		return time.Time{}
	}
	due := w.appended
	if !waiting {
		due = due.Add(latestQuiet)
	}
	if again := w.pace.again(); again.After(due) {
		return again
	}
	return due
}

// RefreshLatest makes the copy of the newest entry that of the one that this Writer appended last, unless it is at least as new.
func (w *Writer) RefreshLatest(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.isStale() {
		return nil
	}
	if w.plain == yes {
		w.latest.etag = "" // others may have appended meanwhile, and refreshed it
	}
	return w.putLatest(ctx)
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
	c.number, c.etag = 0, ""
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
