package attempt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// A Clock cancels the context of one attempt when it makes no progress for the
// timeout. It can be stopped and started again.
type Clock struct {
	timeout time.Duration
	cancel  context.CancelCauseFunc
	expired error

	mu    sync.Mutex // guards timer
	timer *time.Timer
}

type clockKey struct{}

// Start returns the context of an attempt and its clock, running. A timeout of
// zero or less never ends it. End must be called.
func Start(ctx context.Context, timeout time.Duration) (context.Context, *Clock) {
	c := &Clock{timeout: timeout}
	if timeout > 0 {
		c.expired = fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded)
	}
	outer, _ := ctx.Value(clockKey{}).(*chain)
	ctx = context.WithValue(ctx, clockKey{}, &chain{c, outer})
	ctx, c.cancel = context.WithCancelCause(ctx)
	c.Restart()
	return ctx, c
}

// chain is a clock and the clocks of the attempts around it.
type chain struct {
	clock *Clock
	outer *chain
}

// Pause stops the clocks of every attempt that ctx belongs to. The function it
// returns starts them again from the beginning.
func Pause(ctx context.Context) (resume func()) {
	first, _ := ctx.Value(clockKey{}).(*chain)
	for ch := first; ch != nil; ch = ch.outer {
		ch.clock.Stop()
	}
	return func() {
		for ch := first; ch != nil; ch = ch.outer {
			ch.clock.Restart()
		}
	}
}

// Restart gives the attempt the whole timeout again.
func (c *Clock) Restart() {
	if c.timeout <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(c.timeout, func() { c.cancel(c.expired) })
	} else {
		c.timer.Reset(c.timeout)
	}
}

// Stop lets the attempt take as long as it likes, until Restart.
func (c *Clock) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
}

// End stops the clock for good and releases the context.
func (c *Clock) End() {
	c.Stop()
	c.cancel(context.Canceled)
}

// Err turns an error that the clock itself caused into one that says so, and
// is not context.Canceled; others it returns as they are. ctx is the one that
// Start returned.
func (c *Clock) Err(ctx context.Context, err error) error {
	if err != nil && c.expired != nil && errors.Is(context.Cause(ctx), c.expired) {
		return c.expired
	}
	return err
}

// Body wraps the body of an answer: each Read gets the whole timeout, the time
// between two of them does not count, and Close ends the attempt.
func (c *Clock) Body(ctx context.Context, body io.ReadCloser) io.ReadCloser {
	c.Stop()
	return &timedBody{ctx: ctx, clock: c, body: body}
}

type timedBody struct {
	ctx   context.Context // of the attempt, which this body is the rest of
	clock *Clock
	body  io.ReadCloser
}

func (b *timedBody) Read(p []byte) (int, error) {
	b.clock.Restart()
	n, err := b.body.Read(p)
	b.clock.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.clock.Err(b.ctx, err)
	}
	return n, err
}

func (b *timedBody) Close() error {
	defer b.clock.End()
	return b.body.Close()
}
