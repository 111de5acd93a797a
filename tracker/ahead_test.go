package tracker_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/tracker"
)

// readingAhead is deferring, with snapshots that read so many chunks while somebody waits, before they give way.
func readingAhead(t *testing.T, chunks int) (*world, *counting) {
	w := newT(t)
	w.commitChunks, w.overrides, w.patience, w.maxAhead = 3, 2, time.Hour, chunks
	w.restart()
	return w, w.counted()
}

// countStaged counts the chunks that are staged from here on.
func (w *world) countStaged() *int {
	n := new(int)
	w.inject = func(op fsx.Op, name string) error {
		if op == fsx.OpRename && strings.Contains(name, "/chunks/") {
			*n++
		}
		return nil
	}
	return n
}

// settled checks that the database as it is, is staged, and that all is uploaded.
func (w *world) settled() {
	w.Helper()
	if !w.isCurrent() {
		w.Fatal("not current")
	}
	w.uploaded()
}

// While somebody waits, a snapshot only reads; the files are made when nobody waits any more. Else it makes each at once.
func TestReadsWhileOthersWait(t *testing.T) {
	w, c := readingAhead(t, 8)
	c.commit(func() { c.fill(0, 31, 1) })
	staged := w.countStaged()
	for visit, c := range []struct{ alone, under, after, read int }{
		{alone: 0, under: 0, after: 8, read: 8 + 1}, // the first chunk is part of the manifest
		{alone: 6, under: 6, after: 14, read: 14},
		{alone: 0, under: 0, after: 8, read: 8},
		{alone: 0, under: 0, after: 0, read: 1}, // there is nothing to be made
	} {
		*staged = 0
		read := w.visitorAnd(c.alone, func() {
			if *staged != c.under {
				t.Errorf("visit %d: %d chunks were staged under the lock, want %d", visit, *staged, c.under)
			}
		})
		if read < c.read || read > c.read+1 || *staged != c.after { // a random one is read again
			t.Errorf("visit %d: read %d chunks and staged %d, want %d and %d", visit, read, *staged, c.read, c.after)
		}
	}
	w.settled()
}

// What is written while a snapshot that gave way makes its files does not wait for that, and is made up for.
func TestCommitsWhileFilesAreMade(t *testing.T) {
	const anew = 20 // chunks are read
	for name, x := range map[string]struct {
		do   func(w *world, c *counting)
		most int // chunks that are read then
	}{
		"nothing":  {func(*world, *counting) {}, 13},
		"read":     {func(_ *world, c *counting) { c.commit(func() { c.fill(2, 1, 9) }) }, 15},
		"not read": {func(_ *world, c *counting) { c.commit(func() { c.fill(15, 1, 9) }) }, 13},
		"both":     {func(_ *world, c *counting) { c.commit(func() { c.fill(1, 2, 9); c.fill(18, 2, 9) }) }, 16},
		"two": {func(_ *world, c *counting) {
			c.commit(func() { c.fill(1, 1, 9) })
			c.commit(func() { c.fill(2, 1, 9) })
		}, 16},
		"zeros":      {func(_ *world, c *counting) { c.commit(func() { c.write(2*chunk, make([]byte, chunk)) }) }, 15},
		"grow":       {func(_ *world, c *counting) { c.commit(func() { c.fill(20, 5, 9) }) }, 18},
		"shrink":     {func(_ *world, c *counting) { c.commit(func() { c.truncate(11*chunk + 512) }) }, 13},
		"far less":   {func(_ *world, c *counting) { c.commit(func() { c.truncate(3 * chunk) }) }, 13},
		"only reads": {func(_ *world, c *counting) { c.unlock() }, 13},
		"others": {func(w *world, c *counting) {
			o := w.open(tracker.Normal)
			o.commit(func() { o.fill(2, 1, 9) })
			c.commit(func() { c.fill(3, 1, 9) })
			o.close()
		}, 16},
		"untracked": {func(w *world, c *counting) {
			o := w.openWith(tracker.New(nil), tracker.Normal)
			defer o.close()
			o.commit(func() { o.fill(3, 2, 8) })
		}, anew + 1},
		"untracked before": {func(w *world, c *counting) {
			o := w.openWith(tracker.New(nil), tracker.Normal)
			defer o.close()
			o.commit(func() { o.fill(3, 2, 8) })
			c.commit(func() { c.fill(5, 1, 9) })
		}, anew + 1},
		"untracked after": {func(w *world, c *counting) {
			c.commit(func() { c.fill(5, 1, 9) })
			o := w.openWith(tracker.New(nil), tracker.Normal)
			defer o.close()
			o.commit(func() { o.fill(3, 2, 8) })
		}, anew + 1},
		"stranger": {func(w *world, c *counting) {
			w.stranger(2)
			c.commit(func() { c.fill(5, 1, 9) })
		}, anew + 1},
		"another process stages": {func(w *world, _ *counting) {
			mine := w.m
			w.restart()
			w.visitor(-1)
			w.m = mine
		}, anew + 1},
		"another process stages and writes": {func(w *world, _ *counting) {
			mine := w.m
			w.restart()
			o := w.open(tracker.Normal)
			o.commit(func() { o.fill(3, 2, 8) })
			w.visitor(-1)
			o.close()
			w.m = mine
		}, anew + 1},
		"spool deleted":      {func(w *world, _ *counting) { check(w.tb, os.RemoveAll(w.good.Dir())) }, anew + 1},
		"desync":             {func(w *world, _ *counting) { w.m.Desync(w.key(targetA.ID), nil) }, anew + 1},
		"uploaded meanwhile": {func(w *world, _ *counting) { check(w.tb, w.toys[targetA.ID].Pass()) }, 13},
		"killed":             {func(w *world, _ *counting) { w.restart() }, anew + 1},
	} {
		for _, staged := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, staged), func(t *testing.T) {
				w, c := readingAhead(t, 8)
				if staged { // so that what is deferred starts from there
					c.commit(func() { c.fill(0, 30, 6) })
					w.visitor(-1)
					w.uploaded()
				}
				c.commit(func() { c.fill(0, 20, 1); c.truncate(20 * chunk) })
				w.visitorAnd(0, func() { x.do(w, c) })
				if read := w.visitor(-1); read > x.most+1 { // a random one
					t.Errorf("%d chunks were read, want %d at most", read, x.most)
				}
				w.repair()
				w.settled()
				c = w.counted()
				c.commit(func() { c.fill(2, 1, 5) })
				if !w.isCurrent() {
					t.Error("a small commit was not staged")
				}
				w.uploaded()
			})
		}
	}
}

