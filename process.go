package boule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/target"
)

// engines is the process's mutable state: the counterpart of the VFS registry of
// go-sqlite3, which is global as well. The copier serves all engines that are in
// use; it is made for the first and closed after the last.
var engines = struct {
	sync.Mutex
	byKey  map[engineKey]*engine
	copier *copier.Copier
	users  int // engines in use that replicate
}{byKey: map[engineKey]*engine{}}

// retain starts what costs something, for its first user.
func (e *engine) retain() {
	engines.Lock()
	defer engines.Unlock()
	e.users++
	if e.users > 1 || e.root == nil {
		return
	}
	copierLogs.add(e.log)
	if engines.copier == nil {
		engines.copier = copier.New(&copier.Options{Open: openTarget, Desync: desync, Logger: copierLogs.logger()})
	}
	engines.users++
	e.attach(engines.copier)
	e.repairs = e.startRepairs()
}

// release stops what costs something, after the last user, and first uploads what
// is spooled, within ctx.
func (e *engine) release(ctx context.Context) error {
	engines.Lock()
	e.users--
	if e.users > 0 || e.root == nil {
		engines.Unlock()
		return nil
	}
	rep := e.repairs
	e.repairs = nil
	c, added := e.detach()
	engines.users--
	last := engines.users == 0
	if last {
		engines.copier = nil // whoever comes now makes another
	}
	engines.Unlock()

	// Nothing waits under the lock: a pass of the copier may want it.
	rep.stop()
	defer copierLogs.remove(e.log)
	var err error
	if last {
		if err = c.Close(ctx); errors.Is(err, copier.ErrBehind) {
			err = fmt.Errorf("%w: %w", ErrBehind, err)
		}
	} else {
		err = e.upTo(ctx, c, added)
	}
	return err
}

// settle takes the snapshots that were put off, as they are for connections that were
// not closed.
func (e *engine) settle(ctx context.Context) error {
	var errs []error
	for _, path := range e.manager.PutOff() {
		if ctx.Err() != nil {
			break // nothing is to be waited for, and the next who opens it takes them
		}
		if err := e.evaluate(ctx, path, busyTimeout(ctx)); err != nil {
			errs = append(errs, fmt.Errorf("%w: snapshot %s: %w", ErrBehind, path, err))
		}
	}
	return errors.Join(errs...)
}

// upTo uploads what is spooled by an engine that leaves a copier to others. What
// ctx has no time for they upload in the background.
func (e *engine) upTo(ctx context.Context, c *copier.Copier, added map[spool.Key]struct{}) error {
	var mu sync.Mutex // guards errs
	var errs []error
	var g errgroup.Group
	g.SetLimit(8)
	for key := range added {
		g.Go(func() error {
			defer c.Remove(key)
			if ctx.Err() != nil || e.gone(key) {
				return nil
			}
			err := c.Flush(ctx, e.root, key)
			if errors.Is(err, copier.ErrClosed) {
				err = c.Close(ctx) // the others left meanwhile: that uploads all
			}
			if err != nil && !errors.Is(err, copier.ErrNothingStaged) {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%w: %w", ErrBehind, e.named(err)))
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs, all of them
	return errors.Join(errs...)
}

// gone says that there is no such spool any more.
func (e *engine) gone(key spool.Key) bool {
	c, err := e.root.Consumer(key)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	c.Close()
	return false
}

// openTarget opens the stores of a target as the copier finds it in a spool.
func openTarget(ctx context.Context, spec json.RawMessage) (*copier.Stores, error) {
	var t target.Target
	if err := decodeStrict(spec, &t); err != nil {
		return nil, fmt.Errorf("boule: target in spool: %w", err)
	}
	return target.Open(ctx, t, &target.OpenOptions{Limiter: writeBudget(t)})
}

// desync passes on what the copier found missing in a store: an engine that tracks
// the database takes a full snapshot. Only if there is none are the others told,
// who forget what is staged; otherwise they would forget the new snapshot.
func desync(key spool.Key, reason error) {
	engines.Lock()
	all := make([]*engine, 0, len(engines.byKey))
	for _, e := range engines.byKey {
		if e.root != nil {
			all = append(all, e)
		}
	}
	engines.Unlock()
	tracked := false
	for _, e := range all {
		if e.tracks(key) {
			tracked = true
			e.manager.Desync(key, reason)
		}
	}
	for _, e := range all {
		if !tracked && !e.gone(key) {
			e.manager.Desync(key, reason)
		}
	}
}
