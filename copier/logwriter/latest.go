package logwriter

import (
	"context"
	"fmt"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// refresh refreshes the copy of the newest entry if it is time to: readers find the newest one from it, in steps that
// grow, so it need not be that of the newest. It is no failure if it fails: then it is tried after the next
// entry.
func (w *Writer) refresh(ctx context.Context) {
	n, every := w.head.number(), uint64(w.o.LatestEvery)
	if n > 1 && n%every != 0 && !w.failed && (w.latest == 0 || n-w.latest < every) {
		return
	}
	err := w.putLatest(ctx, w.head)
	if w.failed = err != nil; w.failed {
		w.o.Logger.Warn("cannot refresh the copy of the newest entry", "name", w.name, "error", err)
	}
}

func (w *Writer) putLatest(ctx context.Context, h *head) error {
	if _, err := w.entries.Put(ctx, remotelog.LatestKey(w.name), h.Encoded, store.Condition{}); err != nil {
		return fmt.Errorf("refresh the copy of the newest entry: %w", err)
	}
	w.latest = h.number()
	return nil
}
