package logrep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// Contiguous is how long all entries stay in the store at least, be they recovery points or not. Whoever saw the newest entry within that time
// finds newer ones by counting on.
const Contiguous = time.Minute

// headerGuess is how many bytes of an entry are fetched at once. Most headers are shorter, and the frames behind
// them are then at hand too.
const headerGuess = 64 << 10

// A Head is an entry as it was found.
type Head struct {
	Entry *remotelog.Entry
	// Info is of the object that was read: the entry, or the copy of its header under
	// remotelog.LatestKey, which is a little younger and has another ETag and Size. Key tells.
	Info      store.Info
	Encoded   []byte // the header
	HeaderLen int    // its length
}

// Sum returns the fingerprint of the header, which the next entry has as Previous.
func (h *Head) Sum() manifest.Fingerprint { return manifest.Sum(h.Encoded) }

// Entry returns the entry with that number. If there is none, it fails with [ErrNotFound].
func (l *Log) Entry(ctx context.Context, number uint64) (*Head, error) {
	h, err := l.entry(ctx, number)
	if errors.Is(err, store.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return h, err
}

// RecoveryPoint is [Log.Entry] of those that were not pruned: of some of these the objects are there still, for frames that others need.
func (l *Log) RecoveryPoint(ctx context.Context, number uint64) (*Head, error) {
	h, err := l.Entry(ctx, number)
	if err != nil {
		return nil, err
	}
	pruned, err := orNone(l.Pruned(ctx))
	if err != nil {
		return nil, err
	}
	if pruned.Has(number) {
		return nil, fmt.Errorf("%w: entry %d of %s was pruned", ErrNotFound, number, l.name)
	}
	return h, nil
}

func (l *Log) entry(ctx context.Context, number uint64) (*Head, error) {
	key := remotelog.EntryKey(l.name, number)
	b, info, err := getPart(ctx, l.entries, key, 0, headerGuess)
	if err != nil {
		return nil, err
	}
	e, length, need, err := remotelog.DecodeEntry(b)
	if errors.Is(err, remotelog.ErrShort) && int64(need) <= info.Size && need > len(b) {
		var more []byte
		if more, _, err = getPart(ctx, l.entries, key, int64(len(b)), int64(need-len(b))); err != nil {
			return nil, err
		}
		b = append(b, more...)
		e, length, _, err = remotelog.DecodeEntry(b)
	}
	h, err := l.head(e, b, length, info, number, err)
	if err != nil {
		return nil, err
	}
	if len(b) > length {
		l.tails.Add(number, b[length:])
	}
	return h, nil
}

// head is for the results of DecodeEntry.
func (l *Log) head(e *remotelog.Entry, b []byte, length int, info store.Info, number uint64, err error) (*Head, error) {
	if errors.Is(err, remotelog.ErrShort) {
		err = corrupt("it ends within the header: %w", err)
	}
	if err == nil {
		err = e.Check(l.name, number)
	}
	if err != nil {
		return nil, &Fault{Object: info.Key, Err: fmt.Errorf("%s in %s: %w", info.Key, l.entries, err)}
	}
	l.learn(e.Number, int64(length))
	return &Head{Entry: e, Info: info, Encoded: b[:length:length], HeaderLen: length}, nil
}

// latest returns the entry whose header was copied, or nil if there is no copy, or a damaged one.
func (l *Log) latest(ctx context.Context) (*Head, error) {
	key := remotelog.LatestKey(l.name)
	b, info, err := store.ReadAll(ctx, l.entries, key, remotelog.MaxHeader)
	missing := errors.Is(err, store.ErrNotExist) || errors.Is(err, store.ErrTooLarge)
	if err != nil && !missing {
		return nil, err
	}
	var h *Head
	if !missing {
		e, length, _, derr := remotelog.DecodeEntry(b)
		if h, err = l.head(e, b, length, info, 0, derr); err != nil && !errors.Is(err, remotelog.ErrCorrupt) {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copied = h
	if l.copyFault = nil; err != nil {
		l.copyFault = &Fault{Object: key, Err: fmt.Errorf("the copy of the header of the newest entry, %s, can't be had: %w", key, err)}
	}
	return h, nil
}

// Copied returns the number of the entry that the copy of a header was of when Head read it last, and the fingerprint of that header; 0 if there was none, or it was
// not read.
func (l *Log) Copied() (uint64, manifest.Fingerprint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.copied == nil {
		return 0, manifest.Fingerprint{}
	}
	return l.copied.Entry.Number, l.copied.Sum()
}

// SoundHead is Head for writers when entries are damaged or gone. It returns the newest one that is sound, with the number of the newest that there is: so the next
// one is put behind all of them. It fails with [ErrNotFound] if there is none, and with remotelog.ErrCorrupt, too, if there are others.
func (l *Log) SoundHead(ctx context.Context) (*Head, error) {
	copied, err := l.latest(ctx)
	if err != nil {
		return nil, err
	}
	last, err := l.lastListed(ctx)
	switch {
	case copied != nil && (errors.Is(err, ErrNotFound) || err == nil && copied.Entry.Number > last):
		return copied, nil // there is the copy only
	case err != nil:
		return nil, err
	}
	pruned, err := orNone(l.Pruned(ctx))
	if err != nil {
		return nil, err
	}
	for number := last; number > 0; number-- {
		if pruned.Has(number) {
			continue // nobody must need anything that only it has
		}
		h, err := l.entry(ctx, number)
		switch {
		case err == nil && number == last:
			return h, nil
		case err == nil:
			e := *h.Entry
			e.Number = last
			return &Head{Entry: &e, Info: store.Info{Key: remotelog.EntryKey(l.name, last)}, Encoded: h.Encoded, HeaderLen: h.HeaderLen}, nil
		case !isFault(err):
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: no entry of %s up to %d is sound: %w", ErrNotFound, l.name, last, remotelog.ErrCorrupt)
}

// Doubts returns what is wrong with the objects that tell of h, which Head returned just now, though what is known of it is right: its copy can be gone, or
// the entry, of which the copy tells, unless it has frames. Nobody notices in a restore. The error is about something else.
func (l *Log) Doubts(ctx context.Context, h *Head) (doubts []error, err error) {
	l.mu.Lock()
	if l.copyFault != nil {
		doubts = append(doubts, l.copyFault)
	}
	l.mu.Unlock()
	if h.Info.Key != remotelog.LatestKey(l.name) {
		return doubts, nil
	}
	there, err := l.Entry(ctx, h.Entry.Number)
	switch {
	case err != nil && !isFault(err):
		return doubts, err
	case err == nil && there.Sum() != h.Sum():
		err = corrupt("entry %d of %s is another one than its copy, %s, says", h.Entry.Number, l.name, h.Info.Key)
	}
	if err != nil {
		doubts = append(doubts, err)
	}
	return doubts, nil
}

// Head returns the newest entry. last, which may be nil, is what Head returned before: if there is nothing newer, so
// does it now, after one request if the last call was less than [Contiguous] ago. If there is no log,
// it fails with [ErrNotFound].
func (l *Log) Head(ctx context.Context, last *Head) (*Head, error) {
	start := time.Now()
	h, err := l.newestEntry(ctx, last)
	if err != nil {
		return nil, fmt.Errorf("find the newest entry of %s: %w", l.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if newer(h, l.newest) == h {
		l.newest, l.asked = h, start
	}
	return h, nil
}

// seen returns what Head returned less than Contiguous ago, or nil.
func (l *Log) seen() *Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.asked) >= Contiguous {
		return nil
	}
	return l.newest
}

// newer returns the newer one of two entries, a if it is the same. Either may be nil.
func newer(a, b *Head) *Head {
	if a == nil || b != nil && b.Entry.Number > a.Entry.Number {
		return b
	}
	return a
}

func (l *Log) newestEntry(ctx context.Context, last *Head) (*Head, error) {
	if last != nil {
		if seen := l.seen(); seen != nil {
			return l.gallop(ctx, newer(last, seen))
		}
	}
	from, err := l.latest(ctx)
	if err != nil {
		return nil, err
	}
	if from == nil {
		return l.listedEntry(ctx, last)
	}
	newest, err := l.gallop(ctx, newer(last, from))
	if err != nil {
		return nil, err
	}
	pruned, err := l.Pruned(ctx)
	switch {
	case err == nil && pruned.Last() >= newest.Entry.Number:
		// The newest one is behind all that are pruned: the copy has gone back, by a put that came late.
		return l.listedEntry(ctx, last)
	case isFault(err):
		return l.listedEntry(ctx, newer(last, newest)) // which can be gone
	case err != nil:
		return nil, err
	}
	for last == nil && err == nil {
		// Should the next one be lost, those behind it are not.
		beyond, berr := l.entry(ctx, newest.Entry.Number+2)
		switch {
		case errors.Is(berr, store.ErrNotExist):
			return newest, nil
		case berr != nil:
			return nil, berr
		}
		newest, err = l.gallop(ctx, beyond)
	}
	return newest, err
}

// listedEntry returns the newest entry, which it looks for in the list.
func (l *Log) listedEntry(ctx context.Context, last *Head) (*Head, error) {
	number, err := l.lastListed(ctx)
	switch {
	case err != nil:
		return nil, err
	case last != nil && number <= last.Entry.Number:
		return last, nil
	}
	h, err := l.Entry(ctx, number)
	if err != nil {
		return nil, err
	}
	return l.gallop(ctx, h)
}

// gallop returns the newest entry, given one so new that there are no gaps from there on.
func (l *Log) gallop(ctx context.Context, from *Head) (*Head, error) {
	newest := from
	missing := uint64(0) // an entry that there is not
	for step := uint64(1); missing == 0 || missing-newest.Entry.Number > 1; step *= 2 {
		number := from.Entry.Number + step
		if missing > 0 {
			number = newest.Entry.Number + (missing-newest.Entry.Number)/2
		}
		h, err := l.entry(ctx, number)
		switch {
		case err == nil:
			newest = h
		case errors.Is(err, store.ErrNotExist):
			missing = number
		default:
			return nil, err
		}
	}
	return newest, nil
}
