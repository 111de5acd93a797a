package logwriter

import (
	"context"
	"fmt"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// A head is what is known of the newest entry.
type head struct {
	*logrep.Head // nil if there is no entry
}

// entry returns the entry, or nil.
func (h *head) entry() *remotelog.Entry {
	if h.Head == nil {
		return nil
	}
	return h.Entry
}

// found returns what was found, or nil.
func (h *head) found() *logrep.Head {
	if h == nil {
		return nil
	}
	return h.Head
}

// number returns that of the entry, or 0.
func (h *head) number() uint64 {
	if h.Head == nil {
		return 0
	}
	return h.Entry.Number
}

// blocks returns those of the entry.
func (h *head) blocks() []remotelog.Block {
	if h.Head == nil {
		return nil
	}
	return h.Entry.Blocks
}

// sealed returns from which entry on all packs have a seal, as the entry behind it is to say.
func (h *head) sealed() uint64 {
	switch {
	case h.Head == nil:
		return 1
	case h.Entry.Sealed == 0:
		// The program that appended it may have tried to append the next one, too, and have left packs without.
		return h.number() + 2
	}
	return h.Entry.Sealed
}

// sum returns the fingerprint of its header.
func (h *head) sum() manifest.Fingerprint {
	if h.Head == nil {
		return manifest.Fingerprint{}
	}
	return h.Sum()
}

// etag returns that of the entry itself, not of a copy, or nothing if it is not known.
func (h *head) etag(name string) string {
	if h.Info.Key != remotelog.EntryKey(name, h.number()) {
		return ""
	}
	return h.Info.ETag
}

// current returns the newest entry.
func (w *Writer) current(ctx context.Context) (*head, error) {
	if w.head != nil {
		return w.head, nil
	}
	now := w.o.Now()
	if !w.distrust {
		found, err := w.log.Head(ctx, w.last)
		switch {
		case isDamage(err) && !store.IsNotExist(err):
			w.o.Logger.Error("the newest entries of the replica are damaged: it goes on behind them", "name", w.name, "error", err)
		case err == nil && found.Entry.Owner.Spool == w.o.Owner.Spool && found.Entry.Sequence < w.o.Known:
			w.o.Logger.Error("entries of the replica were lost: it goes on behind those that are left", "name", w.name, "entry", found.Entry.Number+1)
		default:
			return w.setHead(ctx, found, err, now)
		}
		w.distrust, w.mine = true, 0
	}
	found, err := w.log.SoundHead(ctx)
	return w.setHead(ctx, found, err, now)
}

// setHead notes that found is the newest entry, unless there is an error other than that there is none.
func (w *Writer) setHead(ctx context.Context, found *logrep.Head, err error, now time.Time) (*head, error) {
	switch {
	case store.IsNotExist(err):
		found = nil
	case err != nil:
		return nil, err
	}
	if w.latest.number == 0 {
		w.latest.number, w.latest.sum = w.log.Copied()
	}
	if found != nil && found.Entry.Number > 1 && w.latest.number == 0 && !w.noCopy {
		w.noCopy, w.distrust = true, true // whoever has removed the copy may have removed more
	}
	if err := w.there(ctx, found); err != nil {
		return nil, err
	}
	w.head, w.last, w.sure = &head{Head: found}, found, now
	return w.head, nil
}

// forget makes the next call read the newest entry again. What is remembered of pages stays: it is
// only used where it fits.
func (w *Writer) forget() {
	w.head, w.spent, w.bundled, w.lately = nil, nil, bundled{}, lately{}
	w.dropPlan()
	w.blocks.clear()
}

// reopen makes the next call find out what there is, as a new Writer would, and which objects, since some seem to have been lost.
func (w *Writer) reopen() {
	w.forget()
	w.log = logrep.New(w.packs, w.entries, w.name)
	w.last, w.mine = nil, 0
	w.latest = latestCopy{s: w.entries, name: w.name}
	w.noCopy, w.distrust = true, true
	clear(w.known)
}

// Refresh reads the newest entry, whoever appended it, and remembers it. If there is none, it fails with an error for which
// store.IsNotExist is true.
func (w *Writer) Refresh(ctx context.Context) (*logrep.Head, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget()
	h, err := w.current(ctx)
	if err == nil && h.Head == nil {
		err = fmt.Errorf("%w: %w", logrep.ErrNotFound, store.ErrNotExist)
	}
	return h.found(), err
}
