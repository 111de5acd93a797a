package copier

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/boule-db/boule/store"
)

// A meter counts the requests of a store, bounds each in time, and judges the remote by their outcomes. It
// belongs to one entry.
type meter struct {
	store.Store
	pass *pass // of which only the copier and the entry are used: meters outlive passes
}

func newMeter(c *Copier, e *entry, s store.Store) *meter { return &meter{s, &pass{c: c, e: e}} }

// ask makes a request.
func (m *meter) ask(ctx context.Context, f func(context.Context) error) error {
	rctx, cancel := bound(ctx, m.pass.c.opts.RequestTimeout)
	defer cancel()
	return m.judge(ctx, f(rctx))
}

// judge judges the remote. An answer about the object is no fault of the remote's.
func (m *meter) judge(ctx context.Context, err error) error {
	if errors.Is(err, store.ErrNotExist) && !errors.Is(err, store.ErrNoBucket) ||
		errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrNotModified) {
		_ = m.pass.judge(ctx, nil)
		return err
	}
	return m.pass.judge(ctx, err)
}

func (m *meter) Put(ctx context.Context, key string, body []byte, cond store.Condition) (info store.Info, err error) {
	m.pass.count(func(n *counters) { n.put.Add(1) })
	err = m.ask(ctx, func(ctx context.Context) (err error) {
		info, err = m.Store.Put(ctx, key, body, cond)
		return err
	})
	if err == nil {
		m.pass.count(func(n *counters) { n.bytes.Add(int64(len(body))) })
	}
	return info, err
}

// Get bounds the time until the body is closed.
func (m *meter) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	m.pass.count(func(n *counters) { n.get.Add(1) })
	rctx, cancel := bound(ctx, m.pass.c.opts.RequestTimeout)
	obj, err := m.Store.Get(rctx, key, opts)
	if err = m.judge(ctx, err); err != nil {
		cancel()
		return nil, err
	}
	obj.Body = &meteredBody{obj.Body, ctx, cancel, m}
	return obj, nil
}

// A meteredBody is a body whose failures are the remote's.
type meteredBody struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // of the request that the body belongs to
	cancel context.CancelFunc
	m      *meter
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.m.pass.count(func(c *counters) { c.down.Add(int64(n)) })
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.m.judge(b.ctx, err)
	}
	return n, err
}

func (b *meteredBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

func (m *meter) Head(ctx context.Context, key string) (info store.Info, err error) {
	m.pass.count(func(n *counters) { n.head.Add(1) })
	err = m.ask(ctx, func(ctx context.Context) (err error) {
		info, err = m.Store.Head(ctx, key)
		return err
	})
	return info, err
}

// List bounds the time of the whole list.
func (m *meter) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		m.pass.count(func(n *counters) { n.list.Add(1) })
		rctx, cancel := bound(ctx, m.pass.c.opts.RequestTimeout)
		defer cancel()
		for info, err := range m.Store.List(rctx, prefix) {
			if err != nil {
				err = m.judge(ctx, err)
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

func (m *meter) Delete(ctx context.Context, key string) error {
	m.pass.count(func(n *counters) { n.del.Add(1) })
	return m.ask(ctx, func(ctx context.Context) error { return m.Store.Delete(ctx, key) })
}
