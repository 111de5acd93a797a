package logwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// maxStepBack is up to how far a clock that steps back is not believed.
const maxStepBack = time.Hour

// commit puts the entry, after all that it names, and makes what the Writer remembers that of the new one.
func (a *appending) commit(ctx context.Context) (Result, error) {
	w := a.w
	a.e.Appended = w.o.Now().UTC()
	if a.old.Head != nil {
		// A clock that steps back a little must not make times descend, by which entries are found.
		before := a.old.Entry.Appended
		if behind := before.Sub(a.e.Appended); behind > 0 && behind < maxStepBack {
			a.e.Appended = before
		}
	}
	a.e.Inline = int64(len(a.f.inline))
	header, err := remotelog.EncodeEntry(a.e)
	if err != nil {
		return Result{}, fmt.Errorf("append entry %d: %w", a.e.Number, err)
	}
	body := slices.Concat(header, a.f.inline)
	var info store.Info
	start := w.o.Now()
	if err = w.verify(ctx, a.old); err == nil { // the packs may have taken long
		info, err = w.create(ctx, a.old, a.e, body)
	}
	if err == nil && !w.isSure(start) {
		var gap bool
		if gap, err = w.inGap(ctx, a.e, header); gap && err == nil {
			err = errMoved
		}
	}
	if err != nil {
		w.forget() // whatever happened, the next call has to look
		if errors.Is(err, errMoved) || errors.Is(err, ErrFenced) {
			return Result{}, err
		}
		return Result{}, fmt.Errorf("append entry %d: %w", a.e.Number, err)
	}
	info.Key = remotelog.EntryKey(w.name, a.e.Number)
	w.last = &logrep.Head{Entry: a.e, Info: info, Encoded: header, HeaderLen: len(header)}
	w.head, w.sure, w.mine = &head{Head: w.last}, start, a.e.Number
	w.appended = w.o.Now()
	w.latest.appended(w.last)
	w.lately.add(a.e, a.f.inline)
	w.spent, w.owned = a.spent, true
	for i := range a.known {
		w.pages.set(&a.known[i])
	}
	a.renewBlocks()
	w.refresh(ctx)
	res := Result{Entry: a.e.Number, Objects: a.f.objects + 1, Bytes: a.f.uploaded + int64(len(body))}
	a.f.has.size = int64(len(body))
	w.known[a.f.inlineID()] = a.f.has
	maps.Copy(w.known, a.f.stored)
	if w.grown.add(int64(len(body)), res.Bytes, a.f.raw); a.old.Head == nil {
		w.grown = growth{size: res.Bytes, need: res.Bytes} // it is as good as it can be
	}
	return res, nil
}

// renewBlocks makes the cache of blocks that of the new entry.
func (a *appending) renewBlocks() {
	cache := &a.w.blocks
	for _, t := range a.touched {
		if _, ok := a.fresh.get(t.block); ok {
			continue
		}
		if old, ok := cache.get(t.block); ok && t.changed != nil {
			cache.set(t.block, apply(old, t.changed, a.length(t.block)))
		} else {
			cache.drop(t.block)
		}
	}
	for _, p := range a.patched {
		if place := a.e.Blocks[p.block].Patch; !place.IsZero() {
			a.w.log.AddPatch(place, p.patch)
		}
	}
	for _, c := range a.fresh.list {
		cache.set(c.block, c.chunks)
	}
	for b := len(a.e.Blocks); b < len(a.old.blocks()); b++ {
		cache.drop(b)
	}
}

// create puts an entry if there is none of its number. errMoved: there is one of the same owner.
func (w *Writer) create(ctx context.Context, old *head, e *remotelog.Entry, body []byte) (store.Info, error) {
	if w.plain == yes {
		return w.createPlain(ctx, old, e, body)
	}
	key := remotelog.EntryKey(w.name, e.Number)
	info, err := w.entries.Put(ctx, key, body, store.Condition{IfAbsent: true})
	switch {
	case err == nil:
		return info, nil
	case errors.Is(err, errors.ErrUnsupported):
		w.isPlain()
		return w.createPlain(ctx, old, e, body)
	case ctx.Err() != nil, store.IsPermanent(err) && !errors.Is(err, store.ErrPrecondition):
		return store.Info{}, err
	}
	// Somebody else was faster, or the put was carried out though its reply was lost. What is there tells.
	info, other, rerr := w.readBack(ctx, e.Number, body)
	switch {
	case rerr != nil:
		return store.Info{}, errors.Join(err, fmt.Errorf("read it back: %w", rerr))
	case other == nil && info.Key == "":
		return store.Info{}, err // it was not carried out
	case other == nil:
		return info, nil
	}
	return store.Info{}, w.lostTo(other, e.Takeover)
}

// readBack reads the entry with a number. If it is the one that was to be put, other is nil; if there is none, so is
// info.
func (w *Writer) readBack(ctx context.Context, number uint64, body []byte) (info store.Info, other *logrep.Head, err error) {
	// That of somebody else may be longer, but not so long that it does not begin with a header.
	there, info, err := w.begin(ctx, remotelog.EntryKey(w.name, number), max(len(body), remotelog.MaxHeader))
	switch {
	case store.IsNotExist(err):
		return store.Info{}, nil, nil
	case err != nil:
		return store.Info{}, nil, err
	case info.Size == int64(len(body)) && bytes.Equal(there, body):
		return info, nil, nil
	}
	other, err = w.decode(there, info, number)
	return info, other, err
}

// begin reads the first bytes of an entry.
func (w *Writer) begin(ctx context.Context, key string, most int) (b []byte, info store.Info, err error) {
	obj, err := w.entries.Get(ctx, key, &store.GetOptions{Length: int64(most)})
	if err != nil {
		return nil, store.Info{}, err
	}
	defer func() { err = errors.Join(err, obj.Body.Close()) }()
	if b, err = io.ReadAll(io.LimitReader(obj.Body, int64(most))); err != nil {
		return nil, store.Info{}, fmt.Errorf("read %s: %w", key, err)
	}
	if want := min(obj.Size, int64(most)); int64(len(b)) != want {
		return nil, store.Info{}, fmt.Errorf("read %s: %w: got %d bytes of %d", key, io.ErrUnexpectedEOF, len(b), want)
	}
	obj.Key = key
	return b, obj.Info, nil
}

// decode returns the entry whose object begins with b.
func (w *Writer) decode(b []byte, info store.Info, number uint64) (*logrep.Head, error) {
	return decode(w.entries, w.name, b, info, number)
}

func decode(s store.Store, name string, b []byte, info store.Info, number uint64) (*logrep.Head, error) {
	e, n, _, err := remotelog.DecodeEntry(b)
	if err == nil {
		err = e.Check(name, number)
	}
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", info.Key, s, err)
	}
	return &logrep.Head{Entry: e, Info: info, Encoded: b[:n:n], HeaderLen: n}, nil
}

// lostTo says what it means that the entry that was to be put is one of somebody else.
func (w *Writer) lostTo(other *logrep.Head, take bool) error {
	if other.Entry.Owner.Same(w.o.Owner) || take {
		w.last = other
		return errMoved
	}
	w.fenced = fencedBy(other.Entry)
	return w.fenced
}
