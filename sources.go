package boule

import (
	"context"
	"iter"
	"sync"

	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

// openSources opens targets for reading. One that can't be opened now is a source
// that fails when it is asked, so that the others still serve, and nobody takes
// the replica for absent.
func openSources(ctx context.Context, targets []target.Target) []replica.Source {
	var sources []replica.Source
	for _, t := range targets {
		stores, err := readStores(ctx, t)
		if err != nil {
			broken := brokenStore{t.String(), err}
			stores = &target.Stores{Chunks: broken, Manifests: broken}
		}
		sources = append(sources, replica.Source{Name: t.String(), Chunks: stores.Chunks, Manifests: stores.Manifests})
	}
	return sources
}

// opened are the stores that this process reads from, by target: their connections
// are worth keeping, and a reader polls.
var opened = struct {
	sync.Mutex
	byID map[string]*target.Stores
}{byID: map[string]*target.Stores{}}

// readStores opens a target, or returns what was opened before.
func readStores(ctx context.Context, t target.Target) (*target.Stores, error) {
	opened.Lock()
	stores := opened.byID[t.ID()]
	opened.Unlock()
	if stores != nil {
		return stores, nil
	}
	stores, err := target.Open(ctx, t, &target.OpenOptions{Limiter: budgets.reads, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	opened.Lock()
	defer opened.Unlock()
	opened.byID[t.ID()] = stores
	return stores, nil
}

// A brokenStore is one that could not be opened.
type brokenStore struct {
	name string
	err  error
}

var _ store.Store = brokenStore{}

// Put implements [store.Store].
func (b brokenStore) Put(context.Context, string, []byte, store.Condition) (store.Info, error) {
	return store.Info{}, b.err
}

// Get implements [store.Store].
func (b brokenStore) Get(context.Context, string, *store.GetOptions) (*store.Object, error) {
	return nil, b.err
}

// Head implements [store.Store].
func (b brokenStore) Head(context.Context, string) (store.Info, error) {
	return store.Info{}, b.err
}

// List implements [store.Store].
func (b brokenStore) List(context.Context, string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) { yield(store.Info{}, b.err) }
}

// Delete implements [store.Store].
func (b brokenStore) Delete(context.Context, string) error { return b.err }

// Touch implements [store.Store].
func (b brokenStore) Touch(context.Context, string) (store.Info, error) {
	return store.Info{}, b.err
}

// String implements [store.Store].
func (b brokenStore) String() string { return b.name }
