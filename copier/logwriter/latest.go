package logwriter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"golang.org/x/time/rate"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// latestTries bounds how often a latestCopy looks again what others have put.
const latestTries = 4

// When the copy of the newest entry is due: at once, but not so often that stores refuse it for long, as some do with more than one put of a key in a second
// (https://developers.cloudflare.com/r2/platform/limits).
const (
	latestSpacing = time.Second
	latestBurst   = 8               // that need not keep it
	latestRetry   = time.Minute     // after a failure; twice that after the next, and so on
	maxLatestWait = 6               // times that it is doubled
	latestTime    = 5 * time.Second // for one: snapshots wait for it, and a flush whose entry is there
)

// A latestCopy is what is known of the copy of the newest entry.
type latestCopy struct {
	s    store.Store
	name string

	number uint64               // of the entry; 0 if unknown
	sum    manifest.Fingerprint // of its header
	etag   string               // empty if unknown

	own map[uint64]manifest.Fingerprint // the headers of entries that were appended since, and of that, by who has it
}

// appended notes that h was.
func (c *latestCopy) appended(h *logrep.Head) {
	if c.own == nil {
		c.own = map[uint64]manifest.Fingerprint{}
	}
	c.own[h.Entry.Number] = h.Sum()
}

// contradicts says whether the copy that was read is of an entry in the place of one that was appended.
func (c *latestCopy) contradicts(copied *logrep.Head) bool {
	sum, ok := c.own[copied.Entry.Number]
	return ok && sum != copied.Sum()
}

// isOther says whether the copy is of an older entry than h, or of one with the same number and another header.
func (c *latestCopy) isOther(h *latestCopy) bool {
	return c.number < h.number || c.number == h.number && c.sum != h.sum
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

// refresh refreshes the copy of the newest entry if so many were appended since, whoever calls or does not call RefreshLatest: readers find the newest one
// from it, in steps that grow. It is no failure if it fails: then it is tried after the next entry.
func (w *Writer) refresh(ctx context.Context) {
	n, every := w.head.number(), uint64(w.o.LatestEvery)
	known := w.latest.number
	if n > 1 && known > 0 && n < known+every && w.pace.failures == 0 {
		return
	}
	if err := w.putLatest(ctx); err != nil {
		w.o.Logger.Warn("cannot refresh the copy of the newest entry", "name", w.name, "error", err)
	}
}

// putLatest makes the copy that of the entry that this Writer appended last.
func (w *Writer) putLatest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, latestTime)
	defer cancel()
	w.pace.tried = w.o.Now()
	w.pace.limit.AllowN(w.pace.tried, 1)
	err := w.latest.put(ctx, w.last, w.plain == yes)
	switch {
	case err == nil:
		w.pace.failures, w.noCopy = 0, false
	case errors.Is(err, ErrLost):
		w.reopen()
	default:
		w.pace.failures++
	}
	return err
}

// isStale says whether the copy is older than what this Writer appended last, and it is for this Writer to refresh it.
func (w *Writer) isStale() bool {
	return w.fenced == nil && w.mine > 0 && w.last != nil && w.last.Entry.Number == w.mine && w.latest.number < w.mine
}

// LatestDue returns when the copy of the newest entry is to be refreshed by [Writer.RefreshLatest]. Until then nobody notices in the store alone if what was
// appended since the last time gets lost. It is the zero time if there is nothing to refresh.
func (w *Writer) LatestDue() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.distrust {
		return w.appended
	}
	if !w.isStale() {
		return time.Time{}
	}
	if again := w.pace.again(); again.After(w.appended) {
		return again
	}
	return w.appended
}

// RefreshLatest makes the copy of the newest entry that of the one that this Writer appended last, unless it is at least as new. It fails with ErrLost if
// the log turns out to have been lost meanwhile: then the next append finds out what there is.
func (w *Writer) RefreshLatest(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.distrust {
		return ErrLost
	}
	if !w.isStale() {
		return nil
	}
	if w.plain == yes {
		w.latest.etag = "" // others may have appended meanwhile, and refreshed it
	}
	return w.putLatest(ctx)
}

// put makes the copy that of h, unless it is of a later entry. Entries are gone from where it would go back to, so it is put only
// if it is what it was when it was read, where the store can tell: also a put that arrives late must not succeed. plain stores can't. ErrLost: it
// was not what it was, nor is it newer, as it only is if somebody has removed it.
func (c *latestCopy) put(ctx context.Context, h *logrep.Head, plain bool) error {
	if c.etag != "" && c.number >= h.Entry.Number {
		return nil
	}
	refused, known := "", *c // ETag; what was refused
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
			case refused != "" && refused == known.etag && info.ETag != refused && (copied != nil || info.ETag == "") && c.isOther(&known):
				return fmt.Errorf("%w: the copy of its newest entry is gone, or an older one", ErrLost)
			case copied != nil && c.contradicts(copied):
				return fmt.Errorf("%w: the copy of its newest entry is that of another one", ErrLost)
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
			c.number, c.sum = h.Entry.Number, h.Sum()
			maps.DeleteFunc(c.own, func(n uint64, _ manifest.Fingerprint) bool { return n < c.number })
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

// read reads the copy; nil if there is none, or a damaged one. Then it is not known.
func (c *latestCopy) read(ctx context.Context) (*logrep.Head, store.Info, error) {
	c.number, c.etag = 0, ""
	key := remotelog.LatestKey(c.name)
	b, info, err := store.ReadAll(ctx, c.s, key, remotelog.MaxHeader)
	switch {
	case store.IsNotExist(err):
		return nil, store.Info{}, nil
	case errors.Is(err, store.ErrTooLarge):
		info, err = c.s.Head(ctx, key)
		return nil, info, err
	case err != nil:
		return nil, info, err
	}
	h, err := decode(c.s, c.name, b, info, 0)
	if errors.Is(err, remotelog.ErrCorrupt) || errors.Is(err, remotelog.ErrShort) {
		return nil, info, nil
	}
	if err == nil {
		c.number, c.sum, c.etag = h.Entry.Number, h.Sum(), info.ETag
	}
	return h, info, err
}
