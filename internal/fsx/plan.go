package fsx

import (
	"fmt"
	"sync"
)

// A Plan decides for [Faulty] which call fails. It may serve several FS, which
// are then counted together. A nil *Plan injects nothing.
type Plan struct {
	n     int
	err   error
	crash bool

	mu    sync.Mutex
	calls int
	hit   string
}

// FailAt makes the call number n fail with err, counted from 0, once.
func FailAt(n int, err error) *Plan { return &Plan{n: n, err: err} }

// CrashAt lets the process die before its call number n, counted from 0: that call
// and all later ones fail with [ErrCrashed], so that nothing the code does
// afterwards has any effect. Locks are released when they are closed, as the
// system would.
func CrashAt(n int) *Plan { return &Plan{n: n, err: ErrCrashed, crash: true} }

// Inject is what [Faulty] calls.
func (p *Plan) Inject(op Op, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.calls
	p.calls++
	if i == p.n {
		p.hit = fmt.Sprintf("%s %s", op, name)
	}
	if i == p.n || p.crash && i > p.n {
		return fmt.Errorf("%s %s: %w", op, name, p.err)
	}
	return nil
}

// Wrap returns [Faulty] with this plan.
func (p *Plan) Wrap(fsys FS) FS { return Faulty(fsys, p.Inject) }

// Hit returns the call that the plan was about, "op name"; "" if it never came to that.
func (p *Plan) Hit() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hit
}

// Calls returns how many calls there were.
func (p *Plan) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}
