package retry

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Options configures a [Store]. Zero fields mean the defaults.
type Options struct {
	Tries   int             // attempts in all; zero means 4, negative one
	Waits   []time.Duration // before the second attempt, the third, ..., each times U[1,2); the last repeats; nil means 0.1 s, 1 s, 10 s
	Timeout time.Duration   // of an attempt that makes no progress; zero means 30 s, negative none
	Logger  *slog.Logger    // nil discards
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	switch {
	case out.Tries == 0:
		out.Tries = 4
	case out.Tries < 0:
		out.Tries = 1
	}
	if out.Waits == nil {
		out.Waits = []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second}
	}
	if out.Timeout == 0 {
		out.Timeout = 30 * time.Second
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out
}

// waits is a backoff.BackOff that goes through a list.
type waits struct {
	list []time.Duration
	next int
}

var _ backoff.BackOff = (*waits)(nil)

func (w *waits) Reset() { w.next = 0 }

func (w *waits) NextBackOff() time.Duration {
	if len(w.list) == 0 {
		return 0
	}
	d := w.list[min(w.next, len(w.list)-1)]
	w.next++
	return time.Duration(float64(d) * (1 + rand.Float64()))
}
