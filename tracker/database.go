package tracker

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// A database is what all connections of a process to one database file share.
type database struct {
	m       *Manager
	db      spool.DB
	name    string // of its manifests
	targets []*target

	// Times (Unix, nanoseconds) before which no target, or none that failed, wants an attempt;
	// noTime if there is none.
	gate, failed atomic.Int64

	staging  sync.Mutex // held while snapshots are taken; taken before mu; guards what follows, and target.producer, target.hot
	deferred *deferred  // a snapshot to be taken, or to be gone on with; nil if there is none
	tokens   uint64     // given out
	losses   int        // of the progress of deferred snapshots, in a row
	race     race
	racedAt  time.Time // when the last one ended
	fullAt   time.Time // when an Eager tracker last began a full snapshot

	mu         sync.Mutex // guards what follows and the states of targets
	refs       int
	apps       int       // those of refs that the application has: others may end at any time
	firstSight bool      // to be visited once although nobody wrote, which also cleans up
	undone     bool      // a connection left without a snapshot of what it wrote
	retryAt    time.Time // when undone is due
	retries    int       // how often it was

	stagedAt    time.Time // when a snapshot was last staged
	restAt      time.Time // when the rest is to be done of what was staged; zero if there is none
	putOffAt    time.Time // when one was last put off
	putOffUntil time.Time // when one that was put off is due; zero if none was
	wal         bool      // when last evaluated
	warnedWAL   bool
	warnedAttr  bool
	scrubs      int // mismatches found
	meanwhile   *meanwhile
	closed      bool
}

// A target is the state of one target of a database.
type target struct {
	spec     spool.Target
	key      spool.Key
	producer *spool.Producer
	hot      *hot      // what is known of the spool; nil if nothing is
	cleaned  time.Time // when its scratch directory was; guarded like producer
	folded   bool      // index blocks may be in the way since then

	state        State
	err          error
	since        time.Time
	nextTry      time.Time
	failures     int
	lastSnapshot time.Time
	sequence     uint64
	housekeeping error
	opened       bool  // a spool could be opened once
	rescan       bool  // ids may be equal although the content differs
	restage      error // what was uploaded is not there: why
	demands      int   // how often that was found
}

func newDatabase(m *Manager, db spool.DB) *database {
	d := &database{m: m, db: db, name: manifest.Name(m.opts.Hostname, db.Path)}
	for _, spec := range m.opts.Targets {
		d.targets = append(d.targets, &target{
			spec: spec, key: spool.KeyOf(db, spec.ID), state: StateUnknown, since: time.Now(),
		})
	}
	d.regate()
	return d
}

func (d *database) attach(mode Mode) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refs++
	if mode != Eager {
		d.apps++
	}
	return d.refs
}

func (d *database) detach(mode Mode) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refs--
	if mode != Eager {
		d.apps--
	}
	return d.refs
}

func (d *database) unused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refs == 0
}

// forgettable says that nothing would be lost with the record.
func (d *database) forgettable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refs > 0 || d.undone || d.firstSight || !d.putOffUntil.IsZero() {
		return false
	}
	for _, ts := range d.targets {
		if ts.failures > 0 || ts.rescan || ts.restage != nil {
			return false
		}
	}
	return true
}

func (d *database) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.closeProducers()
}

// closeProducers releases the spools; they are opened again when needed.
func (d *database) closeProducers() {
	d.staging.Lock()
	defer d.staging.Unlock()
	d.releaseProducers()
}

// releaseProducers is closeProducers for who holds staging.
func (d *database) releaseProducers() {
	for _, ts := range d.targets {
		if ts.producer != nil {
			ts.producer.Close()
			ts.producer, ts.hot = nil, nil
		}
	}
	d.m.cold(d)
}

// fail notes a failed attempt.
func (d *database) fail(ts *target, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	state := StateBehind
	if !ts.opened {
		state = StateUntracked
	}
	ts.set(state)
	ts.failures++
	ts.err = err
	ts.nextTry = time.Now().Add(d.backoff(ts.failures))
	d.regate()
	d.m.rouse()
	level := d.m.log.Warn
	if ts.failures > 1 {
		level = d.m.log.Debug
	}
	level("snapshot failed, to be repaired later", "db", d.db.Path, "target", ts.key.Target,
		"failures", ts.failures, "next", ts.nextTry, "err", err)
}

