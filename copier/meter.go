package copier

import (
	"context"
	"errors"
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

// ask makes a request. An answer about the object is no fault of the remote's.
func (m *meter) ask(ctx context.Context, f func(context.Context) error) error {
	var answer error
	err := m.pass.request(ctx, func(ctx context.Context) error {
		err := f(ctx)
		if errors.Is(err, store.ErrNotExist) && !errors.Is(err, store.ErrNoBucket) ||
			errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrNotModified) {
			answer = err
			return nil
		}
		return err
	})
	return firstErr(err, answer)
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

// Get bounds the time until the object is open. That of its body ends with ctx.
func (m *meter) Get(ctx context.Context, key string, opts *store.GetOptions) (obj *store.Object, err error) {
	m.pass.count(func(n *counters) { n.get.Add(1) })
	err = m.ask(ctx, func(context.Context) (err error) {
		obj, err = m.Store.Get(ctx, key, opts)
		return err
	})
	return obj, err
}

func (m *meter) Head(ctx context.Context, key string) (info store.Info, err error) {
	m.pass.count(func(n *counters) { n.head.Add(1) })
	err = m.ask(ctx, func(ctx context.Context) (err error) {
		info, err = m.Store.Head(ctx, key)
		return err
	})
	return info, err
}

func (m *meter) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	m.pass.count(func(n *counters) { n.list.Add(1) })
	return m.Store.List(ctx, prefix)
}

func (m *meter) Delete(ctx context.Context, key string) error {
	return m.ask(ctx, func(ctx context.Context) error { return m.Store.Delete(ctx, key) })
}
