//go:build linux || darwin || freebsd

package model

import (
	"errors"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/tracker"
)

// run takes the steps of the plan, and then lets everything come to rest.
func (w *world) run() {
	w.watch.look()
	for _, s := range w.plan.steps {
		if w.failed() {
			return
		}
		w.note("step", s.String(), nil)
		w.count.verbs[s.verb.String()]++
		w.take(s)
	}
	if !w.failed() {
		w.settle()
	}
}

func (w *world) failed() bool { return len(w.problems) > 0 }

// An event is something that happened.
type event struct {
	who, what string
	err       error
}

func (e event) String() string {
	s := e.who + ": " + short(e.what)
	if e.err != nil {
		s += ": " + e.err.Error()
	}
	return s
}

func (w *world) note(who, what string, err error) { w.trace = append(w.trace, event{who, what, err}) }

// end releases everything that could outlive the run.
func (w *world) end() {
	for _, p := range w.procs {
		p.kill()
	}
	w.gate.mu.Lock()
	w.gate.open = true
	w.gate.mu.Unlock()
	for _, s := range w.gate.all() {
		w.gate.release(s, errKilled)
	}
	w.strange.release()
	w.db.file.Close()
}

// let lets an operation happen, or fail, and judges what came of it.
func (w *world) let(s *stop, err error) {
	w.count.steps++
	w.note(s.who, s.what, err)
	if err != nil {
		w.count.faults++
	}
	w.gate.release(s, err)
	if alters(s) {
		w.watch.look()
	}
}

// next returns what an actor does next, if it can.
func (w *world) next(who string) *stop {
	for _, s := range w.gate.enabled() {
		if s.who == who {
			return s
		}
	}
	return nil
}

// take takes a step.
func (w *world) take(s step) {
	p := func() *process { return w.alive(s.a % len(w.procs)) }
	switch s.verb {
	case act:
		w.act(s)
	case goOn:
		if all := w.gate.enabled(); len(all) > 0 {
			w.burst(all[s.a%len(all)], s)
		} else {
			w.elapse(time.Minute)
		}
	case write:
		w.transact(p(), s, w.txn(s.c))
	case rollBack:
		t := w.txn(s.c)
		t.rollBack = true
		w.transact(p(), s, t)
	case exclusive:
		t, u := w.txn(s.b), w.txn(s.c)
		t.exclusive, u.exclusive = s.c&1 == 0, s.c&2 == 0
		w.transact(p(), s, t, u, txn{})
	case foreign:
		w.foreign(w.txn(s.c))
		w.burst(w.next(w.strange.String()), s)
	case read:
		w.task(p(), s, "read", func(c *conn) error { return c.opened(c.read) })
	case closing:
		w.task(p(), s, "close", (*conn).close)
	case visit:
		w.task(p(), s, "visit", (*conn).visit)
	case flush:
		w.flush(p(), w.targets[s.b%len(w.targets)], nil)
	case kill:
		w.count.kills++
		w.procs[s.a%len(w.procs)].kill()
		w.watch.look()
	case killAt:
		if all := w.gate.enabled(); len(all) > 0 {
			if p := all[s.a%len(all)].p; p != nil {
				w.count.kills++
				p.kill()
				w.watch.look()
			}
		}
	case reboot:
		w.reboot(uint64(s.a)<<8 | uint64(s.b)<<4 | uint64(s.c))
		w.watch.look()
	case fault:
		w.fault(s)
	case late:
		w.carryOutLate(s.a)
	case wait:
		w.elapse([]time.Duration{10, 100, 1000, 3000, 6000, 20000, 200000}[s.b%7] * time.Millisecond)
	}
}

// elapse lets time pass until something happens. It reports whether something did.
func (w *world) elapse(d time.Duration) bool { return w.gate.elapse(d) }

// txn makes a transaction of a number. What it writes is mostly new, but contents come back, too.
func (w *world) txn(n int) txn {
	var t txn
	v := n / 16
	set := func(at, v int) { t.changes = append(t.changes, change{at: at, v: v, size: -1}) }
	fresh := func() int {
		w.contents++
		return 100 + w.contents
	}
	switch k := n % 16; k {
	case 0, 1: // the header only
	case 2, 3, 4, 5: // one chunk
		set(k-1, fresh())
	case 6: // two
		set(1, fresh())
		set(3, v)
	case 7: // all
		for i := range 5 {
			set(i, fresh())
		}
	case 8, 9, 10: // one that is like another, or zeros
		set(k-7, v)
	case 11: // smaller, or larger
		t.changes = append(t.changes, change{size: (n/16%5)*chunkSize + 512*n})
	case 12: // at the end
		set(maxChunks, fresh())
	case 13: // the first, too
		set(0, fresh())
		set(2, fresh())
	default:
		set(2, fresh())
		t.rollBack = true
	}
	return t
}

// task begins something, unless the connection is at work, which then goes on until the step says.
func (w *world) task(p *process, s step, name string, f func(*conn) error) {
	c := p.conns[(s.a/4)%len(p.conns)]
	if !c.busy {
		w.begin(c, name, func() error { return f(c) })
	}
	w.burst(w.next(c.String()), s)
}

// opened opens the connection first.
func (c *conn) opened(f func() error) error {
	if c.t == nil {
		if err := c.open(tracker.Normal); err != nil {
			return err
		}
	}
	return f()
}

func (w *world) transact(p *process, s step, txns ...txn) {
	w.task(p, s, s.verb.String(), func(c *conn) error {
		return c.opened(func() error { return c.transact(txns) })
	})
}

func (w *world) foreign(t txn) {
	if c := w.strange; !c.busy {
		w.begin(c, "foreign", func() error { return c.transact([]txn{t}) })
	}
}

