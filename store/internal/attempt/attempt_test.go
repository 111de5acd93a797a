package attempt_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/store/internal/attempt"
)

func TestExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, clock := attempt.Start(t.Context(), 30*time.Second)
		defer clock.End()
		<-ctx.Done()
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("expired after %v, want 30s", d)
		}
		err := clock.Err(ctx, ctx.Err())
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "no answer within 30s") {
			t.Errorf("got error %v, want one that says what happened", err)
		}
	})
}

func TestErrOfOthers(t *testing.T) {
	ctx, clock := attempt.Start(t.Context(), time.Hour)
	defer clock.End()
	for _, err := range []error{nil, io.EOF} {
		if got := clock.Err(ctx, err); !errors.Is(got, err) {
			t.Errorf("Err(%v) = %v", err, got)
		}
	}
	parent, cancel := context.WithCancel(t.Context())
	ctx, clock = attempt.Start(parent, time.Hour)
	defer clock.End()
	cancel()
	<-ctx.Done()
	if err := clock.Err(ctx, ctx.Err()); !errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("of the caller's cancellation: got error %v, want %v", err, context.Canceled)
	}
}

func TestPauseStopsAllClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, outerClock := attempt.Start(t.Context(), 20*time.Second)
		defer outerClock.End()
		inner, innerClock := attempt.Start(outer, 10*time.Second)
		defer innerClock.End()
		resume := attempt.Pause(inner)
		<-time.After(time.Hour)
		if err := inner.Err(); err != nil {
			t.Fatalf("expired while paused: %v", err)
		}
		resume()
		start := time.Now()
		<-inner.Done()
		if d := time.Since(start); d != 10*time.Second || outer.Err() != nil {
			t.Errorf("the inner one expired %v after the pause, want 10s (outer: %v)", d, outer.Err())
		}
		<-outer.Done()
		if d := time.Since(start); d != 20*time.Second {
			t.Errorf("the outer one expired %v after the pause, want 20s", d)
		}
	})
}

func TestPauseOutsideAnAttempt(t *testing.T) {
	attempt.Pause(t.Context())() // nothing to stop
}

func TestNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, clock := attempt.Start(t.Context(), -1)
		<-time.After(1000 * time.Hour)
		if ctx.Err() != nil {
			t.Error("expired without a timeout")
		}
		clock.End()
		if ctx.Err() == nil {
			t.Error("the context outlives the attempt")
		}
	})
}

// drip is a body that gives a byte at a time, after a while.
type drip struct {
	ctx  context.Context
	wait []time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.wait) == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(d.wait[0]):
		d.wait = d.wait[1:]
		return copy(p, "x"), nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (d *drip) Close() error { return nil }

func TestBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, clock := attempt.Start(t.Context(), 10*time.Second)
		body := clock.Body(ctx, &drip{ctx, []time.Duration{9 * time.Second, 9 * time.Second, 11 * time.Second}})
		buf := make([]byte, 10)
		for range 2 {
			<-time.After(time.Minute) // the reader may be slow, the store may not
			if n, err := body.Read(buf); n != 1 || err != nil {
				t.Fatalf("got %d, %v, want a byte", n, err)
			}
		}
		if _, err := body.Read(buf); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	})
}
