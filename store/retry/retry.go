package retry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/internal/attempt"
)

// A Store retries the calls of another store.
type Store struct {
	s    store.Store
	opts Options
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Preparer = (*Store)(nil)
)

// New returns s with retries.
func New(s store.Store, opts *Options) *Store {
	return &Store{s: s, opts: opts.withDefaults()}
}

// Unwrap returns the store underneath.
func (r *Store) Unwrap() store.Store { return r.s }

// String implements store.Store.
func (r *Store) String() string { return r.s.String() }

// loop is the state of one call across its attempts.
type loop struct {
	r        *Store
	verb     store.Verb
	key      string
	waits    waits
	attempts int
}

func (r *Store) loop(verb store.Verb, key string) *loop {
	return &loop{r: r, verb: verb, key: key, waits: waits{list: r.opts.Waits}}
}

// run calls op until it succeeds, fails for good, or the attempts are used up.
// It does not call op once ctx is done.
func run[T any](ctx context.Context, l *loop, op func() (T, error)) (T, error) {
	var none T
	var last error
	res, err := backoff.Retry(ctx, func() (T, error) {
		if err := context.Cause(ctx); err != nil {
			return none, backoff.Permanent(err)
		}
		l.attempts++
		res, err := op()
		last = err
		if err == nil {
			return res, nil
		}
		if store.IsPermanent(err) || l.attempts >= l.r.opts.Tries {
			return none, backoff.Permanent(err)
		}
		return none, err
	},
		backoff.WithBackOff(&l.waits),
		backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, wait time.Duration) {
			l.log(ctx, err, wait)
			observe(ctx, err)
		}),
	)
	if err == nil {
		return res, nil
	}
	if last != nil && !errors.Is(err, last) {
		// Cancelled while waiting: what went wrong before belongs to it.
		err = fmt.Errorf("%w (the last attempt: %w)", err, last)
	}
	if l.attempts > 1 {
		err = fmt.Errorf("after %d attempts: %w", l.attempts, err)
	}
	return none, err
}

func (l *loop) log(ctx context.Context, err error, wait time.Duration) {
	l.r.opts.Logger.WarnContext(ctx, "store request failed, will retry",
		"verb", string(l.verb), "key", l.key, "store", l.r.s.String(),
		"attempt", l.attempts, "wait", wait, "error", err)
}

// timed calls op with the context of an attempt.
func timed[T any](ctx context.Context, timeout time.Duration, op func(context.Context) (T, error)) (T, error) {
	ctx, clock := attempt.Start(ctx, timeout)
	defer clock.End()
	res, err := op(ctx)
	return res, clock.Err(ctx, err)
}

func (r *Store) simple(ctx context.Context, verb store.Verb, key string,
	op func(context.Context) (store.Info, error),
) (store.Info, error) {
	return run(ctx, r.loop(verb, key), func() (store.Info, error) {
		return timed(ctx, r.opts.Timeout, op)
	})
}

// Head implements store.Store.
func (r *Store) Head(ctx context.Context, key string) (store.Info, error) {
	return r.simple(ctx, store.VerbHead, key, func(ctx context.Context) (store.Info, error) {
		return r.s.Head(ctx, key)
	})
}

// Delete implements store.Store.
func (r *Store) Delete(ctx context.Context, key string) error {
	_, err := r.simple(ctx, store.VerbDelete, key, func(ctx context.Context) (store.Info, error) {
		return store.Info{}, r.s.Delete(ctx, key)
	})
	return err
}

// Touch implements store.Store.
func (r *Store) Touch(ctx context.Context, key string) (store.Info, error) {
	return r.simple(ctx, store.VerbCopy, key, func(ctx context.Context) (store.Info, error) {
		return r.s.Touch(ctx, key)
	})
}

// Prepare implements store.Preparer.
func (r *Store) Prepare(ctx context.Context, create bool) error {
	_, err := r.simple(ctx, store.VerbBucket, "", func(ctx context.Context) (store.Info, error) {
		return store.Info{}, store.Prepare(ctx, r.s, create)
	})
	return err
}

// List implements store.Store. A listing that breaks off goes on after the
// last key; every key that it got to begins the count of attempts again.
func (r *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return r.ListAfter(ctx, prefix, "")
}

// ListAfter is what store.ListAfter looks for.
func (r *Store) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		l := r.loop(store.VerbList, prefix)
		_, err := run(ctx, l, func() (struct{}, error) {
			actx, clock := attempt.Start(ctx, r.opts.Timeout)
			defer clock.End()
			for info, err := range store.ListAfter(actx, r.s, prefix, after) {
				clock.Stop()
				if err != nil {
					return struct{}{}, clock.Err(actx, err)
				}
				if !yield(info, nil) {
					return struct{}{}, nil
				}
				after = info.Key
				l.attempts = 1
				l.waits.Reset()
				clock.Restart()
			}
			return struct{}{}, nil
		})
		if err != nil {
			yield(store.Info{}, err)
		}
	}
}
