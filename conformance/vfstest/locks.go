package vfstest

import (
	"errors"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// locker is a connection's file, here or in another process.
type locker interface {
	lock(level vfs.LockLevel) (busy bool, err error)
	unlock(level vfs.LockLevel) error
	reserved() (bool, error)
}

type here struct{ vfs.File }

func (h here) lock(level vfs.LockLevel) (bool, error) {
	err := h.Lock(level)
	if errors.Is(err, sqlite3.BUSY) || err != nil && err.Error() == sqlite3.BUSY.Error() {
		return true, nil
	}
	return false, err
}
func (h here) unlock(level vfs.LockLevel) error { return h.Unlock(level) }
func (h here) reserved() (bool, error)          { return h.CheckReservedLock() }

type there struct{ *process }

func (p there) lock(level vfs.LockLevel) (bool, error) {
	a := p.ask(request{Op: "lock", Lock: level})
	if a.Busy || a.Err == sqlite3.BUSY.Error() {
		return true, nil
	}
	return false, a.err()
}

func (p there) unlock(level vfs.LockLevel) error {
	return p.ask(request{Op: "unlock", Lock: level}).err()
}

func (p there) reserved() (bool, error) {
	a := p.ask(request{Op: "reserved"})
	return a.Yes, a.err()
}

func (a reply) err() error {
	if a.Err == "" {
		return nil
	}
	return errors.New(a.Err)
}

func (s *suite) locksBetweenConnections(t *testing.T) {
	path := tempPath(t)
	setUp(t, s.conn(t, path, ""), "DELETE")
	open := func() locker { return here{file(t, s.conn(t, path, ""))} }
	s.locks(t, open(), open(), open())
}

func (s *suite) locksBetweenProcesses(t *testing.T) {
	path := tempPath(t)
	setUp(t, s.conn(t, path, ""), "DELETE")
	s.locks(t, here{file(t, s.conn(t, path, ""))}, there{start(t, path, "")}, there{start(t, path, "")})
	s.locks(t, there{start(t, path, "")}, here{file(t, s.conn(t, path, ""))}, there{start(t, path, "")})
}

// locks goes through the states that SQLite's locks have together.
func (s *suite) locks(t *testing.T, a, b, c locker) {
	t.Helper()
	lock := func(who string, l locker, level vfs.LockLevel, wantBusy bool) {
		t.Helper()
		busy, err := l.lock(level)
		if err != nil || busy != wantBusy {
			t.Errorf("%s locks %d: busy %v, %v; want busy %v", who, level, busy, err, wantBusy)
		}
	}
	unlock := func(who string, l locker, level vfs.LockLevel) {
		t.Helper()
		if err := l.unlock(level); err != nil {
			t.Errorf("%s unlocks to %d: %v", who, level, err)
		}
	}
	reserved := func(who string, l locker, want bool) {
		t.Helper()
		if got, err := l.reserved(); got != want || err != nil {
			t.Errorf("%s asks for a reserved lock: %v, %v; want %v", who, got, err, want)
		}
	}
	reserved("a", a, false)
	lock("a", a, vfs.LOCK_SHARED, false)
	lock("b", b, vfs.LOCK_SHARED, false)
	lock("a", a, vfs.LOCK_RESERVED, false)
	reserved("a", a, true)
	reserved("b", b, true)
	lock("b", b, vfs.LOCK_RESERVED, true)
	lock("c", c, vfs.LOCK_SHARED, false) // RESERVED lets readers in
	lock("a", a, vfs.LOCK_EXCLUSIVE, true)
	unlock("c", c, vfs.LOCK_NONE)
	lock("c", c, vfs.LOCK_SHARED, true) // PENDING does not
	unlock("b", b, vfs.LOCK_NONE)
	lock("a", a, vfs.LOCK_EXCLUSIVE, false)
	lock("b", b, vfs.LOCK_SHARED, true)
	reserved("b", b, true)
	unlock("a", a, vfs.LOCK_SHARED)
	reserved("b", b, false)
	lock("b", b, vfs.LOCK_SHARED, false)
	lock("b", b, vfs.LOCK_RESERVED, false)
	lock("b", b, vfs.LOCK_EXCLUSIVE, true)
	unlock("a", a, vfs.LOCK_NONE)
	unlock("a", a, vfs.LOCK_NONE)
	lock("b", b, vfs.LOCK_EXCLUSIVE, false)
	lock("a", a, vfs.LOCK_SHARED, true)
	unlock("b", b, vfs.LOCK_NONE)
	lock("a", a, vfs.LOCK_SHARED, false)
	unlock("a", a, vfs.LOCK_NONE)
	reserved("c", c, false)
}

func (s *suite) locksDieWithTheProcess(t *testing.T) {
	path := tempPath(t)
	c := s.conn(t, path, "")
	setUp(t, c, "DELETE")
	p := start(t, path, "")
	p.exec("BEGIN EXCLUSIVE")
	if err := c.BusyTimeout(0); err != nil {
		t.Fatal(err)
	}
	if _, err := rows(c, "SELECT a FROM t"); !errors.Is(err, sqlite3.BUSY) {
		t.Errorf("read while another process has an EXCLUSIVE lock: %v", err)
	}
	p.kill()
	execute(t, c, "INSERT INTO t VALUES (1, 2, 3)")
}
