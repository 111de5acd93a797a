package logwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// Some stores ignore conditions, or refuse them. Then two writers at the same time are noticed only afterwards: by
// looking, before each append, whether the last entry is still what it was, and afterwards, whether the new one is. What was
// overwritten is lost, but only that entry.

// isPlain notes that the store does not do what conditions say.
func (w *Writer) isPlain() {
	if w.plain != yes {
		w.o.Logger.Warn("the store has no conditional puts: two writers of one name are only noticed afterwards",
			"store", w.entries.String(), "name", w.name)
	}
	w.plain = yes
}

// probe finds out whether the store heeds conditions, once, and when there is an entry (errMoved: and that the log was lost): by a put of the copy of the newest
// entry that must fail. A store that ignores the condition has a newer copy then, which is harmless. A tail behind the
// header, which readers ignore, makes each put another one: whoever looks what became of a put whose reply was lost must
// not take what was there before for it.
func (w *Writer) probe(ctx context.Context, h *head) error {
	if w.plain != unknown || h.Head == nil {
		return nil
	}
	// The first one may succeed, if there is no copy.
	there := w.latest.number > 0
	for try := range 2 {
		body := remotelog.AppendTail(slices.Clone(h.Encoded), rand.Uint32())
		info, err := w.entries.Put(ctx, remotelog.LatestKey(w.name), body, store.Condition{IfAbsent: true})
		switch {
		case errors.Is(err, store.ErrPrecondition):
			if w.plain = no; try > 0 && there {
				w.reopen() // it is gone, and so may be all the rest
				return errMoved
			}
			return nil
		case errors.Is(err, errors.ErrUnsupported):
			w.isPlain()
			return nil
		case err != nil:
			return fmt.Errorf("probe the store for conditional puts: %w", err)
		}
		w.latest.number, w.latest.sum, w.latest.etag = h.number(), h.sum(), info.ETag
	}
	w.isPlain()
	return nil
}

// createPlain is create for a store that ignores conditions.
func (w *Writer) createPlain(ctx context.Context, old *head, e *remotelog.Entry, body []byte) (store.Info, error) {
	if err := w.stillNewest(ctx, old, e.Takeover); err != nil {
		return store.Info{}, err
	}
	key := remotelog.EntryKey(w.name, e.Number)
	_, err := w.entries.Put(ctx, key, body, store.Condition{})
	if err != nil && (ctx.Err() != nil || store.IsPermanent(err)) {
		return store.Info{}, err
	}
	info, other, rerr := w.readBack(ctx, e.Number, body)
	switch {
	case rerr != nil:
		return store.Info{}, errors.Join(err, fmt.Errorf("read it back: %w", rerr))
	case other != nil:
		w.o.Logger.Error("two writers append to the same replica", "name", w.name, "entry", e.Number, "other", other.Entry.Writer)
		return store.Info{}, w.lostTo(other, e.Takeover)
	case info.Key == "":
		if err == nil {
			err = fmt.Errorf("%s is gone again: %w", key, store.ErrNotExist)
		}
		return store.Info{}, err
	}
	return info, nil
}

// stillNewest fails unless the newest entry is the one that was thought to be.
func (w *Writer) stillNewest(ctx context.Context, old *head, take bool) error {
	if old.Head != nil {
		info, other, err := w.check(ctx, old)
		if err != nil {
			return err
		}
		if other != nil {
			w.o.Logger.Error("another writer overwrote an entry", "name", w.name, "entry", old.number(), "other", other.Entry.Writer)
			return w.lostTo(other, take)
		}
		known := *old.Head
		known.Info, known.Info.Key = info, remotelog.EntryKey(w.name, old.number())
		old.Head = &known
	}
	_, other, err := w.readBack(ctx, old.number()+1, nil)
	switch {
	case err != nil:
		return fmt.Errorf("look for a newer entry: %w", err)
	case other != nil:
		return w.lostTo(other, take)
	}
	return nil
}

// check returns the entry that is in the place of a known one, if it is another.
func (w *Writer) check(ctx context.Context, old *head) (store.Info, *logrep.Head, error) {
	key := remotelog.EntryKey(w.name, old.number())
	if etag := old.etag(w.name); etag != "" {
		info, err := w.entries.Head(ctx, key)
		if err == nil && info.ETag == etag {
			return info, nil, nil
		}
		if err != nil && !store.IsNotExist(err) {
			return store.Info{}, nil, fmt.Errorf("look at the newest entry: %w", err)
		}
	}
	there, info, err := w.begin(ctx, key, remotelog.MaxHeader)
	if err != nil {
		return store.Info{}, nil, fmt.Errorf("look at the newest entry: %w", err)
	}
	if bytes.HasPrefix(there, old.Encoded) {
		return info, nil, nil
	}
	other, err := w.decode(there, info, old.number())
	return info, other, err
}
