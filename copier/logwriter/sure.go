package logwriter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// That there is no entry N + 1 does not say that N is the newest, for it may have been pruned: a writer that
// slept for a weekend would put its entry into a gap that nobody looks at. But Prune leaves alone what was the newest
// less than two minutes ago, and before it removes anything, it brings the copy of the newest entry up to date. So the copy
// tells, and who knew the newest entry a minute ago need not ask.
const sureFor = logrep.Contiguous

// isSure says whether what was true at a time can be relied on now. Clocks that step back make nobody sure. It goes by the wall clock, since
// the monotonic one stands still while a machine sleeps.
func (w *Writer) isSure(at time.Time) bool {
	age := w.o.Now().Round(0).Sub(at.Round(0))
	return age >= 0 && age < sureFor
}

// verify fails with errMoved if h is not the newest entry any more, as far as an append of the next would not find out by itself.
func (w *Writer) verify(ctx context.Context, h *head) error {
	if w.isSure(w.sure) {
		return nil
	}
	now := w.o.Now()
	copied, err := w.copied(ctx)
	if err != nil {
		return fmt.Errorf("look whether entry %d is still the newest: %w", h.number(), err)
	}
	if copied != nil && copied.Entry.Number > h.number() {
		w.last = copied
		return errMoved
	}
	w.sure = now
	return nil
}

// copied returns the copy of the newest entry, or of one that was; nil if there is none. A damaged one is taken for none by
// readers, which then look at the list; so does the next call.
func (w *Writer) copied(ctx context.Context) (*logrep.Head, error) {
	b, info, err := store.ReadAll(ctx, w.entries, remotelog.LatestKey(w.name), remotelog.MaxHeader)
	if store.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h, err := w.decode(b, info, 0)
	if errors.Is(err, remotelog.ErrCorrupt) {
		return nil, errMoved
	}
	return h, err
}

// inGap says whether the entry that was just put is not the newest, and removes it then.
func (w *Writer) inGap(ctx context.Context, e *remotelog.Entry) (bool, error) {
	copied, err := w.copied(ctx)
	if err != nil || copied == nil || copied.Entry.Number <= e.Number {
		return false, err
	}
	if err := w.entries.Delete(ctx, remotelog.EntryKey(w.name, e.Number)); err != nil {
		return true, fmt.Errorf("remove entry %d, which others have left behind: %w", e.Number, err)
	}
	w.last = copied
	return true, nil
}
