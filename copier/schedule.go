package copier

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// dueHeap orders entries by the time of their next pass.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].dueAt.Before(h[j].dueAt) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}

// earliest returns when the next pass may start. Callers hold mu.
func (e *entry) earliest(now time.Time) time.Time {
	at := now
	for _, t := range []time.Time{e.notBefore, e.retryAt} {
		if t.After(at) {
			at = t
		}
	}
	return at
}

// again returns when a pass may start that the one before has asked for: whatever the spacing, which it knows. Callers hold mu.
func (e *entry) again(at time.Time) time.Time {
	if e.retryAt.After(at) {
		return e.retryAt
	}
	return at
}

// enqueue makes a pass due at the time, or earlier if one was. Callers hold mu and dispatch.
func (c *Copier) enqueue(e *entry, at time.Time) {
	switch e.state {
	case idle:
		e.state, e.dueAt = queued, at
		heap.Push(&c.due, e)
	case queued:
		if at.Before(e.dueAt) {
			e.dueAt = at
			heap.Fix(&c.due, e.index)
		}
	case waiting, running, parked: // whoever ends that state looks at noted
	}
}

// dispatch starts the passes that are due and find a place, and sets the timer for the next.
// Callers hold mu.
func (c *Copier) dispatch() {
	if c.closed {
		return
	}
	now := time.Now()
	for len(c.due) > 0 && !c.due[0].dueAt.After(now) {
		e := heap.Pop(&c.due).(*entry)
		e.state = waiting
		if len(e.remote.waiting) == 0 {
			c.waiting = append(c.waiting, e.remote)
		}
		e.remote.waiting = append(e.remote.waiting, e)
	}
	for c.startRound() {
	}

	var next time.Time
	if len(c.due) > 0 {
		next = c.due[0].dueAt
	}
	if len(c.order) > 0 && c.opts.Rescan > 0 && (next.IsZero() || c.lookAt.Before(next)) {
		next = c.lookAt
	}
	switch {
	case next.IsZero():
		if c.timer != nil {
			c.timer.Stop()
		}
	case c.timer == nil:
		c.timer = time.AfterFunc(next.Sub(now), c.tick)
	default:
		c.timer.Reset(next.Sub(now))
	}
}

// startRound gives each remote that waits one place, if there is one for it. It reports whether
// it gave any.
func (c *Copier) startRound() bool {
	started := false
	for range len(c.waiting) {
		r := c.waiting[0]
		copy(c.waiting, c.waiting[1:])
		c.waiting = c.waiting[:len(c.waiting)-1]
		if c.admits(r) {
			e := r.waiting[0]
			r.waiting[0] = nil
			r.waiting = r.waiting[1:]
			c.start(e)
			started = true
		}
		if len(r.waiting) > 0 {
			c.waiting = append(c.waiting, r)
		}
	}
	return started
}

// admits reports whether a pass at the remote may start. A remote gets at most half of the
// places left, so that several slow ones leave places to others; one that does not answer gets
// one place, and all of those together at most half.
func (c *Copier) admits(r *remote) bool {
	free := c.opts.Workers - c.running
	switch {
	case free <= 0:
		return false
	case !r.well.Load():
		return r.running == 0 && c.probing < max(c.opts.Workers/2, 1)
	default:
		return r.running == 0 || r.running < free/2
	}
}

// An activity is a pass in the background or a flush.
type activity struct{ cancel context.CancelFunc }

// begin counts an activity in. Callers hold mu.
func (c *Copier) begin(ctx context.Context) (context.Context, *activity) {
	ctx, cancel := context.WithCancel(ctx)
	a := &activity{cancel}
	c.active[a] = struct{}{}
	return ctx, a
}

// end counts an activity out. Callers hold mu.
func (c *Copier) end(a *activity) {
	a.cancel()
	delete(c.active, a)
	if c.closed && len(c.active) == 0 {
		close(c.drained)
		return
	}
	c.dispatch()
}

// start begins a pass in the background, unless a flush is at it. Callers hold mu.
func (c *Copier) start(e *entry) {
	select {
	case e.turn <- struct{}{}:
	default:
		e.state = parked
		return
	}
	ctx, a := c.begin(context.Background())
	e.state = running
	c.running++
	e.remote.running++
	probe := !e.remote.well.Load()
	if probe {
		c.probing++
	}
	go func() {
		out := c.run(ctx, e, false)

		c.mu.Lock()
		defer c.mu.Unlock()
		c.running--
		e.remote.running--
		if probe {
			c.probing--
		}
		<-e.turn
		e.state = idle
		c.settle(e, out)
		c.end(a)
	}()
}