// succeed notes that what is staged describes the database now.
func (d *database) succeed(p *plan, sequence uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ts := p.ts
	if ts.demands != p.demands {
		// A full one has been demanded meanwhile, and is due. The copier does not take this one as
		// it is, but tells whoever waits for it.
		ts.set(StateOK)
		return
	}
	if ts.failures > 0 {
		d.m.log.Info("snapshots work again", "db", d.db.Path, "target", ts.key.Target,
			"failures", ts.failures, "since", ts.since)
	}
	ts.set(StateOK)
	ts.err, ts.failures, ts.nextTry = nil, 0, time.Time{}
	ts.rescan, ts.restage = false, nil
	ts.sequence = sequence
	if !p.current {
		ts.lastSnapshot = time.Now()
		d.stagedAt = ts.lastSnapshot
	}
	d.regate()
}

func (ts *target) set(s State) {
	if ts.state != s {
		ts.state, ts.since = s, time.Now()
	}
}

// settled notes that the database was evaluated and leaves nothing to do, but for targets that
// failed.
func (d *database) settled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.undone = false
	d.putOffUntil = time.Time{}
	d.restAt = time.Time{}
}

// restEvery is how long a part of what a snapshot has left keeps others from the next.
const restEvery = 100 * time.Millisecond

// lookForRest makes an evaluation due if a snapshot has left something to do, so that it does not wait for the next transaction.
func (d *database) lookForRest() {
	unfinished := func(ts *target) bool { return ts.producer != nil && ts.producer.Unfinished() }
	if !slices.ContainsFunc(d.targets, unfinished) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.restAt = time.Now().Add(restEvery)
	d.m.rouse()
}

// vacant notes that the database has nothing to stage.
func (d *database) vacant() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ts := range d.targets {
		if ts.failures == 0 {
			ts.set(StateOK)
			ts.err = nil
		}
	}
}

// unsettled notes that nothing can be said about the database now.
func (d *database) unsettled(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ts := range d.targets {
		if ts.failures == 0 {
			ts.set(StateUnknown)
			ts.err = err
		}
	}
}

// distrust makes the next evaluation of a target ignore that ids are equal.
func (d *database) distrust(ts *target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ts.rescan = true
}

// sight notes that the database is seen for the first time, or for the first time out of WAL mode.
// In WAL mode there is nothing to repair, and another connection, which a repair is, would be in
// the way of leaving it.
func (d *database) sight(wal bool, mode Mode) {
	d.setWAL(wal)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !wal && mode != Eager {
		d.firstSight = true
		d.m.rouse()
	}
}

func (d *database) inWAL() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wal
}

// setWAL notes whether the database is in WAL mode, and warns once.
func (d *database) setWAL(wal bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wal = wal
	if wal && !d.warnedWAL {
		d.warnedWAL = true
		d.m.log.Warn("database is in WAL mode and is not replicated; set journal_mode to DELETE, TRUNCATE or PERSIST",
			"db", d.db.Path)
	}
}

// warnAttr reports a version id that cannot be set, once.
func (d *database) warnAttr(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.warnedAttr {
		d.warnedAttr = true
		d.m.log.Warn("version id cannot be replaced: snapshots are full", "db", d.db.Path, "err", err)
	}
}

// desync makes the next evaluation of a target full, if it is one of ours.
func (d *database) desync(key spool.Key, reason error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ts := range d.targets {
		if ts.key != key {
			continue
		}
		if reason == nil {
			reason = errors.New("replica lacks data")
		}
		ts.restage, ts.err = reason, reason
		ts.demands++
		ts.set(StateBehind)
		ts.failures = max(ts.failures, 1)
		ts.nextTry = time.Now()
		d.regate()
		return true
	}
	return false
}

// dropStaged forgets what is staged now, in case that this process ends before the next
// evaluation.
func (d *database) dropStaged(key spool.Key) {
	for _, ts := range d.targets {
		if ts.key == key {
			d.m.drop(d.db, ts.spec)
		}
	}
}

// keep notes what could not be tidied up.
func (d *database) keep(ts *target, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && ts.housekeeping == nil {
		d.m.log.Warn("spool not tidied", "db", d.db.Path, "target", ts.key.Target, "err", err)
	}
	ts.housekeeping = err
}
