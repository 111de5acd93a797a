package budget

import (
	"context"
	"io"
	"iter"
	"sync"

	"github.com/boule-db/boule/store"
)

// listPage is the number of objects in one page of a listing, for stores that
// don't say when they ask for a page.
const listPage = 1000

// A Store charges every request of another store to a Limiter.
type Store struct {
	s       store.Store
	limiter *Limiter
	gated   bool // s calls charge itself, before each of its requests

	mu    sync.Mutex // guards stats
	stats Stats
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Preparer = (*Store)(nil)
)

// New returns s on the budget of l.
func New(s store.Store, l *Limiter) *Store {
	b := &Store{s: s, limiter: l}
	if g, ok := s.(store.Gater); ok {
		if gated, ok := g.Gate(b.charge); ok {
			b.s, b.gated = gated, true
		}
	}
	return b
}

// Unwrap returns the store underneath.
func (b *Store) Unwrap() store.Store { return b.s }

// String implements store.Store.
func (b *Store) String() string { return b.s.String() }

// Stats returns what this store has used.
func (b *Store) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats.clone()
}

// charge is the store.Gate.
func (b *Store) charge(ctx context.Context, verb store.Verb) error {
	waited, err := b.limiter.wait(ctx, verb)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.add(verb, waited)
	return nil
}

// call is charge for stores that don't do it themselves.
func (b *Store) call(ctx context.Context, verb store.Verb) error {
	if b.gated {
		return nil
	}
	return b.charge(ctx, verb)
}

func (b *Store) bytes(sent, received int64) {
	b.limiter.bytes(sent, received)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.Sent += sent
	b.stats.Received += received
}

// Prepare implements store.Preparer.
func (b *Store) Prepare(ctx context.Context, create bool) error {
	return store.Prepare(ctx, b.s, create)
}

// Put implements store.Store.
func (b *Store) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if err := b.call(ctx, store.VerbPut); err != nil {
		return store.Info{}, err
	}
	b.bytes(int64(len(body)), 0)
	return b.s.Put(ctx, key, body, cond)
}

// Get implements store.Store.
func (b *Store) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	if err := b.call(ctx, store.VerbGet); err != nil {
		return nil, err
	}
	obj, err := b.s.Get(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	obj.Body = &countedBody{obj.Body, b}
	return obj, nil
}

type countedBody struct {
	io.ReadCloser
	b *Store
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.b.bytes(0, int64(n))
	return n, err
}

// Head implements store.Store.
func (b *Store) Head(ctx context.Context, key string) (store.Info, error) {
	if err := b.call(ctx, store.VerbHead); err != nil {
		return store.Info{}, err
	}
	return b.s.Head(ctx, key)
}

// List implements store.Store.
func (b *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return b.ListAfter(ctx, prefix, "")
}

// ListAfter is what store.ListAfter looks for.
func (b *Store) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := b.call(ctx, store.VerbList); err != nil {
			yield(store.Info{}, err)
			return
		}
		n := 0
		for info, err := range store.ListAfter(ctx, b.s, prefix, after) {
			if n == listPage && err == nil {
				if err := b.call(ctx, store.VerbList); err != nil {
					yield(store.Info{}, err)
					return
				}
				n = 0
			}
			n++
			if !yield(info, err) {
				return
			}
		}
	}
}

// Delete implements store.Store.
func (b *Store) Delete(ctx context.Context, key string) error {
	if err := b.call(ctx, store.VerbDelete); err != nil {
		return err
	}
	return b.s.Delete(ctx, key)
}

// Touch implements store.Store.
func (b *Store) Touch(ctx context.Context, key string) (store.Info, error) {
	if err := b.call(ctx, store.VerbCopy); err != nil {
		return store.Info{}, err
	}
	return b.s.Touch(ctx, key)
}
