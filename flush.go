package boule

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
)

// maxDesyncs bounds the full snapshots that one flush takes because a store was
// found to lack data.
const maxDesyncs = 3

// An uploader uploads what is staged in a spool.
type uploader func(ctx context.Context, c *copier.Copier, root *spool.Root, key spool.Key) error

func flushing(ctx context.Context, c *copier.Copier, root *spool.Root, key spool.Key) error {
	return c.Flush(ctx, root, key)
}

// takingOver is flushing where there is nothing to take over: a database may have targets of both layouts.
func takingOver(ctx context.Context, c *copier.Copier, root *spool.Root, key spool.Key) error {
	err := c.Takeover(ctx, root, key)
	if errors.Is(err, copier.ErrNoLog) {
		return c.Flush(ctx, root, key)
	}
	return err
}

// repairing is a flush that examines each target, and again after it has uploaded what was damaged: another process, which knows nothing of that, may have been faster.
func repairing(found func(error)) uploader {
	var mu sync.Mutex
	damaged := map[spool.Key]bool{}
	return func(ctx context.Context, c *copier.Copier, root *spool.Root, key spool.Key) error {
		mu.Lock()
		again := damaged[key]
		mu.Unlock()
		if again {
			if err := c.Flush(ctx, root, key); err != nil {
				return err
			}
		}
		return c.Repair(ctx, root, key, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if damaged[key] = true; !again {
				found(err)
			}
		})
	}
}

// flush uploads the database's present state to every target.
func (e *engine) flush(ctx context.Context, path string, how uploader) error {
	if err := e.whyNot(); err != nil {
		return err
	}
	c := e.currentCopier()
	if c == nil {
		return ErrClosed
	}
	var err error
	for range maxDesyncs {
		if serr := e.snapshot(ctx, path); serr != nil {
			if err != nil {
				return fmt.Errorf("%w; it was asked for since: %w", serr, err)
			}
			return serr
		}
		err = e.upload(ctx, c, path, how)
		if !again(err) {
			break
		}
	}
	return err
}

// snapshot has the database's present state staged.
func (e *engine) snapshot(ctx context.Context, path string) error {
	if err := e.evaluate(ctx, path, busyTimeout(ctx)); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%w: snapshot %s: %w", ErrBehind, path, err)
	}
	return e.staged(path)
}

// busyTimeout is how long a flush waits for a lock.
func busyTimeout(ctx context.Context) time.Duration {
	const most = 30 * time.Second
	if end, ok := ctx.Deadline(); ok {
		return max(min(time.Until(end), most), time.Millisecond)
	}
	return most
}

// again reports whether a new snapshot, which the copier has asked for, will help.
func again(err error) bool {
	return errors.Is(err, copier.ErrDesync) || errors.Is(err, copier.ErrSuperseded) || errors.Is(err, copier.ErrNothingStaged)
}

// staged says why not every target has a snapshot of what evaluate saw.
func (e *engine) staged(path string) error {
	h, ok := e.manager.Health(path)
	if !ok {
		return fmt.Errorf("%w: %s is not tracked", ErrBehind, path)
	}
	switch h.State {
	case tracker.StateOK:
		return nil
	case tracker.StateWAL:
		return fmt.Errorf("%s: %w", path, ErrWAL)
	}
	cause := h.LastError
	if cause == nil {
		cause = fmt.Errorf("state %s", h.State)
	}
	return fmt.Errorf("%w: %s: %w", ErrBehind, path, cause)
}

// upload uploads what is staged to all targets, each on its own.
func (e *engine) upload(ctx context.Context, c *copier.Copier, path string, how uploader) error {
	keys := e.manager.Keys(path)
	if len(keys) == 0 {
		return fmt.Errorf("%w: %s has no spool", ErrBehind, path)
	}
	errs := make(chan error, len(keys))
	for _, key := range keys {
		go func() { errs <- e.uploadTo(ctx, c, key, how) }()
	}
	var all []error
	for range keys {
		if err := <-errs; err != nil {
			all = append(all, e.named(err))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrBehind, errors.Join(all...))
}

// uploadPatience is how long an upload without a deadline goes on while its target
// only fails.
const uploadPatience = 30 * time.Second

// uploadTo uploads what is staged for one target. Without a deadline it goes on as
// long as there is progress.
func (e *engine) uploadTo(ctx context.Context, c *copier.Copier, key spool.Key, how uploader) error {
	if _, bounded := ctx.Deadline(); bounded {
		return how(ctx, c, e.root, key)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- how(ctx, c, e.root, key) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last, sent := time.Now(), c.Status(key).BytesUp
	for {
		select {
		case err := <-done:
			return err
		case now := <-tick.C:
			st := c.Status(key)
			switch {
			case st.LastError == nil || st.BytesUp != sent:
				last, sent = now, st.BytesUp
			case now.Sub(last) > uploadPatience:
				cancel(fmt.Errorf("given up after %v without progress", uploadPatience))
			}
		}
	}
}

// named names the target of a copier's error in words: the copier knows only its
// id before it has opened the target.
func (e *engine) named(err error) error {
	var told *copier.Error
	if errors.As(err, &told) {
		for _, t := range e.cfg.durable() {
			if t.ID() == told.Target {
				told.Target = t.String()
			}
		}
	}
	return err
}
