package wasmvfs_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// locked reports whether somebody holds a lock on a byte, which f, by an open file description
// lock, could not have.
func locked(t *testing.T, f *os.File, off int64) bool {
	t.Helper()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: off, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
		t.Fatal(err)
	}
	return lock.Type != unix.F_UNLCK
}
