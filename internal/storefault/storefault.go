package storefault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/boule-db/boule/store"
)

// ErrInjected is the error of a fault that names no other.
var ErrInjected = errors.New("storefault: injected failure")

// A Call is one call of a Store's method.
type Call struct {
	N    int        // 0 for the first call of all
	Verb store.Verb // a Touch is a VerbCopy
	Key  string     // or prefix
}

// A Fault is what happens to a call. The zero value is nothing.
type Fault struct {
	Fail  bool            // the call fails
	Err   error           // with this; nil means ErrInjected
	Lost  bool            // it is carried out before it fails: only its reply is lost
	Delay time.Duration   // it takes this long to begin
	Until <-chan struct{} // or until this is closed
	After int64           // if positive, a Get or a List begins well and fails after so many bytes or keys
}

// A Plan decides. It may be called concurrently.
type Plan func(Call) Fault

// Nth is the plan that f happens to the i-th call, counted from 0.
func Nth(i int, f Fault) Plan {
	return func(c Call) Fault {
		if c.N == i {
			return f
		}
		return Fault{}
	}
}

// First is the plan that f happens to the first n calls.
func First(n int, f Fault) Plan {
	return func(c Call) Fault {
		if c.N < n {
			return f
		}
		return Fault{}
	}
}

// On is the plan that f happens to every call of one verb.
func On(verb store.Verb, f Fault) Plan {
	return func(c Call) Fault {
		if c.Verb == verb {
			return f
		}
		return Fault{}
	}
}

// Always is the plan that f happens to every call.
func Always(f Fault) Plan { return func(Call) Fault { return f } }

// A Store is a store with faults.
type Store struct {
	s store.Store

	mu    sync.Mutex // guards the fields below
	plan  Plan
	calls []Call
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Preparer = (*Store)(nil)
)

// New returns s with the faults that plan says; nil means none.
func New(s store.Store, plan Plan) *Store { return &Store{s: s, plan: plan} }

// SetPlan changes the plan and begins counting calls at 0 again.
func (s *Store) SetPlan(plan Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan, s.calls = plan, nil
}

// Calls returns the calls so far.
func (s *Store) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count returns the number of calls of one verb so far.
func (s *Store) Count(verb store.Verb) int {
	n := 0
	for _, c := range s.Calls() {
		if c.Verb == verb {
			n++
		}
	}
	return n
}

// Unwrap returns the store underneath.
func (s *Store) Unwrap() store.Store { return s.s }

// String implements store.Store.
func (s *Store) String() string { return s.s.String() }

// begin notes the call and waits as its fault says.
func (s *Store) begin(ctx context.Context, verb store.Verb, key string) (Fault, error) {
	s.mu.Lock()
	c := Call{N: len(s.calls), Verb: verb, Key: key}
	s.calls = append(s.calls, c)
	plan := s.plan
	s.mu.Unlock()
	var f Fault
	if plan != nil {
		f = plan(c)
	}
	if f.Err == nil {
		f.Err = ErrInjected
	}
	f.Err = fmt.Errorf("%s %q in %s (call %d): %w", verb, key, s, c.N, f.Err)
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return f, context.Cause(ctx)
		}
	}
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-ctx.Done():
			return f, context.Cause(ctx)
		}
	}
	return f, nil
}

func call[T any](ctx context.Context, s *Store, verb store.Verb, key string, op func() (T, error)) (T, Fault, error) {
	var none T
	f, err := s.begin(ctx, verb, key)
	if err != nil {
		return none, f, err
	}
	if f.Fail && !f.Lost && f.After <= 0 {
		return none, f, f.Err
	}
	res, err := op()
	if err == nil && f.Lost {
		return none, f, f.Err
	}
	return res, f, err
}

// Put implements store.Store. The lost reply of a conditional put is
// ErrUnknownOutcome, unless the fault names another error.
func (s *Store) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	info, f, err := call(ctx, s, store.VerbPut, key, func() (store.Info, error) { return s.s.Put(ctx, key, body, cond) })
	if f.Lost && !cond.IsZero() && errors.Is(err, ErrInjected) {
		err = fmt.Errorf("%w: %w", store.ErrUnknownOutcome, err)
	}
	return info, err
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	obj, f, err := call(ctx, s, store.VerbGet, key, func() (*store.Object, error) { return s.s.Get(ctx, key, opts) })
	if obj != nil && err == nil && f.After > 0 {
		obj.Body = &breaking{obj.Body, f.After, f.Err}
	}
	return obj, err
}

// breaking is a body that fails with err after left bytes.
type breaking struct {
	io.ReadCloser
	left int64
	err  error
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// Head implements store.Store.
func (s *Store) Head(ctx context.Context, key string) (store.Info, error) {
	info, _, err := call(ctx, s, store.VerbHead, key, func() (store.Info, error) { return s.s.Head(ctx, key) })
	return info, err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		_, f, err := call(ctx, s, store.VerbList, prefix, func() (struct{}, error) { return struct{}{}, nil })
		if err != nil {
			yield(store.Info{}, err)
			return
		}
		n := int64(0)
		for info, err := range s.s.List(ctx, prefix) {
			if f.After > 0 && n == f.After {
				yield(store.Info{}, f.Err)
				return
			}
			n++
			if !yield(info, err) {
				return
			}
		}
	}
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	_, _, err := call(ctx, s, store.VerbDelete, key, func() (struct{}, error) { return struct{}{}, s.s.Delete(ctx, key) })
	return err
}

// Touch implements store.Store.
func (s *Store) Touch(ctx context.Context, key string) (store.Info, error) {
	info, _, err := call(ctx, s, store.VerbCopy, key, func() (store.Info, error) { return s.s.Touch(ctx, key) })
	return info, err
}

// Prepare implements store.Preparer.
func (s *Store) Prepare(ctx context.Context, create bool) error {
	_, _, err := call(ctx, s, store.VerbBucket, "", func() (struct{}, error) {
		return struct{}{}, store.Prepare(ctx, s.s, create)
	})
	return err
}
