package storetest_test

import (
	"context"
	"iter"
	"sync/atomic"

	"github.com/boule-db/boule/store"
)

// alternating is one store made of two that should be the same.
type alternating struct {
	stores [2]store.Store
	calls  atomic.Uint64
}

func (a *alternating) next() store.Store { return a.stores[a.calls.Add(1)%2] }

func (a *alternating) String() string { return a.stores[0].String() }

func (a *alternating) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	return a.next().Put(ctx, key, body, cond)
}

func (a *alternating) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	return a.next().Get(ctx, key, opts)
}

func (a *alternating) Head(ctx context.Context, key string) (store.Info, error) {
	return a.next().Head(ctx, key)
}

func (a *alternating) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return a.next().List(ctx, prefix)
}

func (a *alternating) Delete(ctx context.Context, key string) error { return a.next().Delete(ctx, key) }

func (a *alternating) Touch(ctx context.Context, key string) (store.Info, error) {
	return a.next().Touch(ctx, key)
}