// settle takes note of the outcome of a pass, and makes the next due if there is to be one.
// Callers hold mu.
func (c *Copier) settle(e *entry, out outcome) {
	now := time.Now()
	e.notBefore, e.keepUntil = out.allowedAt, out.restedAt
	c.note(e, out, now, false)
	if c.closed {
		return
	}
	switch {
	case out.err != nil:
		c.enqueue(e, e.earliest(now))
	case e.noted.Load(), out.more:
		c.enqueue(e, e.earliest(now))
	case !out.later.IsZero():
		c.enqueue(e, e.again(out.later))
	}
	c.dropIdle(e)
}

// note updates the status by the outcome of a pass; told says that somebody gets its error, so that
// the log need not have it too. Callers hold mu.
func (c *Copier) note(e *entry, out outcome, now time.Time, told bool) {
	if out.path != "" {
		e.status.Path = out.path
	}
	if out.target != "" {
		e.status.Target = out.target
	}
	if out.sequence != 0 {
		e.status.LastSequence = out.sequence
	}
	if !out.success.IsZero() {
		e.status.LastSuccess = out.success
		e.status.Failures = 0
	}
	log := c.opts.Logger.With("db", e.status.Path, "target", e.status.Target)
	if out.err == nil {
		if out.more || out.doubt {
			return
		}
		e.trying.Store(nil)
		if e.status.LastError != nil {
			log.Info("replication works again", "after", now.Sub(e.status.ErrorSince))
		}
		e.status.LastError, e.status.ErrorSince, e.status.Failures = nil, time.Time{}, 0
		e.retryAt, e.remoteFault, e.complaint = time.Time{}, false, ""
		return
	}
	if errors.Is(out.err, context.Canceled) {
		e.noted.Store(true) // ended early, which is nobody's failure
		log.Debug("pass ended early", "err", out.err)
		return
	}
	if e.status.LastError == nil {
		e.status.ErrorSince = now
	}
	e.status.LastError = out.err
	e.status.Failures++
	c.counts.failures.Add(1)
	e.counts.failures.Add(1)
	pause := c.opts.MinBackoff << min(e.status.Failures-1, 20)
	pause = min(pause, c.opts.MaxBackoff)
	e.retryAt = now.Add(pause - c.opts.below(pause/4+1))
	e.remoteFault = out.remoteFault
	if s := complaint(out.err); s != e.complaint && !told {
		e.complaint = s
		log.Warn("replication fails", "err", out.err)
	}
}

// complaint returns what makes a failure another one than the last: its words, or those of the
// target, less those with digits, which differ from one try to the next.
func complaint(err error) string {
	if fault := (*remoteError)(nil); errors.As(err, &fault) {
		err = fault.err
	}
	words := strings.Fields(err.Error())
	words = slices.DeleteFunc(words, func(w string) bool { return strings.ContainsAny(w, "0123456789") })
	return strings.Join(words, " ")
}

// revive makes the passes due that wait because the remote had failed.
func (c *Copier) revive(r *remote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.closed || now.Sub(r.revived) < 10*c.opts.MinBackoff {
		return
	}
	r.revived = now
	for _, e := range c.order {
		if e.remote == r && e.state == queued && e.remoteFault && e.retryAt.After(now) {
			e.retryAt = now.Add(c.opts.below(c.opts.MinBackoff + 1))
			c.enqueue(e, e.earliest(now))
		}
	}
	c.dispatch()
}

// tick is what the timer calls.
func (c *Copier) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	now := time.Now()
	if c.opts.Rescan > 0 && len(c.order) > 0 && !c.lookAt.After(now) {
		c.lookAt = now.Add(c.opts.jitter(c.opts.Rescan))
		if c.nextLook >= len(c.order) {
			c.nextLook = 0
		}
		e := c.order[c.nextLook]
		c.nextLook++
		if e.state == idle {
			c.enqueue(e, e.earliest(now))
		}
	}
	c.dispatch()
}
