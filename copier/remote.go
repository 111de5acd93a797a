package copier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

// A remote is a target as this process sees it: its client, and whether it answers.
type remote struct {
	id         string
	generation atomic.Uint64 // changes when what was seen in the store may be gone
	well       atomic.Bool   // the last request was answered; false before the first
	opening    chan struct{} // holds a token while a client is being opened

	// Guarded by Copier.mu.
	running int // passes in the background
	waiting []*entry
	revived time.Time

	mu     sync.Mutex // guards what follows
	client *client
	name   string
	layout target.Layout
}

// A client is the open stores of a remote. It is closed when it was dropped and nobody uses it.
type client struct {
	*Stores
	uses    int // guarded by the remote's mu
	dropped bool
}

func newRemote(id string) *remote {
	return &remote{id: id, opening: make(chan struct{}, 1)}
}

// describe returns what to call the target, without credentials, and how replicas lie in it.
func (r *remote) describe(t spool.Target) (name string, layout target.Layout) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.name == "" {
		r.name, r.layout = t.ID, target.DefaultLayout
		var spec target.Target
		if err := json.Unmarshal(t.Spec, &spec); err == nil && spec.Validate() == nil {
			r.name, r.layout = spec.String(), spec.LayoutOrDefault()
		}
	}
	return r.name, r.layout
}

// renew forgets what is known to be in the store. Callers hold mu.
func (c *Copier) renew(r *remote) {
	c.generation++
	r.generation.Store(c.generation)
}

// forget is renew for those who do not hold mu.
func (c *Copier) forget(r *remote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew(r)
}

// acquire returns the client, opening it if need be. The caller releases it.
func (r *remote) acquire(ctx context.Context, opts *Options, spec json.RawMessage) (*client, error) {
	select {
	case r.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-r.opening }()
	r.mu.Lock()
	cl := r.client
	if cl != nil {
		cl.uses++
	}
	r.mu.Unlock()
	if cl != nil {
		return cl, nil
	}

	ctx, cancel := bound(ctx, opts.RequestTimeout)
	defer cancel()
	if opts.Open == nil {
		return nil, errors.New("no way to open targets")
	}
	stores, err := opts.Open(ctx, spec)
	if err != nil {
		return nil, err
	}
	if stores == nil || stores.Chunks == nil || stores.Manifests == nil {
		return nil, errors.New("target without stores")
	}
	cl = &client{Stores: stores, uses: 1}
	r.mu.Lock()
	r.client = cl
	r.mu.Unlock()
	return cl, nil
}

// release undoes acquire.
func (r *remote) release(cl *client) {
	r.mu.Lock()
	cl.uses--
	last := cl.dropped && cl.uses == 0
	r.mu.Unlock()
	if last {
		cl.close()
	}
}

// drop makes the next acquire open another client. Nil is fine.
func (r *remote) drop(cl *client) {
	if cl == nil {
		return
	}
	r.mu.Lock()
	if r.client == cl {
		r.client = nil
	}
	last := !cl.dropped && cl.uses == 0
	cl.dropped = true
	r.mu.Unlock()
	if last {
		cl.close()
	}
}

func (r *remote) current() *client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client
}

func (cl *client) close() {
	for _, s := range []store.Store{cl.Chunks, cl.Manifests} {
		if closer, ok := s.(io.Closer); ok {
			_ = closer.Close() // nothing depends on it
		}
	}
}

// A remoteError is a failure of the target, not of the spool.
type remoteError struct{ err error }

func (e *remoteError) Error() string { return e.err.Error() }
func (e *remoteError) Unwrap() error { return e.err }

// bound limits the time of one request.
func bound(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("no reply within %v: %w", d, context.DeadlineExceeded))
}

// put uploads one object.
func (p *pass) put(ctx context.Context, s store.Store, key string, body []byte) error {
	p.count(func(n *counters) { n.put.Add(1) })
	return p.request(ctx, func(ctx context.Context) error {
		_, err := s.Put(ctx, key, body, store.Condition{})
		if err == nil {
			p.count(func(n *counters) { n.bytes.Add(int64(len(body))) })
		}
		return err
	})
}

// head reports whether there is an object.
func (p *pass) head(ctx context.Context, s store.Store, key string) (there bool, err error) {
	p.count(func(n *counters) { n.head.Add(1) })
	err = p.request(ctx, func(ctx context.Context) error {
		_, err := s.Head(ctx, key)
		there = err == nil
		if errors.Is(err, store.ErrNotExist) && !errors.Is(err, store.ErrNoBucket) {
			return nil
		}
		return err
	})
	return there, err
}

// request bounds a request in time, and judges the remote by its outcome.
func (p *pass) request(ctx context.Context, f func(context.Context) error) error {
	rctx, cancel := bound(ctx, p.c.opts.RequestTimeout)
	defer cancel()
	return p.judge(ctx, f(rctx))
}

// judge judges the remote by the outcome of a request that was made under ctx.
func (p *pass) judge(ctx context.Context, err error) error {
	r := p.e.remote
	switch {
	case err == nil:
		if !r.well.Load() && !r.well.Swap(true) {
			p.c.revive(r)
		}
		return nil
	case ctx.Err() != nil:
		return err // whoever ended ctx is not the remote
	}
	if isOutage(err) {
		r.well.Store(false)
	}
	if store.IsPermanent(err) {
		p.c.forget(r)
	}
	return &remoteError{err}
}

// isOutage reports whether err speaks of the whole target, not of one object.
func isOutage(err error) bool {
	return !store.IsPermanent(err) || errors.Is(err, store.ErrAccess) || errors.Is(err, store.ErrNoBucket)
}
