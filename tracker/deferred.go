package tracker

import (
	"slices"
	"time"
)

// A deferred is a snapshot that is too large to be taken in a commit, and what is left to do of
// it. It is taken by an Eager tracker, which gives way to writers; what these change meanwhile
// comes to what is left. When that has become little, the next commit does it.
//
// It holds only as long as the database has the id that it says.
type deferred struct {
	id    []byte
	base  []byte   // id that the staged manifest must have if all else is to be taken from there
	token uint64   // who has this token has all the rest; zero: nobody
	left  dirtySet // chunks to be read
}

// resumeDeferred makes what is left of a deferred snapshot part of what this evaluation has to
// stage, if nobody has written since but this connection.
func (t *Tracker) resumeDeferred(v view) {
	d := t.db.deferred
	if d == nil {
		return
	}
	switch {
	case t.state == dirty && !t.adopted:
		if t.full || !sameID(d.id, t.prev) {
			t.db.loseDeferred()
			return
		}
		t.base = slices.Clone(d.base)
	case sameID(d.id, v.id):
		t.dirty.reset()
		t.state, t.adopted, t.full = dirty, true, false
		t.base = slices.Clone(d.base)
		t.prev = t.base
	default:
		t.db.loseDeferred()
		return
	}
	t.token = d.token
	t.dirty.merge(&d.left)
}

// maxLosses bounds how much longer than Patience a writer may have to wait: 5 s by default.
const maxLosses = 10

// loseDeferred forgets a deferred snapshot, because another process wrote.
func (d *database) loseDeferred() {
	if d.deferred.token != 0 {
		d.lose()
	}
	d.deferred = nil
}

func (d *database) lose() { d.losses = min(d.losses+1, maxLosses) }

// A race is that of a deferred snapshot with writers.
type race struct {
	laps  int // how often the snapshot gave way
	least int // of the chunks that were left then; zero: it did not yet
	vain  int // laps since then, in which there were not fewer
	haste int // how often it was decided to be faster because of that
	// effort is how often that did not help, as where files are made slowly: then writers have to wait longer.
	effort int
}

// A snapshot that takes few laps is hardly noticed. One that takes more makes writers wait longer, and one that does not gain on them
// leaves them less time in between: first that, since nobody notices the sum of many short waits as much as a long one.
const (
	politeLaps = 16
	maxSpurt   = 2 // 20 ms by default
	maxEffort  = 2 // 80 ms by default
	maxVain    = 8
	maxHaste   = 3 // pauses of 20, 5, 1.25 and 0.3 ms by default
)

// lap takes note of how many chunks are left. If writers are as fast as the snapshot, it would never end.
func (r *race) lap(left int) {
	r.laps++
	if r.least == 0 || left < r.least {
		r.least, r.vain = left, 0
		return
	}
	if r.vain++; r.vain <= maxVain {
		return
	}
	if r.vain = 0; r.haste < maxHaste {
		r.haste++
	} else {
		r.effort = min(r.effort+1, maxEffort)
	}
}

// patience is Options.Patience, and more after losses or in a race that takes long or is not won: of a database to which several
// processes write, or one a lot, nothing would ever be staged if nobody had to wait.
func (d *database) patience() time.Duration {
	spurt := min(d.race.laps/politeLaps, maxSpurt)
	return d.m.opts.Patience << min(d.losses+spurt+d.race.effort, maxLosses)
}

// pause is Options.Pause, and less in a race that is not won.
func (d *database) pause() time.Duration {
	return d.m.opts.Pause >> (2 * d.race.haste)
}

const (
	// fullEvery is the least time between the beginnings of full snapshots that commits leave to others.
	fullEvery = time.Second
	// raceEvery is the least time from the end of a race to the next one, in which writers are on their own.
	raceEvery = time.Second
)

// deferSnapshot leaves the snapshot to an Eager tracker, if it is too large for a commit and nothing
// speaks against it. It returns false if it is to be taken now.
//
// Under an EXCLUSIVE lock that stays, nobody could take it later. Where ids do not tell every
// transaction from the one before, nobody could tell later what has changed.
func (t *Tracker) deferSnapshot(held Held, v view, plans []*plan, forced bool) bool {
	limit := t.m.opts.CommitChunks
	if limit < 0 || held != Shared || t.eager || t.noAttr || t.stuck || len(v.id) == 0 {
		return false
	}
	large, anew := false, false
	for _, p := range plans {
		if p.base != nil && sameID(p.base.VersionID, v.id) {
			return false
		}
		anew = anew || p.err == nil && !p.current && !p.incremental
		large = large || p.err == nil && !p.current && p.needs(v.size, &t.dirty) > limit
	}
	if !large {
		return false
	}
	pause := time.Duration(0)
	if t.db.race.laps == 0 {
		pause = max(0, raceEvery-time.Since(t.db.racedAt))
	}
	if anew { // maybe since the spool is being deleted again and again: then neither hurry nor read everything all the time
		t.db.race = race{}
		pause = max(pause, fullEvery-time.Since(t.db.fullAt))
	}
	d := &deferred{id: v.id, token: t.token}
	d.left.reset()
	if forced {
		d.left.from(0)
	} else {
		if d.base = t.base; d.base == nil {
			d.base = t.prev
		}
		d.left.merge(&t.dirty)
	}
	t.keep(plans)
	for _, p := range plans {
		if p.err == nil && p.ts.producer.Unswept() { // so that there is little left to remove when the snapshot is taken
			p.collectEarly(t.db.name)
		}
	}
	t.postpone(d, pause)
	t.state, t.full, t.renewed = clean, false, false
	t.forget()
	return true
}

// giveWay ends an evaluation that others have to wait for. What it has done is not lost, if ids
// tell when it is to be done again.
func (t *Tracker) giveWay(v view, plans []*plan, b *builder) {
	if t.noAttr || len(v.id) == 0 || t.state == dirty && !t.adopted {
		written := t.state == dirty && !t.adopted
		t.state, t.full, t.eager = unknown, false, false
		if written {
			t.state, t.full = dirty, true
		}
		t.forget()
		t.db.lose()
		t.db.again()
		b.ahead.release()
		return
	}
	left := &b.left
	t.db.race.lap(len(left.list) + chunkCount(v.size) - int(min(left.tail, int64(chunkCount(v.size)))))
	t.db.tokens++
	d := &deferred{id: v.id, token: t.db.tokens}
	d.left.reset()
	d.left.merge(left)
	var gave []*plan
	for _, p := range plans {
		if p.yielded() {
			p.hot.token = d.token
			p.err = nil
			t.db.goOn(p.ts)
			gave = append(gave, p)
		}
	}
	t.keep(plans)
	t.postpone(d, t.db.pause())
	t.leaveRest(v, gave, &b.ahead)
	t.state, t.full, t.eager = unknown, false, false
	t.forget()
}

// keep leaves what is known of the spools to the next evaluation.
func (t *Tracker) keep(plans []*plan) {
	for _, p := range plans {
		if p.err == nil {
			p.ts.hot = p.hot
		}
	}
}

// postpone notes that the deferred snapshot is due after a pause.
func (t *Tracker) postpone(d *deferred, pause time.Duration) {
	t.db.deferred = d
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	t.db.putOffUntil = time.Now().Add(pause)
	t.m.rouse()
}
