package copier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/target"
)

// grace is how long Close waits for requests that it cancelled.
const grace = 2 * time.Second

// Close uploads what is pending, within ctx and on the flush budget, and ends the copier. The
// error joins one *Error, which is ErrBehind, for each spool with changes that its target does
// not hold; they stay in the spool, and another process may upload them. Later calls return the
// same, later Adds and Notifys do nothing, and later Flushes fail with ErrClosed. Compactions that are
// overdue may take it three seconds more, within ctx.
func (c *Copier) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		select {
		case <-c.finished:
			return c.closeErr
		case <-ctx.Done():
			return fmt.Errorf("copier: close: %w", context.Cause(ctx))
		}
	}
	c.closed = true
	c.closing.Store(true)
	if c.timer != nil {
		c.timer.Stop()
	}
	entries := slices.Clone(c.order)
	if len(c.active) == 0 {
		close(c.drained)
	}
	c.mu.Unlock()

	ctx, cancel := context.WithCancel(budget.WithFlush(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for a := range c.active {
			a.cancel()
		}
	})
	done := make(chan error, 1)
	go func() {
		err := c.drainAll(ctx, entries)
		<-c.drained
		c.compactAll(ctx, entries)
		done <- err
	}()

	select {
	case c.closeErr = <-done:
	case <-ctx.Done():
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case c.closeErr = <-done:
		case <-late.C:
			c.closeErr = fmt.Errorf("copier: close: requests do not end: %w", context.Cause(ctx))
		}
	}
	for _, e := range entries {
		select {
		case e.turn <- struct{}{}:
			c.save(e, 0)
			<-e.turn
		default: // a request that does not end
		}
	}
	for _, r := range c.remotes { // nobody adds any more
		r.drop(r.current())
	}
	close(c.finished)
	return c.closeErr
}

// drainAll makes a last pass over the spools with something pending. Each remote has workers of
// its own, so that a dead one does not use up the time of others.
func (c *Copier) drainAll(ctx context.Context, entries []*entry) error {
	queues := make(map[*remote]chan *entry)
	var mu sync.Mutex // guards errs
	var errs []error
	var wg sync.WaitGroup
	for _, e := range entries {
		q := queues[e.remote]
		if q == nil {
			q = make(chan *entry, len(entries))
			queues[e.remote] = q
			for range max(c.opts.Workers/2, 1) {
				wg.Go(func() {
					for e := range q {
						if err := c.drainEntry(ctx, e); err != nil {
							mu.Lock()
							errs = append(errs, err)
							mu.Unlock()
						}
					}
				})
			}
		}
		q <- e
	}
	for _, q := range queues {
		close(q)
	}
	wg.Wait()
	return errors.Join(errs...)
}

// compactAll makes the compactions that are overdue, when all is uploaded. They are optional, and have a few seconds together.
func (c *Copier) compactAll(ctx context.Context, entries []*entry) {
	part, cancel := context.WithTimeout(ctx, compactLastTime)
	defer cancel()
	for _, e := range entries {
		if !e.unclosed {
			continue
		}
		if c.take(ctx, e) != nil {
			return
		}
		err := guard(func() error {
			if part.Err() == nil {
				c.compactLast(part, e)
			}
			c.closeLogs(ctx, e)
			return nil
		})
		if err != nil {
			c.opts.Logger.Warn("last compaction of a replica failed", "err", err)
		}
		c.give(e)
	}
}

// drainEntry uploads what is pending in one spool.
func (c *Copier) drainEntry(ctx context.Context, e *entry) error {
	err := c.take(ctx, e)
	if err == nil {
		defer c.give(e)
		err = c.last(ctx, e)
	}
	if err == nil {
		return nil
	}
	c.mu.Lock()
	st := e.status
	c.mu.Unlock()
	return c.failed("close", e.key, st, fmt.Errorf("%w: %w", ErrBehind, err))
}

// last makes passes until nothing is pending. Writers may still be at work, so it makes few.
func (c *Copier) last(ctx context.Context, e *entry) error {
	for try := range 4 {
		pending := false
		out := c.with(e, true, func(p *pass) (err error) {
			pending, err = p.pending()
			return err
		})
		switch {
		case out.err != nil:
			return out.err
		case !pending && out.doubt:
			return ErrDesync
		case !pending && e.overdue():
			e.unclosed = true
			return nil
		case !pending:
			c.closeLogs(ctx, e)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("not tried: %w", context.Cause(ctx))
		}
		if try == 3 {
			break
		}
		if err := c.flushed(e, c.run(ctx, e, true)).err; err != nil {
			return err
		}
	}
	return errors.New("the database is being written")
}

// pending reports whether a pass would find anything to do.
func (p *pass) pending() (bool, error) {
	if busy, err := p.cons.Busy(); err != nil || busy {
		return busy, err
	}
	if p.layout == target.LayoutLog {
		return p.stagedPending() // staged chunks may be of a snapshot to come
	}
	names, err := p.cons.StagedChunks()
	if err != nil || len(names) > 0 {
		return len(names) > 0, err
	}
	return p.stagedPending()
}
