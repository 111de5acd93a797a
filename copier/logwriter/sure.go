package logwriter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// That there is no entry N + 1 does not say that N is the newest, for it may have been pruned: a writer that
// slept for a weekend would put its entry into a gap that nobody looks at. But Prune removes no entry that was the newest
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
	now, known := w.o.Now(), w.latest
	left, newer, err := w.leftBehind(ctx, h.number(), h.sum())
	switch {
	case err != nil:
		return fmt.Errorf("look whether entry %d is still the newest: %w", h.number(), err)
	case left:
		w.last = newer
		return errMoved
	case w.latest.number > 0 && !w.latest.isOther(&known):
		w.noCopy = false
	case h.number() > 0 && !w.noCopy:
		// The copy is gone, damaged, or older than it was: so may be all the rest, and who went on would append what nobody finds.
		w.reopen()
		return errMoved
	}
	w.sure = now
	return nil
}

// leftBehind says whether there are entries behind that of a number and a header, though perhaps not right behind it, and returns one of these if
// the copy tells. It fails with errMoved if that can't be said, for something is damaged, or if the log is another one: the next call finds out what there is.
func (w *Writer) leftBehind(ctx context.Context, number uint64, sum manifest.Fingerprint) (bool, *logrep.Head, error) {
	copied, _, err := w.latest.read(ctx)
	switch {
	case err != nil:
		return false, nil, err
	case copied != nil && copied.Entry.Number > number:
		return true, copied, nil
	case copied != nil && (w.latest.contradicts(copied) || copied.Entry.Number == number && copied.Sum() != sum):
		w.reopen()
		return false, nil, errMoved
	case number == 0:
		return false, nil, nil
	}
	pruned, err := w.log.Pruned(ctx)
	if errors.Is(err, remotelog.ErrCorrupt) || errors.Is(err, remotelog.ErrVersion) {
		err = errMoved
	}
	return pruned.Last() >= number, nil, err
}

// inGap says whether the entry that was just put, and has that header, lies behind others where nobody looks. It does not if the next one follows it: that one may
// need it. The entry stays where it is in any case: if it lies in a gap, it is in the list of pruned ones, unless that was lost, and goes with the garbage.
func (w *Writer) inGap(ctx context.Context, e *remotelog.Entry, header []byte) (bool, error) {
	left, newer, err := w.leftBehind(ctx, e.Number, manifest.Sum(header))
	if err != nil || !left {
		return false, err
	}
	next, err := w.log.Entry(ctx, e.Number+1)
	switch {
	case err == nil && next.Entry.Previous == manifest.Sum(header):
		return false, nil
	case err != nil && !store.IsNotExist(err) && !errors.Is(err, remotelog.ErrCorrupt) && !errors.Is(err, remotelog.ErrVersion):
		return false, fmt.Errorf("look whether entry %d follows: %w", e.Number+1, err)
	}
	w.last = newer
	return true, nil
}
