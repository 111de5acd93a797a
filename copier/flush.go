package copier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/target"
)

// localTries is how often a flush tries when the spool, not the target, fails.
const localTries = 4

// Flush uploads what is staged and returns nil only after the store acknowledged a snapshot at
// least as new as the one staged when Flush was called. It goes on trying until ctx ends or the
// failure is one that trying does not help. It waits for no spacing and draws on the flush
// budget. The spool need not have been added.
//
// The error is an *Error. ErrNothingStaged and ErrDesync ask the caller to take a snapshot and
// flush again. After any error, what was not uploaded is still in the spool, and the copier goes
// on trying in the background.
func (c *Copier) Flush(ctx context.Context, root *spool.Root, key spool.Key) error {
	return c.flush(ctx, "flush", root, key, flushing{})
}

// Repair fetches all that the newest state in the store needs, and verifies it. If nothing is wrong, it is Flush. Else it fails with ErrDesync, and the
// next flush, with a full snapshot, uploads anew what is damaged or gone, and all else that the state has in the same objects: the caller takes one. Until all is read, nothing else is uploaded. found is told what is wrong. The spool must have been added:
// else the next flush does not know of it.
func (c *Copier) Repair(ctx context.Context, root *spool.Root, key spool.Key, found func(error)) error {
	return c.flush(ctx, "repair", root, key, flushing{found: found})
}

// Takeover is Flush whoever appended to the replica last. From then on the replica belongs to this spool, and
// the other writer is told that it does. It fails with ErrNoLog in a layout that knows no owner.
func (c *Copier) Takeover(ctx context.Context, root *spool.Root, key spool.Key) error {
	return c.flush(ctx, "takeover", root, key, flushing{takeover: true})
}

// A flushing is what to do besides.
type flushing struct {
	takeover bool
	found    func(error) // of a repair
}

func (c *Copier) flush(ctx context.Context, op string, root *spool.Root, key spool.Key, how flushing) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.failed(op, key, Status{}, ErrClosed)
	}
	e := c.enter(root, key)
	ctx, a := c.begin(ctx)
	c.mu.Unlock()

	err := c.flushEntry(budget.WithFlush(ctx), e, how)

	c.mu.Lock()
	st := e.status
	c.leave(e)
	c.end(a)
	c.mu.Unlock()
	if err != nil {
		return c.failed(op, key, st, err)
	}
	return nil
}

// failed names the database and the target that an error is about.
func (c *Copier) failed(op string, key spool.Key, st Status, err error) error {
	path, target := names(key, st)
	return &Error{Op: op, Path: path, Target: target, Err: err}
}

// names are what to call a database and a target.
func names(key spool.Key, st Status) (path, target string) {
	path, target = st.Path, st.Target
	if path == "" {
		path = key.Mangled
		if p, ok := spool.Unmangle(key.Mangled); ok {
			path = p
		}
	}
	if target == "" {
		target = key.Target
	}
	return path, target
}

// take takes the turn of the entry; a pass in the background gives way.
func (c *Copier) take(ctx context.Context, e *entry) error {
	e.flushers.Add(1)
	defer e.flushers.Add(-1)
	select {
	case e.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return e.waited(ctx)
	}
}

// give gives the turn back, and plans what was put off meanwhile.
func (c *Copier) give(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	<-e.turn
	if c.closed {
		return
	}
	if e.state == parked {
		e.state = idle
	}
	if e.noted.Load() || e.status.LastError != nil {
		c.enqueue(e, e.earliest(time.Now()))
	}
	c.dispatch()
}

// flushed takes note of the outcome of a pass of a flush.
func (c *Copier) flushed(e *entry, out outcome) outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.notBefore, e.keepUntil = out.allowedAt, out.restedAt
	c.note(e, out, time.Now(), true)
	if !out.later.IsZero() && !c.closed {
		c.enqueue(e, e.again(out.later))
		c.dispatch()
	}
	return out
}

