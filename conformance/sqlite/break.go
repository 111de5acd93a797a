package main

import (
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"
)

// planted is a bug that BOULE_TEST_BREAK asks for, to show that the tests would find it.
var planted = os.Getenv("BOULE_TEST_BREAK")

const (
	losesWrites    = "write"    // one in twenty writes to a database does nothing
	locksNothing   = "lock"     // nobody gets in anybody's way
	missesWrites   = "snapshot" // the database changes without the tracker's knowledge
	skipsSnapshots = "skip"     // a snapshot is not taken
)

func (f *file) loses() bool { return planted == losesWrites && f.main && rand.IntN(20) == 0 }

// tamper changes the last byte of the database.
func (d *watched) tamper() {
	var st unix.Stat_t
	if unix.Fstat(d.fd, &st) != nil || st.Size == 0 {
		return
	}
	var b [1]byte
	_, _ = unix.Pread(d.fd, b[:], st.Size-1)
	b[0]++
	_, _ = unix.Pwrite(d.fd, b[:], st.Size-1)
}