// flush has a copier flush a spool. What it promises is checked.
func (w *world) flush(p *process, target spool.Target, done func(error)) {
	w.count.tasks["flush"]++
	key := w.key(target.ID)
	goal := w.sequence(target.ID)
	p.flushing[target.ID] = true
	b := w.buckets[target.ID]
	go func() {
		err := p.c.Flush(p.ctx, p.roots[target.ID], key)
		if p.dead.Load() {
			return
		}
		p.flushing[target.ID] = false
		if m := b.manifests[w.name]; err == nil && !b.raced && (m == nil || m.Sequence < goal) {
			w.bad("flush", "manifest %d was staged before, and the store has %v", goal, m)
		}
		if done != nil {
			done(err)
		}
	}()
	synctest.Wait()
}

// fault makes the next operation of an actor fail.
func (w *world) fault(s step) {
	all := w.gate.enabled()
	if len(all) == 0 {
		return
	}
	st := all[s.a%len(all)]
	switch {
	case st.busy != nil:
		w.let(st, st.busy)
	case st.put != nil:
		w.let(st, []error{errLost, errLate, store.ErrAccess, errOutage}[s.b%4])
	case st.class == head:
		w.let(st, errOutage)
	case st.op == fsx.OpLock:
		w.let(st, fsx.ErrLocked)
	case st.op != "":
		w.let(st, diskFaults[s.b%len(diskFaults)])
	default:
		w.let(st, nil) // SQLite's own operations do not fail here
	}
}

var errOutage = errors.New("model: the store is out of order")

func (w *world) carryOutLate(i int) {
	if len(w.late) == 0 {
		return
	}
	i %= len(w.late)
	r := w.late[i]
	w.late = append(w.late[:i:i], w.late[i+1:]...)
	w.count.late++
	w.note("late", "put "+r.key, nil)
	r.carryOut(true)
	w.watch.look()
}

// act lets an actor go on, who begins something if there is nothing that it is at.
func (w *world) act(s step) {
	writers, copiers := w.plan.procs*w.plan.conns, w.plan.procs*w.plan.targets
	i := s.a % (writers + copiers)
	if i < writers {
		p := w.alive(i % w.plan.procs)
		c := p.conns[i/w.plan.procs]
		if !c.busy {
			w.count.tasks["write"]++
			w.begin(c, "write", func() error {
				return c.opened(func() error { return c.transact([]txn{w.txn(s.c)}) })
			})
		}
		w.burst(w.next(c.String()), s)
		return
	}
	i -= writers
	p, t := w.alive(i%w.plan.procs), w.targets[i/w.plan.procs]
	if w.next(p.copier(t.ID)) == nil {
		if p.flushing[t.ID] {
			w.elapse(time.Second) // it waits for something
		} else {
			w.flush(p, t, nil)
		}
	}
	w.burst(w.next(p.copier(t.ID)), s)
}

// burst lets an actor do several operations, so that those of others come between where the
// step says and nowhere else. It does nothing without a stop.
func (w *world) burst(st *stop, s step) {
	for n := 0; st != nil && n < 500 && !w.failed(); n++ {
		w.let(st, nil)
		st = w.next(st.who)
		if st != nil && w.stops(s, st, n+1) {
			return
		}
	}
}

// stops says whether an actor stops after n operations, before another.
func (w *world) stops(s step, st *stop, n int) bool {
	switch u := until(s.b); u {
	case operations:
		return n > s.c
	case visible:
		return st.class != private && n > s.c
	case conflict:
		for _, o := range w.gate.all() {
			if o.who != st.who && o.class == st.class && st.class != private {
				return true
			}
		}
		return false
	default:
		return u > until(end) && st.class == class(u)
	}
}

// settle lets everybody finish, evaluates and flushes once more, and compares.
func (w *world) settle() {
	w.note("step", "settle", nil)
	w.settling = true
	if !w.finish() {
		return
	}
	for len(w.late) > 0 && !w.failed() {
		w.carryOutLate(0)
	}
	p := w.alive(0)
	c := p.conns[0]
	if len(w.db.data) == 0 && !w.db.hot() {
		w.transact(p, step{}, txn{})
		w.finish()
	}
	for _, b := range w.buckets {
		if b.late { // only a newer manifest replaces one that nobody knows of
			w.transact(p, step{}, txn{})
			w.finish()
			break
		}
	}
	for try := 0; ; try++ {
		w.task(p, step{}, "visit", (*conn).visit)
		if !w.finish() {
			return
		}
		left := 0
		for _, t := range w.targets {
			left++
			w.flush(p, t, func(err error) {
				if err == nil {
					left--
				} else {
					w.note("flush", t.ID, err)
				}
			})
			if !w.finish() {
				return
			}
		}
		if left == 0 {
			break
		}
		if try == 4 {
			w.bad("I15", "%d targets cannot be flushed", left)
			return
		}
	}
	if c.busy {
		w.bad("I16", "%s does not end", c)
	}
	for _, t := range w.targets {
		if err := w.buckets[t.ID].restores(); err != nil {
			w.bad("I15", "target %s: %v", t.ID, err)
		}
	}
	w.watch.rest()
}

// finish lets everybody go on until nobody can, and time pass. It reports whether that is well.
func (w *world) finish() bool {
	idle := 0
	for n := 0; idle < 30; n++ {
		if w.failed() {
			return false
		}
		if n > 20000 {
			w.bad("I16", "it never ends")
			return false
		}
		all := w.gate.enabled()
		if len(all) == 0 {
			if !w.elapse(2 * time.Second) {
				idle++
			}
			continue
		}
		idle = 0
		w.let(all[0], nil)
	}
	for _, s := range w.gate.all() {
		w.bad("I16", "%s waits forever: %s; locks: %v", s.who, s.what, w.db)
	}
	return !w.failed()
}
