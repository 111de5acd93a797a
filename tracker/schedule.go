package tracker

import (
	"math"
	"math/rand/v2"
	"time"
)

// due returns the targets to be evaluated now, and those that have to wait. Of a database that was
// not written, only those that failed are evaluated, but all of them if all is set.
func (d *database) due(now time.Time, all, written bool) (due, waiting []*target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, nil
	}
	for _, ts := range d.targets {
		switch {
		case all, (written || ts.failures > 0) && !ts.nextTry.After(now):
			due = append(due, ts)
		case written || ts.failures > 0:
			waiting = append(waiting, ts)
		}
	}
	return due, waiting
}

const noTime = math.MaxInt64

// gated says that no target wants an attempt yet.
func (d *database) gated(now time.Time) bool { return now.UnixNano() < d.gate.Load() }

// failing says whether there are targets that failed, and when the first of them is due.
func (d *database) failing() (at int64, some bool) {
	at = d.failed.Load()
	return at, at != noTime
}

// regate computes the gates anew. d.mu is held.
func (d *database) regate() {
	gate, failed := int64(noTime), int64(noTime)
	for _, ts := range d.targets {
		next := int64(0)
		if ts.failures > 0 {
			next = ts.nextTry.UnixNano()
			failed = min(failed, next)
		}
		gate = min(gate, next)
	}
	d.gate.Store(gate)
	d.failed.Store(failed)
}

// backoff returns the time to wait after so many failures.
func (d *database) backoff(failures int) time.Duration {
	wait := d.m.opts.MaxBackoff
	if shift := max(failures-1, 0); shift < 30 && d.m.opts.MinBackoff<<shift < wait {
		wait = d.m.opts.MinBackoff << shift
	}
	return wait*3/4 + rand.N(wait/2+1)
}

// takeDue says whether a repair is due, and postpones the next. As long as a snapshot is put off the
// targets that failed wait for that: commits that skip one because of its time would be unknown to it.
func (d *database) takeDue(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.wal {
		return false
	}
	due := d.firstSight
	d.firstSight = false
	if !d.putOffUntil.IsZero() && !d.putOffUntil.After(now) {
		due = true
		d.putOffUntil = now.Add(d.backoff(1)) // unless it succeeds
	}
	if !d.restAt.IsZero() && !d.restAt.After(now) {
		due = true
		d.restAt = now.Add(d.backoff(1)) // unless it succeeds
	}
	if d.undone && !d.retryAt.After(now) {
		due = true
		d.retries++
		d.retryAt = now.Add(d.backoff(d.retries))
	}
	for _, ts := range d.targets {
		if d.putOffUntil.IsZero() && ts.failures > 0 && !ts.nextTry.After(now) {
			due = true
			ts.nextTry = now.Add(d.backoff(ts.failures))
		}
	}
	d.regate()
	return due
}

func (d *database) nextDue() (at time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.wal {
		return at, false
	}
	see := func(next time.Time) {
		if !ok || next.Before(at) {
			at, ok = next, true
		}
	}
	if d.firstSight {
		see(time.Time{})
	}
	if d.undone {
		see(d.retryAt)
	}
	if !d.putOffUntil.IsZero() {
		see(d.putOffUntil)
	}
	if !d.restAt.IsZero() {
		see(d.restAt)
	}
	for _, ts := range d.targets {
		if d.putOffUntil.IsZero() && ts.failures > 0 {
			see(ts.nextTry)
		}
	}
	return at, ok
}

// goOn makes a target wait no longer for its time, since a snapshot for it is under way.
func (d *database) goOn(ts *target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ts.nextTry = time.Now()
	d.regate()
}

// again makes an evaluation due that gave way. What is known of the targets stays as it was.
func (d *database) again() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.undone = true
	d.retries++
	d.retryAt = time.Now().Add(d.backoff(d.retries))
	d.m.rouse()
}

// leave notes that a connection ends without a snapshot of what it wrote.
func (d *database) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wal || d.undone {
		return
	}
	d.undone, d.retryAt, d.retries = true, time.Now(), 0
	for _, ts := range d.targets {
		ts.rescan = true // the id may not tell
	}
	d.m.rouse()
}
