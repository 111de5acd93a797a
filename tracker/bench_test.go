package tracker_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/boule-db/boule/tracker"
)

// What a snapshot adds to a commit that changes one page besides the first, depending on the size
// of the database: bare is the change alone.
func BenchmarkCommit(b *testing.B) {
	for _, mib := range []int{1, 64, 1024} {
		for _, mode := range []string{"bare", "copier away", "copier at work"} {
			b.Run(fmt.Sprintf("%dMiB/%s", mib, mode), func(b *testing.B) {
				w := newWorld(b, b.TempDir())
				c := w.open(tracker.Normal)
				c.t.LockedExclusive()
				c.truncate(int64(mib) << 20)
				for i := range 16 {
					c.fill(i, 1, byte(i))
				}
				c.header()
				c.unlock()
				w.repair()
				if mode == "bare" {
					check(b, w.m.Close())
				}
				page := make([]byte, 4096)
				for i := 0; b.Loop(); i++ {
					page[0], page[1], page[2] = byte(i), byte(i>>8), byte(i>>16)
					c.commit(func() { c.write(5*chunk, page) })
					if mode == "copier at work" {
						b.StopTimer()
						check(b, w.toys[targetA.ID].Pass())
						b.StartTimer()
					}
				}
				check(b, os.RemoveAll(w.prefix))
			})
		}
	}
}
