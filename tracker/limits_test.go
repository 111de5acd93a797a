package tracker_test

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/tracker"
)

func TestConcurrency(t *testing.T) {
	w := newT(t, targetA, targetB)
	var lock sync.RWMutex // SQLite's
	var wg sync.WaitGroup
	f, err := os.OpenFile(w.path, os.O_RDWR, 0)
	check(t, err)
	check(t, f.Truncate(8*chunk))
	w.peak = 8 * chunk
	stop := make(chan struct{})
	for g := range byte(4) {
		wg.Go(func() {
			for i := range byte(30) {
				f, err := os.OpenFile(w.path, os.O_RDWR, 0)
				if err != nil {
					t.Error(err)
					return
				}
				c := &conn{File: f, w: w}
				c.t = w.m.Track(w.path, c, tracker.Mode(i%2))
				lock.Lock()
				c.t.LockedExclusive()
				off := int64(1+(g+i)%7) * chunk
				c.t.WillWrite(off, chunk)
				_, werr := f.WriteAt(pattern(chunk, g, i), off)
				header := w.nextHeader()
				c.t.WillWrite(0, len(header))
				_, herr := f.WriteAt(header, 0)
				lock.Unlock()
				if err := errors.Join(werr, herr); err != nil {
					t.Error(err)
				}
				// The downgrade; others may come in between here, as with broken locks.
				lock.RLock()
				c.unlock()
				lock.RUnlock()
				c.t.Close()
				f.Close()
			}
		})
	}
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.m.Health(w.path)
				w.m.Behind()
				w.m.NextDue()
				w.m.All()
				if _, err := w.m.StagedFor(w.path); err != nil && !errors.Is(err, tracker.ErrUntracked) {
					t.Error(err)
				}
				w.m.Desync(w.key(targetB.ID), nil)
			}
		}
	})
	wg.Wait()
	close(stop)
	readers.Wait()
	w.visit(tracker.Eager)
	w.uploaded()
}

func TestMemoryIsBounded(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	const size = 1 << 30
	c.t.LockedExclusive()
	c.truncate(size)
	c.header()
	var got int64
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			w.setID("x")
			c.t.LockedExclusive()
			c.header()
			c.unlock()
		}
	})
	got = allocated.AllocedBytesPerOp()
	list := int64(size / chunk * 16)
	if limit := 16*list + 4<<20; got > limit {
		t.Errorf("a full snapshot of 1 GiB allocates %d bytes, want at most %d", got, limit)
	}
	if n := w.manifest(targetA.ID).Chunks; len(n) != size/chunk || n[1] != manifest.ZeroChunk {
		t.Errorf("the manifest has %d chunks", len(n))
	}
}

func TestWillWriteDoesNotAllocate(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.t.LockedExclusive()
	c.t.WillWrite(0, 100*chunk)
	i := int64(0)
	if got := testing.AllocsPerRun(1000, func() {
		i = (i + 7) % 100
		c.t.WillWrite(i*chunk+4096, 4096)
	}); got > 0 {
		t.Errorf("WillWrite allocates %v times", got)
	}
}
