package logwriter

import (
	"context"
	"iter"

	"github.com/boule-db/boule/store"
)

// counted is a store that tells of its requests.
type counted struct {
	store.Store
	tell func(verb store.Verb, bytes int)
}

func (c counted) Unwrap() store.Store { return c.Store }

func (c counted) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	c.tell(store.VerbPut, len(body))
	return c.Store.Put(ctx, key, body, cond)
}

func (c counted) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	c.tell(store.VerbGet, 0)
	return c.Store.Get(ctx, key, opts)
}

func (c counted) Head(ctx context.Context, key string) (store.Info, error) {
	c.tell(store.VerbHead, 0)
	return c.Store.Head(ctx, key)
}

func (c counted) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		c.tell(store.VerbList, 0)
		for info, err := range c.Store.List(ctx, prefix) {
			if !yield(info, err) {
				return
			}
		}
	}
}

func (c counted) Delete(ctx context.Context, key string) error {
	c.tell(store.VerbDelete, 0)
	return c.Store.Delete(ctx, key)
}
