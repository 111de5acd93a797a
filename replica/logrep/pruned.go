package logrep

import (
	"context"
	"errors"
	"iter"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// Pruned returns which entries are no recovery points any more. It takes one request.
func (l *Log) Pruned(ctx context.Context) (remotelog.Pruned, error) {
	key := remotelog.PrunedKey(l.name)
	b, _, err := store.ReadAll(ctx, l.entries, key, remotelog.MaxPruned)
	if errors.Is(err, store.ErrNotExist) && !errors.Is(err, store.ErrNoBucket) {
		return remotelog.Pruned{}, nil
	}
	if err != nil {
		return remotelog.Pruned{}, err
	}
	pruned, err := remotelog.DecodePruned(l.name, b)
	if err != nil {
		return remotelog.Pruned{}, &Fault{Object: key, Err: err}
	}
	return pruned, nil
}

// kept is List without those that are pruned.
func (l *Log) kept(ctx context.Context, after uint64, pruned *remotelog.Pruned) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for item, err := range l.List(ctx, after) {
			if err == nil && pruned.Has(item.Number) {
				continue
			}
			if !yield(item, err) {
				return
			}
		}
	}
}