func (c *Copier) flushEntry(ctx context.Context, e *entry, how flushing) error {
	began := time.Now()
	if err := c.take(ctx, e); err != nil {
		return err
	}
	defer c.give(e)

	e.takeover = how.takeover
	defer func() {
		e.takeover = false
		c.save(e, time.Second) // it may be all that this process does
	}()
	var goal []candidate
	out := c.with(e, true, func(p *pass) (err error) {
		if how.takeover && p.layout != target.LayoutLog {
			return ErrNoLog
		}
		if goal, err = p.peekStaged(); err != nil || how.found == nil {
			return err
		}
		for _, m := range goal {
			err = errors.Join(err, p.examine(ctx, m.name, how.found))
		}
		return err
	})
	if out.err != nil {
		return out.err
	}
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := c.flushed(e, c.run(ctx, e, true)).err
		if err == nil && len(goal) == 0 {
			return ErrNothingStaged
		}
		if err == nil {
			done := false
			err = c.flushed(e, c.with(e, true, func(p *pass) (err error) {
				done, err = p.reached(ctx, goal, began)
				return err
			})).err
			if done {
				return nil
			}
		}
		if final(err, try) {
			return err
		}
		wait := time.NewTimer(c.opts.jitter(pause))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return lastWords(ctx, err)
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// final reports whether trying again is pointless after err, which may be nil: then somebody
// else is at work in the spool.
func final(err error, try int) bool {
	for _, f := range []error{ErrDesync, ErrSuperseded, ErrFenced, ErrPanic} {
		if errors.Is(err, f) {
			return true
		}
	}
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var fault *remoteError
	return store.IsPermanent(err) || !errors.As(err, &fault) && try >= localTries
}

// reached reports whether the store holds each manifest of the goal or something newer. If it
// did not say so since the flush began, it is asked.
func (p *pass) reached(ctx context.Context, goal []candidate, began time.Time) (bool, error) {
	for _, m := range goal {
		tap, err := p.readTap(m.name)
		if err != nil || tap.data == nil || tap.sequence < m.m.Sequence {
			return false, err
		}
		if p.e.damage[m.name] != nil {
			return false, p.lost(m.name, fmt.Errorf("another process uploaded what was to repair %s, and knew of no damage", m.name))
		}
		// What was uploaded from here was staged here. If it was, something newer may be staged
		// by now, nothing older.
		staged, err := p.peekStaged()
		if err != nil {
			return false, err
		}
		for _, s := range staged {
			if s.name == m.name && s.m.Sequence < tap.sequence {
				err := fmt.Errorf("%w: sequence %d is staged, %d uploaded", ErrSuperseded, s.m.Sequence, tap.sequence)
				_ = p.demandSnapshot(err)
				return false, err
			}
		}
		if a := p.e.acks[m.name]; a.sequence >= m.m.Sequence && !a.at.Before(began) {
			p.current(m.m)
			continue
		}
		if p.layout == target.LayoutLog {
			err = p.newestThere(ctx, m)
		} else {
			err = p.manifestThere(ctx, m)
		}
		if err != nil {
			return false, err
		}
		p.out.success = time.Now()
		p.current(m.m)
	}
	return true, nil
}

// acknowledged notes that the store has said that it has m.
func (p *pass) acknowledged(m candidate) {
	p.out.success = time.Now()
	p.e.acks[m.name] = ack{m.m.Sequence, p.out.success}
}

// manifestThere fails unless the store has the manifest m, or a newer one under its name. That the tap says so is not
// enough: a request whose sender was killed may have been carried out after those that came later.
func (p *pass) manifestThere(ctx context.Context, m candidate) error {
	cl, err := p.stores(ctx)
	if err != nil {
		return err
	}
	body, err := p.get(ctx, cl.Manifests, m.name, manifest.MaxManifest)
	if err != nil {
		return fmt.Errorf("look for manifest: %w", err)
	}
	if body == nil {
		return p.lost(m.name, fmt.Errorf("manifest %s is gone from %s", m.name, cl.Manifests))
	}
	there, err := decodeStored(body)
	switch {
	case err != nil:
		return p.lost(m.name, fmt.Errorf("manifest %s in %s: %w", m.name, cl.Manifests, err))
	case there.Sequence < m.m.Sequence:
		return p.lost(m.name, fmt.Errorf("manifest %s in %s has gone back to sequence %d from %d",
			m.name, cl.Manifests, there.Sequence, m.m.Sequence))
	}
	return nil
}

// decodeStored decodes a manifest as it lies in a store.
func decodeStored(body []byte) (*manifest.Manifest, error) {
	if manifest.IsCompressed(body) {
		var err error
		if body, err = manifest.DecompressManifest(body); err != nil {
			return nil, err
		}
	}
	return manifest.Decode(body)
}

// lastWords makes the error of an ended flush of why it ended and the last failure.
func lastWords(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || errors.Is(err, cause) {
		return firstErr(err, cause)
	}
	return fmt.Errorf("%w: %w", cause, err)
}