// Who is about to note what it wrote is waited for: a snapshot that went on before would be in its way.
func TestWriterIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := readingAhead(t, 8)
		c.commit(func() { c.fill(0, 20, 1) })
		noted := make(chan struct{})
		v := &yieldingCounter{w.counted(), 0}
		v.t = w.m.Track(w.path, v, tracker.Eager)
		v.t.Snapshot(tracker.Shared)
		c.t.LockedExclusive()
		c.fill(2, 1, 9)
		c.header()
		c.t.Claim()
		go func() {
			time.Sleep(time.Millisecond) // it downgrades
			c.t.Snapshot(tracker.Shared)
			close(noted)
		}()
		began := time.Now()
		v.t.Unlocked()
		if time.Since(began) == 0 { // of the bubble's clock, which goes on when all wait
			t.Error("the writer was not waited for")
		}
		<-noted
		v.t.Close()
		check(t, v.Close())
		if read := w.visitor(-1); read > 16 {
			t.Errorf("%d chunks were read: the snapshot began anew", read)
		}
		w.settled()
		check(t, c.Close())
	})
}

// Who changes its mind, or ends, is not.
func TestWriterIsNotWaitedFor(t *testing.T) {
	for _, leave := range []func(*tracker.Tracker){
		(*tracker.Tracker).Unclaim, (*tracker.Tracker).Close, func(t *tracker.Tracker) { t.Snapshot(tracker.Shared) },
	} {
		w, c := readingAhead(t, 8)
		c.commit(func() { c.fill(0, 20, 2) })
		w.visitorAnd(0, func() {
			c.t.Claim()
			leave(c.t)
		})
		w.visitor(-1)
		w.settled()
	}
}

// A file that can't be made, and a process that ends, are made up for.
func TestFaultWhileFilesAreMade(t *testing.T) {
	for _, c := range []struct {
		err   error
		after bool // all others fail then, too
	}{{syscall.ENOSPC, false}, {syscall.EIO, true}, {syscall.ENOENT, false}} {
		for at := 0; ; at++ {
			w, conn := readingAhead(t, 4)
			conn.commit(func() { conn.fill(0, 12, 1) })
			hit, told := "", false
			w.visitorAnd(0, func() {
				calls := 0
				w.inject = func(op fsx.Op, name string) error {
					if calls++; calls-1 == at || c.after && calls > at {
						if hit == "" {
							hit = fmt.Sprintf("%v at operation %d: %s %s", c.err, at, op, name)
						}
						told = told || op == fsx.OpCreate
						return &fs.PathError{Op: string(op), Path: name, Err: c.err}
					}
					return nil
				}
				conn.commit(func() { conn.fill(2, 1, 9) })
			})
			w.inject = nil
			if h := w.health(); told && !errors.Is(c.err, fs.ErrNotExist) && (h.State == tracker.StateOK || !errors.Is(h.LastError, c.err)) {
				t.Errorf("%s: state is %s, %v", hit, h.State, h.LastError)
			}
			conn.commit(func() { conn.fill(3, 1, 9) })
			w.visitor(-1)
			w.repair()
			if !w.isCurrent() {
				t.Errorf("%s: not current", hit)
			}
			w.uploaded()
			if t.Failed() {
				t.FailNow()
			}
			if hit == "" {
				break
			}
		}
	}
}

