//go:build unix

package faults_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
)

// A tracking is a process with a database, of which the tracker is told what SQLite does.
type tracking struct {
	*machine
	path    string
	manager *tracker.Manager
	conn    *conn
	counter uint32
}

// conn is a database that is open.
type conn struct {
	*os.File
	t *tracker.Tracker
}

func (c *conn) Size() (int64, error) {
	info, err := c.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (c *conn) Reserved() (bool, error) { return false, nil }

func newTracking(t *testing.T, plan *fsx.Plan) *tracking {
	w := &tracking{machine: newMachine(t, plan), path: filepath.Join(t.TempDir(), "a.db")}
	check(t, os.WriteFile(w.path, nil, 0o600))
	w.start()
	return w
}

// start begins a life.
func (w *tracking) start() {
	w.manager = tracker.New(&tracker.Options{
		Root: w.root(w.actor(doctor.Producer), true), Hostname: host, Targets: []spool.Target{target},
		MinBackoff: 1, MaxBackoff: 1, Coalesce: -1,
	})
}

func (w *tracking) name() string { return manifest.Name(host, w.path) }

func (w *tracking) open(mode tracker.Mode) {
	w.Helper()
	f, err := os.OpenFile(w.path, os.O_RDWR, 0)
	check(w, err)
	w.conn = &conn{File: f}
	w.conn.t = w.manager.Track(w.path, w.conn, mode)
}

func (w *tracking) unlock() {
	if w.conn.t.NeedsSnapshot() {
		w.conn.t.Snapshot(tracker.Shared)
	}
}

func (w *tracking) write(off int64, data []byte) {
	w.Helper()
	w.conn.t.WillWrite(off, len(data))
	_, err := w.conn.WriteAt(data, off)
	check(w, err)
}

// commit is a transaction that writes to a chunk, and to the header.
func (w *tracking) commit(chunk int) {
	w.Helper()
	w.conn.t.LockedExclusive()
	w.counter++
	data := make([]byte, 5000)
	binary.BigEndian.PutUint32(data[16:], w.counter)
	binary.BigEndian.PutUint32(data[4000:], uint32(chunk))
	w.write(int64(chunk)*cs+200, data)
	header := make([]byte, 100)
	copy(header, "SQLite format 3\x00")
	header[18], header[19] = 1, 1
	binary.BigEndian.PutUint32(header[24:], w.counter)
	w.write(0, header)
	w.unlock()
}

func (w *tracking) truncate(chunks int) {
	w.Helper()
	w.conn.t.LockedExclusive()
	old, err := w.conn.Size()
	check(w, err)
	w.conn.t.WillTruncate(old, int64(chunks)*cs)
	check(w, w.conn.Truncate(int64(chunks)*cs))
	w.commit(0)
}

// replicated has a database with a snapshot that is ready and another that is staged.
func (w *tracking) replicated() {
	w.Helper()
	w.open(tracker.Normal)
	w.commit(3)
	w.commit(2)
}

func (w *tracking) key() spool.Key {
	w.Helper()
	info, err := fsx.Lstat(w.path)
	check(w, err)
	return spool.KeyOf(spool.DB{Path: w.path, Dev: info.Dev, Ino: info.Ino}, target.ID)
}

// repair does what the program does for databases that are behind.
func (w *tracking) repair() {
	w.Helper()
	for range w.manager.Behind() {
		old := w.conn
		w.open(tracker.Eager)
		w.unlock()
		w.conn.t.Close()
		check(w, w.conn.Close())
		w.conn = old
	}
}

var trackerOps = []struct {
	name    string
	prepare func(w *tracking)
	do      func(w *tracking)
}{
	{"first sight", func(w *tracking) {
		check(w, os.WriteFile(w.path, content(4, 1), 0o600))
		w.open(tracker.Eager)
	}, (*tracking).unlock},
	{"first commit", func(w *tracking) { w.open(tracker.Normal) }, func(w *tracking) { w.commit(2) }},
	{"open", func(w *tracking) { w.replicated(); w.start() }, func(w *tracking) { w.open(tracker.Eager); w.unlock() }},
	{"commit", (*tracking).replicated, func(w *tracking) { w.commit(1) }},
	{"commit after truncation", (*tracking).replicated, func(w *tracking) { w.truncate(2) }},
	{"desync", (*tracking).replicated, func(w *tracking) {
		w.manager.Desync(w.key(), os.ErrInvalid)
		w.repair()
	}},
	{"another's commit, then ours", (*tracking).replicated, func(w *tracking) {
		_, err := w.conn.WriteAt([]byte("changed"), 2*cs+77) // without a notice
		check(w, err)
		_, err = w.conn.WriteAt([]byte{9, 9}, 26)
		check(w, err)
		w.commit(1)
	}},
	{"close", (*tracking).replicated, func(w *tracking) {
		w.conn.t.Close()
		check(w, w.conn.Close())
		check(w, w.manager.Close())
		w.start()
		w.open(tracker.Normal)
	}},
}

// SQLite is told nothing of a fault: the tracker's methods return no errors, and what they do to
// the database is nothing.
func TestTracker(t *testing.T) {
	var runs atomic.Int64
	start := time.Now()
	t.Run("each", func(t *testing.T) {
		for _, op := range trackerOps {
			t.Run(op.name, func(t *testing.T) {
				runs.Add(int64(each(t, func(t *testing.T, plan *fsx.Plan, dies, reboots bool) {
					w := newTracking(t, plan)
					op.prepare(w)
					w.judge("before")
					w.armed = true
					op.do(w)
					w.armed = false
					if h, ok := w.manager.Health(w.path); plan.Hit() == "" && (!ok || h.State == tracker.StateBehind) {
						t.Errorf("without a fault: %+v", h)
					}
					w.judge("after the fault")
					if dies {
						w.die(reboots)
						w.judge("in the next life")
						w.start()
						w.open(tracker.Normal)
					} else {
						w.repair()
					}
					w.commit(0)
					w.repair()
					w.judge("after one more transaction")
					want, err := os.ReadFile(w.path)
					check(t, err)
					w.uploaded(w.key(), w.name(), want)
				})))
			})
		}
	})
	t.Logf("%d operations, %d points of failure in %v", len(trackerOps), runs.Load(), time.Since(start).Round(time.Millisecond))
}
