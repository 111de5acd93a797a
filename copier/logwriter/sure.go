package logwriter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
)

// That there is no entry N + 1 does not say that N is the newest, for it may have been pruned: a writer that
// slept for a weekend would put its entry into a gap that nobody looks at. But Prune leaves alone what was the newest
// less than two minutes ago, and before it removes anything, it brings the copy of the newest entry up to date, and lists what is to go.
// So these tell, and who knew the newest entry a minute ago need not ask. The list counts even if the copy, by a put that
// arrived late, has gone back: the newest entry is never in it, nor before anything that is.
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
	left, newer, err := w.leftBehind(ctx, h.number())
	switch {
	case err != nil:
		return fmt.Errorf("look whether entry %d is still the newest: %w", h.number(), err)
	case left:
		w.last = newer
		return errMoved
	}
	w.sure = now
	return nil
}

// leftBehind says whether there are entries behind that of a number, though perhaps not right behind it, and returns one of these if
// the copy tells. It fails with errMoved if that can't be said, for something is damaged: the next call looks at the list of entries.
func (w *Writer) leftBehind(ctx context.Context, number uint64) (bool, *logrep.Head, error) {
	copied, info, err := w.latest.read(ctx)
	switch {
	case err != nil:
		return false, nil, err
	case copied == nil && info.ETag != "":
		return false, nil, errMoved
	case copied != nil && copied.Entry.Number > number:
		return true, copied, nil
	case number == 0:
		return false, nil, nil
	}
	pruned, err := w.log.Pruned(ctx)
	if errors.Is(err, remotelog.ErrCorrupt) || errors.Is(err, remotelog.ErrVersion) {
		err = errMoved
	}
	return pruned.Last() >= number, nil, err
}

// inGap says whether the entry that was just put is not the newest, and removes it then.
func (w *Writer) inGap(ctx context.Context, e *remotelog.Entry) (bool, error) {
	left, newer, err := w.leftBehind(ctx, e.Number)
	if err != nil || !left {
		return false, err
	}
	if err := w.entries.Delete(ctx, remotelog.EntryKey(w.name, e.Number)); err != nil {
		return true, fmt.Errorf("remove entry %d, which others have left behind: %w", e.Number, err)
	}
	w.last = newer
	return true, nil
}
