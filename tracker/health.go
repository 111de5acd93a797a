package tracker

import (
	"errors"
	"time"

	"github.com/boule-db/boule/spool"
)

var (
	errNoReplication = errors.New("no spool or no target is configured")
	errClosed        = errors.New("manager is closed")
)

// A State is the state of staging of a database or target.
type State string

// States, from best to worst.
const (
	StateOK        State = "ok"        // staged, or nothing to stage
	StateUnknown   State = "unknown"   // not evaluated yet, or a failed transaction is to be rolled back
	StateWAL       State = "wal"       // in WAL mode, of which no snapshot is taken
	StateBehind    State = "behind"    // the last snapshot failed; a retry is due at NextTry
	StateUntracked State = "untracked" // no spool could be opened
)

var severity = map[State]int{StateOK: 0, StateUnknown: 1, StateWAL: 2, StateBehind: 3, StateUntracked: 4}

// Health describes how the staging of a database goes. That nobody writes to it says nothing
// about its uploads.
type Health struct {
	Path            string
	State           State // the worst of the targets
	LastError       error // of that target; ErrWAL in WAL mode
	Since           time.Time
	Targets         []TargetHealth
	ScrubMismatches int // chunks that changed without a notice
}

// TargetHealth describes how staging for one target goes.
type TargetHealth struct {
	Key          spool.Key
	State        State
	LastError    error
	Since        time.Time // of the state
	NextTry      time.Time // zero unless an attempt failed
	Failures     int       // in a row
	LastSnapshot time.Time // last success of this process
	Sequence     uint64    // of what was staged when last evaluated
	Housekeeping error     // why garbage could not be collected, or ready not be published
}

// Health reports on the database; false when it was never seen.
func (m *Manager) Health(path string) (Health, bool) {
	if d := m.find(path); d != nil {
		return d.health(), true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refused[path]; err != nil {
		return Health{Path: path, State: StateUntracked, LastError: err}, true
	}
	return Health{}, false
}

// All reports on every database that was tracked, and is remembered.
func (m *Manager) All() []Health {
	var all []Health
	for _, d := range m.all() {
		all = append(all, d.health())
	}
	return all
}

func (d *database) health() Health {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := Health{Path: d.db.Path, State: StateOK, ScrubMismatches: d.scrubs}
	for i, ts := range d.targets {
		th := TargetHealth{
			Key: ts.key, State: ts.state, LastError: ts.err, Since: ts.since, NextTry: ts.nextTry,
			Failures: ts.failures, LastSnapshot: ts.lastSnapshot, Sequence: ts.sequence,
			Housekeeping: ts.housekeeping,
		}
		if d.wal && severity[th.State] < severity[StateWAL] {
			th.State, th.LastError = StateWAL, ErrWAL
		}
		h.Targets = append(h.Targets, th)
		if i == 0 || severity[th.State] > severity[h.State] {
			h.State, h.LastError, h.Since = th.State, th.LastError, th.Since
		}
	}
	return h
}

// Keys returns the keys of the spools of a tracked database, one for each target.
func (m *Manager) Keys(path string) []spool.Key {
	d := m.find(path)
	if d == nil {
		return nil
	}
	var keys []spool.Key
	for _, ts := range d.targets {
		keys = append(keys, ts.key)
	}
	return keys
}
