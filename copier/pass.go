package copier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/retry"
	"github.com/boule-db/boule/store/target"
)

const (
	chunkSize = manifest.ChunkSize
	// slice is how long a pass in the background goes on while others wait for its target.
	slice = 10 * time.Second
	// revisit is when to look again at a spool that others were working on.
	revisit = time.Second
	// demandSpacing is the least time between demands of a snapshot that may not help.
	demandSpacing = 10 * time.Minute
	// stride is how many staged chunks are uploaded between two looks for a ready snapshot.
	stride = 10
)

// errYield ends a pass that others wait for. What it did is kept.
var errYield = errors.New("copier: giving way")

// A pass works on one spool once. Its holder has the turn of the entry.
type pass struct {
	c     *Copier
	e     *entry
	flush bool // no spacing, no giving way

	cons    *spool.Consumer
	meta    spool.Metadata
	layout  target.Layout
	started time.Time
	out     outcome
	desync  error // why a full snapshot is needed

	mu      sync.Mutex // guards what follows
	client  *client    // nil until the first request
	openErr error      // why there is none
}

// An outcome is what came of a pass.
type outcome struct {
	err         error
	remoteFault bool // err is the target's, not the spool's

	more      bool      // go on at once
	later     time.Time // look again then; zero if there is no need
	allowedAt time.Time // earliest next manifest upload
	restedAt  time.Time // when these uploads do not delay others any more
	success   time.Time // when the store was last known to be current, if it was
	sequence  uint64    // of the manifest there, if known
	doubt     bool      // the store lacks something, and no snapshot has repaired it yet

	path, target string
}

// run drains the spool once. The caller has the turn.
func (c *Copier) run(ctx context.Context, e *entry, flush bool) outcome {
	e.noted.Store(false)
	ctx = retry.Observe(ctx, func(err error) { c.trying(e, err) })
	ctx = store.ObserveBucket(ctx, func() { (&pass{c: c, e: e}).count(func(n *counters) { n.list.Add(1) }) })
	out := c.with(e, flush, func(p *pass) error {
		p.count(func(n *counters) { n.passes.Add(1) })
		if p.layout == target.LayoutLog {
			return p.drainLog(ctx)
		}
		return p.drain(ctx)
	})
	e.reporting.note(&out)
	if !c.closing.Load() { // else Close does, for those that end in time
		c.report(e, reportEvery)
	}
	return out
}

// with opens the spool and calls f, unless there is no spool. The caller has the turn. Panics
// end here.
func (c *Copier) with(e *entry, flush bool, f func(p *pass) error) outcome {
	p := &pass{c: c, e: e, flush: flush, started: time.Now()}
	err := guard(func() error { return p.open(f) })
	if e := guard(p.resolve); e != nil {
		err = errors.Join(err, e)
	}
	if errors.Is(err, fs.ErrNotExist) && p.vanished() {
		err = nil // the database was deleted meanwhile
	}
	if p.desync != nil {
		err = errors.Join(err, guard(func() error {
			c.opts.Desync(e.key, p.desync)
			return nil
		}))
	}
	if errors.Is(err, ErrPanic) {
		p.count(func(n *counters) { n.panics.Add(1) })
	}
	p.out.allowedAt, p.out.doubt = e.allowedAt, len(e.doubts) > 0
	p.out.restedAt = slices.MaxFunc([]time.Time{e.allowedAt, e.restedAt}, time.Time.Compare)
	var fault *remoteError
	switch {
	case err == nil:
	case errors.Is(err, errYield):
		p.out.more = true
	default:
		p.out.err = err
		p.out.remoteFault = errors.As(err, &fault)
		if p.client != nil && fault != nil && isOutage(fault.err) {
			e.remote.drop(p.client) // a new one might do better
		}
	}
	if p.client != nil {
		e.remote.release(p.client)
	}
	return p.out
}

// guard turns a panic into an error.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrPanic, v, debug.Stack())
		}
	}()
	return f()
}

func (p *pass) open(f func(*pass) error) error {
	cons, err := p.e.root.Consumer(p.e.key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the database was never tracked, or is gone
	}
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	defer cons.Close()
	p.cons = cons
	if p.meta, err = cons.Metadata(); err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	p.out.path = p.meta.Path
	p.out.target, p.layout = p.e.remote.describe(p.meta.Target)
	if p.meta.Target.ID != p.e.key.Target {
		return fmt.Errorf("read metadata: spool of target %s says target %s", p.e.key.Target, p.meta.Target.ID)
	}
	return f(p)
}

// vanished reports whether the spool is gone.
func (p *pass) vanished() bool {
	cons, err := p.e.root.Consumer(p.e.key)
	if err == nil {
		_ = cons.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
}

// drain takes the steps of a pass: ready, staging, ready. Staging is never staler than ready,
// and a ready snapshot seen after the staged one was uploaded is at least as new as that.
func (p *pass) drain(ctx context.Context) error {
	if err := p.cons.Tidy(); err != nil {
		return fmt.Errorf("tidy: %w", err)
	}
	p.e.counts.pending.Store(0)
	if err := p.ready(ctx); err != nil {
		return err
	}
	if err := p.staging(ctx); err != nil {
		return err
	}
	// A manifest in ready has to wait, if one was uploaded now. In ready it keeps others from
	// becoming ready; in consuming it would let them, and make them wait in turn.
	busy, err := p.cons.Busy()
	if err != nil {
		return fmt.Errorf("look for ready: %w", err)
	}
	if !busy || !p.spaced() {
		return nil
	}
	return p.ready(ctx)
}

// stores opens the target when it is first needed, so that an idle spool costs no request.
func (p *pass) stores(ctx context.Context) (*client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil || p.openErr != nil {
		return p.client, p.openErr
	}
	cl, err := p.e.remote.acquire(ctx, &p.c.opts, p.meta.Target.Spec)
	if err != nil {
		if ctx.Err() == nil {
			p.e.remote.well.Store(false)
		}
		p.openErr = &remoteError{fmt.Errorf("open target: %w", err)}
		return nil, p.openErr
	}
	p.client = cl
	return cl, nil
}

// count adds to the counters of the spool and of the process.
func (p *pass) count(f func(*counters)) {
	f(&p.e.counts)
	f(&p.c.counts)
}

// lookAgain asks for another pass.
func (p *pass) lookAgain(at time.Time) {
	if p.out.later.IsZero() || at.Before(p.out.later) {
		p.out.later = at
	}
}

// givesWay reports whether the pass should end where it can be continued.
func (p *pass) givesWay() bool {
	if p.flush {
		return false
	}
	if p.c.closing.Load() || p.e.flushers.Load() > 0 {
		return true
	}
	if time.Since(p.started) < slice {
		return false
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	return len(p.e.remote.waiting) > 0
}

// spaced reports whether a manifest may be uploaded now, and asks for another pass if not.
func (p *pass) spaced() bool {
	if p.flush || !time.Now().Before(p.e.allowedAt) {
		return true
	}
	p.lookAgain(p.e.allowedAt)
	return false
}
