package retry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/boule-db/boule/store"
)

// uploadRate is the slowest upload that still counts as progress: a Put may
// take longer than the timeout by the time that its body needs at this rate.
const uploadRate = 128 << 10 // bytes per second

// Put implements store.Store. If the outcome of a conditional attempt is
// unknown, the object is read back: the same bytes mean success, even though
// somebody else may have put them there; other bytes mean ErrPrecondition; and
// if nothing has changed it is tried again. ErrUnknownOutcome is left only when
// that can't be found out.
func (r *Store) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	timeout := r.opts.Timeout
	if timeout > 0 {
		timeout += time.Duration(float64(len(body)) / uploadRate * float64(time.Second))
	}
	p := &put{r: r, key: key, body: body, cond: cond}
	l := r.loop(store.VerbPut, key)
	info, err := run(ctx, l, func() (store.Info, error) {
		info, err := timed(ctx, timeout, p.attempt)
		if err != nil && p.unknown && !p.resolved && l.attempts >= r.opts.Tries && ctx.Err() == nil {
			// There is no next attempt that would look.
			info, err = timed(ctx, timeout, func(ctx context.Context) (store.Info, error) {
				return p.resolve(ctx, err)
			})
		}
		return info, err
	})
	if err != nil && p.unknown && !p.resolved && !errors.Is(err, store.ErrUnknownOutcome) {
		err = fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
	}
	return info, err
}

// put is one Put across its attempts.
type put struct {
	r        *Store
	key      string
	body     []byte
	cond     store.Condition
	unknown  bool // an attempt may have happened, or may yet
	resolved bool // but has not
}

// errNotDone says that the object is still in the state the condition names.
var errNotDone = errors.New("the put has not happened")

func (p *put) attempt(ctx context.Context) (store.Info, error) {
	if p.unknown {
		info, err := p.resolve(ctx, errNotDone)
		if !errors.Is(err, errNotDone) {
			return info, err
		}
	}
	info, err := p.r.s.Put(ctx, p.key, p.body, p.cond)
	switch {
	case errors.Is(err, store.ErrUnknownOutcome):
		p.unknown = true
	case errors.Is(err, store.ErrPrecondition) && p.unknown:
		// Perhaps it met the work of an attempt before it.
		return p.resolve(ctx, err)
	}
	return info, err
}

// resolve reads the object back and decides what has become of the put. If it
// has not happened, the error is notDone.
func (p *put) resolve(ctx context.Context, notDone error) (store.Info, error) {
	info, same, err := p.readBack(ctx)
	switch {
	case err == nil && same:
		return info, nil
	case store.IsNotExist(err):
		if p.cond.IfAbsent {
			return store.Info{}, notDone
		}
	case err != nil:
		return store.Info{}, fmt.Errorf("%w: put %q in %s, reading back: %w", store.ErrUnknownOutcome, p.key, p.r, err)
	case p.cond.IfMatch != "" && info.ETag == p.cond.IfMatch:
		return store.Info{}, notDone
	}
	p.resolved = true
	return store.Info{}, fmt.Errorf("put %q in %s: %w", p.key, p.r, store.ErrPrecondition)
}

func (p *put) readBack(ctx context.Context) (info store.Info, same bool, err error) {
	obj, err := p.r.s.Get(ctx, p.key, nil)
	if err != nil {
		return store.Info{}, false, err
	}
	defer func() { err = errors.Join(err, obj.Body.Close()) }()
	if obj.Size != int64(len(p.body)) {
		return obj.Info, false, nil
	}
	got, err := io.ReadAll(io.LimitReader(obj.Body, obj.Size+1))
	return obj.Info, bytes.Equal(got, p.body), err
}
