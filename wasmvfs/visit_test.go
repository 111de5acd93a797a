//go:build linux

package wasmvfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

// newVFS registers a replicating VFS with a spool of its own.
func newVFS(t *testing.T, before func()) (vfs.VFS, string, *tracker.Manager) {
	t.Helper()
	root, err := spool.OpenRoot(t.TempDir(), 0o700, &spool.Options{WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(fsx.Op, string) error { before(); return nil })
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := tracker.New(&tracker.Options{Root: root, Hostname: hostname, Targets: targets[:1], Patience: -1, CommitChunks: 512})
	t.Cleanup(func() { m.Close() })
	v := wasmvfs.New(m, nil)
	return v, register(t, v), m
}

// impatient is a connection that does not wait for locks.
func impatient(t *testing.T, name, path, params string) *sqlite3.Conn {
	t.Helper()
	c := open(t, name, path, params)
	if err := c.BusyTimeout(0); err != nil {
		t.Fatal(err)
	}
	return c
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// A writer that does not wait for locks waits for a connection of Boule's own all the same.
func TestWriterWaitsForVisitor(t *testing.T) {
	v, name, _ := newVFS(t, func() {})
	path := tempPath(t)
	writer := impatient(t, name, path, "")
	setUp(t, writer, "DELETE")

	other := impatient(t, name, path, "")
	exec(t, other, "BEGIN; SELECT * FROM t")
	if err := writer.Exec("INSERT INTO t VALUES (1, 2, 3)"); !errors.Is(err, sqlite3.BUSY) {
		t.Fatalf("with another reader of the application: %v, want busy", err)
	}
	exec(t, other, "COMMIT")

	visitor := impatient(t, name, path, "boule_eager=1")
	exec(t, visitor, "BEGIN; SELECT * FROM t")
	done := make(chan error, 1)
	go func() { done <- writer.Exec("INSERT INTO t VALUES (2, 2, 3)") }()
	until(t, func() bool { return wasmvfs.Waiting(v, path) == 1 || len(done) > 0 })
	if len(done) > 0 {
		t.Fatalf("the writer did not wait: %v", <-done)
	}
	exec(t, visitor, "COMMIT")
	if err := <-done; err != nil {
		t.Errorf("the writer that waited: %v", err)
	}
	wantRows(t, writer, "SELECT count(*) FROM t", "1")
}

// A snapshot in the background gives way to a writer of the process, and is repeated.
func TestVisitorGivesWay(t *testing.T) {
	for _, yields := range []bool{true, false} {
		t.Run(fmt.Sprint(yields), func(t *testing.T) {
			path := tempPath(t)
			stock := open(t, "os", path, "")
			setUp(t, stock, "DELETE")
			exec(t, stock, fmt.Sprintf(fill, 1, 20000))
			stock.Close()

			var v vfs.VFS
			var visiting atomic.Bool
			ops, meanwhile := 0, 0
			halt := make(chan struct{})
			var name string
			var m *tracker.Manager
			v, name, m = newVFS(t, func() {
				if !visiting.Load() {
					return
				}
				if ops++; ops == 30 {
					halt <- struct{}{}
					<-halt
				}
				if wasmvfs.Waiting(v, path) > 0 {
					meanwhile++
				}
			})
			writer := impatient(t, name, path, "")
			wantRows(t, writer, "SELECT count(*) FROM t", "20000")
			visiting.Store(true)
			visited := make(chan error, 1)
			params := "boule_eager=1"
			if yields {
				params += "&boule_yield=1"
			}
			visitor := open(t, name, path, params)
			go func() { visited <- visitor.Exec("SELECT count(*) FROM sqlite_schema") }()
			<-halt
			done := make(chan error, 1)
			go func() { done <- writer.Exec("INSERT INTO t VALUES (30000, 2, 3)") }()
			until(t, func() bool { return wasmvfs.Waiting(v, path) == 1 || len(done) > 0 })
			halt <- struct{}{}
			if err1, err2 := <-visited, <-done; err1 != nil || err2 != nil {
				t.Fatalf("visitor: %v; writer: %v", err1, err2)
			}
			visiting.Store(false)
			if yields != (meanwhile < 200) {
				t.Errorf("%d operations while the writer waited", meanwhile)
			}
			h, _ := m.Health(path)
			if h.State != tracker.StateOK { // the writer's own commit made it good
				t.Errorf("state %s: %v", h.State, h.LastError)
			}
		})
	}
}

// The connections of Boule's own do not drop the locks of another copy of SQLite in the process,
// and keep one file open for a database, no more.
func TestVisitorKeepsForeignLocks(t *testing.T) {
	v, name, _ := newVFS(t, func() {})
	path := tempPath(t)
	c := open(t, name, path, "")
	setUp(t, c, "DELETE")
	foreign, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	const there = 1 << 41 // where nobody of ours locks
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: there, Len: 1}
	if err := unix.FcntlFlock(foreign.Fd(), unix.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	probe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close() // not before the end
	for i := range 5 {
		visitor := open(t, name, path, "boule_eager=1")
		wantRows(t, visitor, "SELECT count(*) FROM t", fmt.Sprint(i))
		if err := visitor.Close(); err != nil {
			t.Fatal(err)
		}
		if n := wasmvfs.Parked(v); n != 1 {
			t.Errorf("%d files are kept open, want 1", n)
		}
		exec(t, c, "INSERT INTO t VALUES (NULL, 1, 2)")
		if !locked(t, probe, there) {
			t.Fatalf("after visit %d the foreign lock is gone", i+1)
		}
	}
}

// A database that was replaced is not mistaken for the one that a visitor knew.
func TestVisitorSeesReplacedFile(t *testing.T) {
	v, name, _ := newVFS(t, func() {})
	path := tempPath(t)
	for i := range 3 {
		c := open(t, name, path, "")
		setUp(t, c, "DELETE")
		exec(t, c, fmt.Sprintf("PRAGMA user_version=%d", i))
		visitor := open(t, name, path, "boule_eager=1")
		wantRows(t, visitor, "PRAGMA user_version", fmt.Sprint(i))
		if err := errors.Join(visitor.Close(), c.Close(), os.Remove(path)); err != nil {
			t.Fatal(err)
		}
	}
	if n := wasmvfs.Parked(v); n != 1 {
		t.Errorf("%d files are kept open, want 1", n)
	}
}

// A visitor of a database in WAL mode leaves nothing behind.
func TestVisitorOfWAL(t *testing.T) {
	v, name, _ := newVFS(t, func() {})
	path := tempPath(t)
	c := open(t, name, path, "")
	setUp(t, c, "WAL")
	for range 3 {
		visitor := open(t, name, path, "boule_eager=1")
		wantRows(t, visitor, "SELECT count(*) FROM t", "0")
		if err := visitor.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := wasmvfs.Parked(v); n != 0 {
		t.Errorf("%d files are kept open", n)
	}
	wantRows(t, c, "PRAGMA journal_mode=DELETE", "delete")
}

// What was put off is staged when the last connection closes.
func TestLastCloseEndsBurst(t *testing.T) {
	path := tempPath(t)
	root, err := spool.OpenRoot(spoolDir, 0o700, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := tracker.New(&tracker.Options{Root: root, Hostname: hostname, Targets: targets, Coalesce: time.Hour})
	defer m.Close()
	name := register(t, wasmvfs.New(m, nil))
	one, two := open(t, name, path, ""), open(t, name, path, "")
	setUp(t, one, "DELETE")
	exec(t, one, "INSERT INTO t VALUES (1, 2, 3)")
	exec(t, two, "INSERT INTO t VALUES (2, 2, 3)")
	sequence := func() uint64 {
		infos, err := m.StagedFor(path)
		if err != nil || len(infos) == 0 || infos[0].Err != nil {
			t.Fatal(err, infos)
		}
		return infos[0].Sequence
	}
	before := sequence()
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if sequence() != before {
		t.Error("the first close staged")
	}
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	wantStaged(t, path)
}

// A writer does not wait until the files are made of what a visitor has read, neither for its lock nor at the end of its commit.
func TestWriterDoesNotWaitForFiles(t *testing.T) {
	path := tempPath(t)
	stock := open(t, "os", path, "")
	setUp(t, stock, "DELETE")
	exec(t, stock, fmt.Sprintf(fill, 1, 60000))
	stock.Close()
	if info, err := os.Stat(path); err != nil || info.Size() < 12<<20 {
		t.Fatal("too small to be read in one turn: ", info, err)
	}

	var visiting atomic.Bool
	halt, written := make(chan struct{}), make(chan struct{})
	halted, late := false, 0
	root, err := spool.OpenRoot(t.TempDir(), 0o700, &spool.Options{WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, _ string) error {
			switch {
			case !visiting.Load():
			case !halted && op == fsx.OpRename: // the first chunk is made, since nobody waits yet
				halted = true
				halt <- struct{}{}
				<-halt
			case halted && op == fsx.OpCreate:
				<-written
				late++
			}
			return nil
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := tracker.New(&tracker.Options{Root: root, Hostname: hostname, Targets: targets[:1], Patience: time.Hour, Coalesce: -1})
	defer m.Close()
	v := wasmvfs.New(m, nil)
	name := register(t, v)
	writer, visitor := impatient(t, name, path, ""), open(t, name, path, "boule_eager=1&boule_yield=1")
	visiting.Store(true)
	visited, done := make(chan error, 1), make(chan error, 1)
	go func() { visited <- visitor.Exec("SELECT count(*) FROM sqlite_schema") }()
	<-halt
	go func() { done <- writer.Exec("UPDATE t SET c = c + 1 WHERE a = 1") }()
	until(t, func() bool { return wasmvfs.Waiting(v, path) == 1 || len(done) > 0 })
	halt <- struct{}{}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the writer waits")
	}
	close(written)
	if err := <-visited; err != nil {
		t.Error(err)
	}
	if late < 100 {
		t.Errorf("%d files were made after the commit", late)
	}
	visiting.Store(false)
	last := open(t, name, path, "boule_eager=1&boule_yield=1") // takes what is left
	exec(t, last, "SELECT count(*) FROM sqlite_schema")
	infos, err := m.StagedFor(path)
	if err != nil || len(infos) != 1 || infos[0].Err != nil || len(m.PutOff()) > 0 {
		t.Errorf("staged: %+v, %v; put off: %v", infos, err, m.PutOff())
	}
}

// A visitor whose database was renamed under it leaves it alone: by the old name it would roll a
// new database's journal back into the renamed one.
func TestVisitorOfARenamedDatabase(t *testing.T) {
	_, name, _ := newVFS(t, func() {})
	path := tempPath(t)
	stock := open(t, "os", path, "")
	setUp(t, stock, "DELETE")
	exec(t, stock, fmt.Sprintf(fill, 1, 100))
	stock.Close()

	visitor := open(t, name, path, "boule_eager=1&boule_yield=1")
	moved := path + "-moved"
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(moved)
	if err != nil {
		t.Fatal(err)
	}
	// Another database of that name, and a transaction in it that has got as far as to change the file.
	other := open(t, "os", path, "")
	setUp(t, other, "DELETE")
	exec(t, other, "PRAGMA cache_size=2; BEGIN; "+fmt.Sprintf(fill, 1, 5000))
	if info, err := os.Stat(path + "-journal"); err != nil || info.Size() == 0 {
		t.Fatal("no journal: ", err)
	}
	if err := visitor.Exec("SELECT count(*) FROM sqlite_schema"); !errors.Is(err, sqlite3.READONLY_DBMOVED) {
		t.Errorf("the visitor got %v", err)
	}
	after, err := os.ReadFile(moved)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the renamed database changed")
	}
	exec(t, other, "COMMIT")
	wantRows(t, other, "PRAGMA integrity_check", "ok")
}
