package main

import (
	"math/rand/v2"
	"os"
	"testing"
)

// Whatever copiers do, a spool takes at most four times its database, each file counted once.
func TestSpoolUse(t *testing.T) {
	n := 300
	if testing.Short() {
		n = 100
	}
	for _, when := range stops {
		t.Run(when.name, func(t *testing.T) {
			t.Parallel()
			// Not t.TempDir, which fails the test if anything is still being written there: copiers that hang are not waited for.
			dir, err := os.MkdirTemp("", "spooluse")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			u, err := measureSpool(t.Context(), dir, when, n, rand.New(rand.NewPCG(1, 0)))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d transactions, database of %d to %d bytes: spool of up to %d bytes, %.2f times the database",
				n, u.smallest, u.largest, u.spool, u.times)
			if u.times > 4 {
				t.Errorf("the spool takes %.2f times the database, want at most 4", u.times)
			}
			if u.times < 1 {
				t.Errorf("the spool takes %.2f times the database, which is not all of it: nothing was measured", u.times)
			}
		})
	}
}
