package copier

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/boule-db/boule/manifest"
)

// While an application commits, half of the processors are left to it, and one is left to the copier.
func TestCores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for all, busy := range map[int64]int64{1: 1, 2: 1, 3: 1, 4: 2, 64: 32} {
			c := &cores{all: all, free: semaphore.NewWeighted(all)}
			if got := all / c.weight(); got != all {
				t.Errorf("%d processors, nobody at work: %d compress", all, got)
			}
			c.busy()
			if got := all / c.weight(); got != busy {
				t.Errorf("%d processors, somebody at work: %d compress, want %d", all, got, busy)
			}
			data := []byte("some data")
			if got, err := manifest.DecompressChunk(c.compress(data), manifest.Sum(data)); err != nil || string(got) != string(data) {
				t.Errorf("%q, %v", got, err)
			}
			if !c.free.TryAcquire(all) {
				t.Errorf("%d processors: some are still taken", all)
			}
			time.Sleep(writing)
			if c.weight() != 1 {
				t.Errorf("%d processors: still at work", all)
			}
		}
	})
}