// A spool that can't be written again and again does not fill the disk.
func TestFaultsWhileFilesAreMadeLeaveLittle(t *testing.T) {
	w, c := readingAhead(t, 8)
	for i := range byte(12) {
		c.commit(func() { c.fill(0, 10, i) })
		w.visitorAnd(0, func() {
			made := 0
			w.inject = func(op fsx.Op, name string) error {
				if op != fsx.OpCreate {
					return nil
				}
				if made++; made == 7 {
					return &fs.PathError{Op: string(op), Path: name, Err: syscall.ENOSPC}
				}
				return nil
			}
		})
		w.inject = nil
		w.judge() // which bounds the spool
	}
	w.visitor(-1)
	w.repair()
	w.settled()
}

// The patience of writers bounds also how long the files are made under the lock that all has been read under.
func TestPatienceWithFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newT(t)
		w.commitChunks, w.patience = 1, 12*time.Millisecond
		w.restart()
		c := w.open(tracker.Normal)
		defer c.close()
		c.commit(func() { c.fill(0, 9, 1) })
		staged := w.countStaged()
		v := &slow{w.bare()}
		v.t = w.m.Track(w.path, v, tracker.Eager)
		v.t.Snapshot(tracker.Shared)
		if *staged != 3 { // it took 9 ms to read all
			t.Errorf("%d chunks were staged under the lock, want 3", *staged)
		}
		v.t.Unlocked()
		if *staged != 8 {
			t.Errorf("%d chunks were staged, want 8", *staged)
		}
		v.t.Close()
		check(t, v.Close())
		if read := w.visitor(-1); read > 2 {
			t.Errorf("%d chunks were read again", read)
		}
		w.uploaded()
	})
}

// slow is a file for which somebody always waits, and of which a chunk is read, or staged, in a millisecond.
type slow struct{ *conn }

func (s *slow) Yield() bool {
	time.Sleep(time.Millisecond)
	return true
}

// Whoever can't leave what it wrote to others waits until the files are made.
func TestWriterThatHasToWait(t *testing.T) {
	w, c := readingAhead(t, 8)
	c.commit(func() { c.fill(0, 20, 1) })
	done := make(chan struct{})
	w.visitorAnd(0, func() {
		w.journal(magic)
		c.t.LockedExclusive()
		c.fill(2, 1, 9)
		c.header()
		c.t.Claim()
		go func() {
			defer close(done)
			c.unlock()
		}()
	})
	<-done
	if !c.t.NeedsSnapshot() {
		t.Error("the failed transaction was forgotten")
	}
	w.unjournal()
	c.commit(func() { c.fill(2, 1, 8) })
	w.visitor(-1)
	w.settled()
}

// Whoever only looks does not hold its lock until the files are made.
func TestReaderDoesNotWait(t *testing.T) {
	w, c := readingAhead(t, 8)
	r := w.open(tracker.Normal)
	w.inject = func(op fsx.Op, name string) error {
		return &fs.PathError{Op: string(op), Path: name, Err: syscall.ENOSPC}
	}
	r.commit(func() { r.fill(0, 1, 1) })
	w.inject = nil
	c.commit(func() { c.fill(0, 20, 1) })
	w.visitorAnd(0, func() {
		w.m.Desync(w.key(targetA.ID), errors.New("lost"))
		if !r.t.NeedsSnapshot() {
			t.Error("nothing is due")
		}
		r.unlock()
	})
	w.visitor(-1)
	w.uploaded()
}

// A bug there costs no more than what was read.
func TestPanicWhileFilesAreMade(t *testing.T) {
	w, c := readingAhead(t, 8)
	c.commit(func() { c.fill(0, 20, 1) })
	w.visitorAnd(0, func() {
		w.inject = func(fsx.Op, string) error { panic("bug") }
	})
	w.inject = nil
	if h := w.health(); h.State != tracker.StateUntracked && h.State != tracker.StateBehind || !errors.Is(h.LastError, tracker.ErrPanic) {
		t.Errorf("state is %s, %v", h.State, h.LastError)
	}
	c.commit(func() { c.fill(2, 1, 8) })
	w.visitor(-1)
	w.repair()
	w.settled()
}

// Where ids can't be kept nobody could go on, so what was read is lost.
func TestReadAheadWithoutAttributes(t *testing.T) {
	w := newT(t)
	w.noAttr, w.patience, w.maxAhead = true, time.Hour, 4
	w.restart()
	o := w.openWith(tracker.New(nil), tracker.Normal)
	o.commit(func() { o.fill(0, 20, 1) })
	o.close()
	w.visitor(0)
	w.visitor(-1)
	w.settled()
}
