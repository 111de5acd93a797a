package logrep

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// Pruned returns the numbers, ascending, of those entries that are no recovery points any more, though the objects of some are
// still there, for frames in them that others need. It takes one request.
func (l *Log) Pruned(ctx context.Context) ([]uint64, error) {
	key := remotelog.PrunedKey(l.name)
	b, _, err := store.ReadAll(ctx, l.entries, key, remotelog.MaxPruned)
	if errors.Is(err, store.ErrNotExist) && !errors.Is(err, store.ErrNoBucket) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	numbers, err := remotelog.DecodePruned(l.name, b)
	if err != nil {
		return nil, &Fault{Object: key, Err: err}
	}
	return numbers, nil
}

// isPruned says whether a number is among those that Pruned returned.
func isPruned(pruned []uint64, number uint64) bool {
	_, found := slices.BinarySearch(pruned, number)
	return found
}

// kept is List without those that are pruned.
func (l *Log) kept(ctx context.Context, after uint64, pruned []uint64) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for item, err := range l.List(ctx, after) {
			if err == nil && isPruned(pruned, item.Number) {
				continue
			}
			if !yield(item, err) {
				return
			}
		}
	}
}
