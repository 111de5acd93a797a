package boule_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Neither to measure nor to flush drops the locks that another copy of SQLite in this process
// has on the database.
func TestStatusAndFlushKeepForeignLocks(t *testing.T) {
	p := publish(t, 1)
	foreign, err := os.OpenFile(p.db, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	const there = 1 << 41 // where Boule locks nothing
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: there, Len: 1}
	if err := unix.FcntlFlock(foreign.Fd(), unix.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	probe, err := os.OpenFile(p.db, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close() // not before the end
	r := newReplicator(t, p.cfg)
	for range 3 {
		status(t, p.cfg, p.db)
		if err := r.Flush(t.Context(), p.db); err != nil {
			t.Fatal(err)
		}
		// By an open file description this lock could not be had.
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: there, Len: 1}
		if err := unix.FcntlFlock(probe.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
			t.Fatal(err)
		}
		if lock.Type == unix.F_UNLCK {
			t.Fatal("the foreign lock is gone")
		}
	}
}
