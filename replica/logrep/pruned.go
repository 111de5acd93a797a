package logrep

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// Pruned returns which entries are no recovery points any more. It takes one request.
func (l *Log) Pruned(ctx context.Context) (remotelog.Pruned, error) {
	start := time.Now()
	key := remotelog.PrunedKey(l.name)
	b, _, err := store.ReadAll(ctx, l.entries, key, remotelog.MaxPruned)
	var pruned remotelog.Pruned
	switch {
	case errors.Is(err, store.ErrNotExist) && !errors.Is(err, store.ErrNoBucket): // there are none
	case errors.Is(err, store.ErrTooLarge):
		return remotelog.Pruned{}, &Fault{Object: key, Err: corrupt("%w", err)}
	case err != nil:
		return remotelog.Pruned{}, err
	default:
		if pruned, err = remotelog.DecodePruned(l.name, b); err != nil {
			return remotelog.Pruned{}, &Fault{Object: key, Err: err}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pruned, l.listed = pruned, start
	return pruned, nil
}

// Garbage returns which objects wait to be removed, and whether there is a list of them. It takes one request.
func (l *Log) Garbage(ctx context.Context) (g remotelog.Garbage, there bool, err error) {
	key := remotelog.GarbageKey(l.name)
	b, _, err := store.ReadAll(ctx, l.entries, key, remotelog.MaxGarbage)
	switch {
	case errors.Is(err, store.ErrNotExist) && !errors.Is(err, store.ErrNoBucket):
		return g, false, nil
	case errors.Is(err, store.ErrTooLarge):
		return g, true, &Fault{Object: key, Err: corrupt("%w", err)}
	case err != nil:
		return g, false, err
	}
	if g, err = remotelog.DecodeGarbage(l.name, b); err != nil {
		return g, true, &Fault{Object: key, Err: err}
	}
	return g, true, nil
}

// prunedSince is Pruned, but takes no request if the list was read since a time.
func (l *Log) prunedSince(ctx context.Context, t time.Time) (remotelog.Pruned, error) {
	l.mu.Lock()
	pruned, ok := l.pruned, !l.listed.IsZero() && !l.listed.Before(t)
	l.mu.Unlock()
	if ok {
		return pruned, nil
	}
	return l.Pruned(ctx)
}

// orNone makes a damaged list one of nothing, for who reads a state: it is verified anyway, and an entry that was pruned and is not whole
// is no worse than a damaged one.
func orNone(pruned remotelog.Pruned, err error) (remotelog.Pruned, error) {
	if isFault(err) {
		return remotelog.Pruned{}, nil
	}
	return pruned, err
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
