package tracker

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/boule-db/boule/manifest"
)

// evaluation says what the next unlock has to do.
type evaluation int

const (
	clean   evaluation = iota // nothing
	unknown                   // see whether what is staged describes the database
	dirty                     // take a snapshot: this connection wrote
)

// A Tracker follows one connection to a database. It is not safe for concurrent use.
type Tracker struct {
	m         *Manager
	db        *database // nil if untracked
	untracked error
	file      File
	path      string
	log       *slog.Logger
	mode      Mode

	eager bool // the next unlock evaluates whatever the state
	state evaluation
	full  bool // what is in dirty is not all
	dirty dirtySet
	prev  []byte // id when EXCLUSIVE was taken, or after the last snapshot under it

	base     []byte // id before the burst that this continues; nil if it continues none
	token    uint64 // of the deferred snapshot that this continues; zero if it continues none
	adopted  bool   // all that is dirty is of such a burst, nothing of this connection
	recorded bool   // the database has the record of a burst

	claimed bool  // db.staging is held for the next evaluation, or for the rest
	rest    *rest // what the last snapshot has left until the lock is released; nil if nothing

	meanwhile *meanwhile // this is to be told what the connection wrote; nil if it is to take a snapshot

	renewed bool   // the id was replaced since EXCLUSIVE was taken or a snapshot
	uuid    []byte // by this
	stuck   bool   // the id could not be replaced
	noAttr  bool   // the filesystem is known to have no attributes
}

// guard runs f, and other if f panics, so that no bug in here reaches SQLite.
func (t *Tracker) guard(op string, f func(), other func(error)) {
	defer func() {
		if r := recover(); r != nil {
			err := fmt.Errorf("%w: %s: %v", ErrPanic, op, r)
			t.log.Error("bug: panic while tracking", "op", op, "panic", r, "stack", string(debug.Stack()))
			other(err)
		}
	}()
	f()
}

// LockedExclusive says that EXCLUSIVE was just obtained. The id that the database has now is what
// an incremental snapshot has to start from.
func (t *Tracker) LockedExclusive() {
	t.renewed = false
	if t.db == nil {
		return
	}
	t.guard("lock", t.noteID, func(error) { t.full = true })
}

func (t *Tracker) noteID() {
	if t.state == dirty {
		t.full = true // of an earlier transaction, since which others may have written
	}
	t.forget()
	sum, err := t.headerSum()
	if err == nil {
		t.prev = t.versionID(sum)
	}
}

// headerSum reads the header's fingerprint.
func (t *Tracker) headerSum() (manifest.Fingerprint, error) {
	var header [manifest.HeaderSize]byte
	n, err := readAt(t.file, header[:], 0)
	if err != nil {
		return manifest.Fingerprint{}, err
	}
	return manifest.HeaderSum(header[:n]), nil
}

func (t *Tracker) versionID(header manifest.Fingerprint) []byte {
	return versionID(t.file.Fd(), header, t.noAttr)
}

// WillWrite says that n bytes at off are about to be written to the file.
func (t *Tracker) WillWrite(off int64, n int) {
	if !t.renewed {
		t.renew()
	}
	if t.db == nil {
		return
	}
	t.state = dirty
	t.dirty.write(off, n)
}

// WillTruncate says that the size of the file is about to change.
func (t *Tracker) WillTruncate(oldSize, newSize int64) {
	if !t.renewed {
		t.renew()
	}
	if t.db == nil {
		return
	}
	t.state = dirty
	t.dirty.from(min(oldSize, newSize))
}

// renew replaces the version id, so that no snapshot taken before is mistaken for one of what
// is written now.
func (t *Tracker) renew() {
	t.renewed = true
	t.guard("renew version id", t.setID, func(error) { t.stuck = true })
}

func (t *Tracker) setID() {
	if t.noAttr {
		return
	}
	t.uuid = newUUID()
	err := setAttr(t.file.Fd(), attrName, t.uuid)
	t.noAttr = errors.Is(err, errNoAttr)
	t.stuck = err != nil && !t.noAttr
	if t.stuck && t.db != nil {
		t.db.warnAttr(err)
	}
}

// NeedsSnapshot reports whether [Tracker.Snapshot] would do anything. It is cheap. If it says no
// the connection may unlock.
func (t *Tracker) NeedsSnapshot() bool {
	switch {
	case t.db == nil:
		return false
	case t.eager:
		return true
	case t.state == dirty:
		if !t.db.gated(time.Now()) {
			return true
		}
		t.full = true // once unlocked, others may write
	case t.state == unknown:
		wait, any := t.db.failing()
		if !any {
			t.state = clean // others repaired it
		}
		return any && wait <= time.Now().UnixNano()
	}
	return false
}

// Claim makes all other snapshots of the database wait for the next [Tracker.Snapshot] of this
// connection, or for [Tracker.Unclaim]. It is for who is about to downgrade EXCLUSIVE to SHARED, and
// would find somebody else at work on a snapshot, a full one perhaps, who came in between. One that gave
// way and still makes files is not waited for; it goes on when it has been told what this connection wrote.
func (t *Tracker) Claim() {
	if t.db != nil && !t.join() {
		t.claim()
	}
}

func (t *Tracker) claim() {
	if !t.claimed {
		t.db.staging.Lock()
		t.claimed = true
	}
}

// Unclaim ends what Claim began.
func (t *Tracker) Unclaim() {
	t.leave()
	if t.claimed && t.rest == nil {
		t.claimed = false
		t.db.staging.Unlock()
	}
}

// Snapshot stages the database for every target that needs it. What fails is tried again when
// its time has come, by this connection or another. The caller calls [Tracker.Unlocked] when it has released the lock.
func (t *Tracker) Snapshot(held Held) {
	t.Unlocked()
	defer t.Unclaim()
	if !t.NeedsSnapshot() {
		return
	}
	t.guard("snapshot", func() { t.evaluate(held) }, func(err error) {
		t.state, t.full, t.eager = dirty, true, false
		due, _ := t.db.due(time.Now(), true, true)
		for _, ts := range due {
			t.db.distrust(ts)
			t.db.fail(ts, err)
		}
	})
}

// Untracked returns why nothing is staged for this connection; nil when it is.
func (t *Tracker) Untracked() error { return t.untracked }

// Close ends the tracking of the connection. What it wrote and could not stage is for others to
// repair.
func (t *Tracker) Close() {
	if t.db == nil {
		return
	}
	t.Unlocked()
	t.Unclaim()
	t.guard("close", func() {
		// What failed is due at its time anyway.
		if t.state == dirty && !t.db.gated(time.Now()) {
			t.db.leave()
		}
		t.m.detach(t.db, t.mode)
	}, func(error) {})
	t.db, t.untracked = nil, fmt.Errorf("%w: connection is closed", ErrUntracked)
}
