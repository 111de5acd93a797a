//go:build linux || darwin

package tracker_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
)

const (
	window    = 100 * time.Millisecond
	burstAttr = "user.boule.burst"
)

// burstWorld runs a test with a database of 20 chunks, of which a snapshot was taken just now, in
// a process that puts snapshots off. Time is fake.
func burstWorld(t *testing.T, f func(w *world, c *conn), targets ...spool.Target) {
	synctest.Test(t, func(t *testing.T) {
		w := newT(t, targets...)
		w.window = window
		w.restart()
		c := w.open(tracker.Normal)
		defer c.close()
		c.commit(func() { c.fill(0, 20, 1) })
		w.staged(targetA.ID)
		w.repair() // first sight
		f(w, c)
		w.judge()
	})
}

// reads evaluates by a connection of the manager and returns how many chunks that read.
func (w *world) reads(mode tracker.Mode, do func(c *counting)) int {
	w.Helper()
	c := &counting{conn: w.bare(), chunks: map[int64]int{}}
	c.t = w.m.Track(w.path, c, mode)
	defer c.close()
	do(c)
	return len(c.chunks)
}

func look(c *counting) { c.unlock() }

func (w *world) hasRecord() bool {
	n, err := unix.Getxattr(w.path, burstAttr, nil)
	return err == nil && n > 0
}

// A commit right after a snapshot touches no file of the spool; the first after the window takes
// the snapshot for all of them, and reads no more than they wrote.
func TestBurst(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		ops := 0
		w.inject = func(fsx.Op, string) error { ops++; return nil }
		for i := range 5 {
			c.commit(func() { c.fill(2+i, 1, 9) })
		}
		if ops > 0 || w.isCurrent() || !w.hasRecord() {
			t.Errorf("%d operations in the spool; current %v; recorded %v", ops, w.isCurrent(), w.hasRecord())
		}
		if h := w.health(); h.State != tracker.StateOK {
			t.Errorf("state is %s", h.State)
		}
		time.Sleep(window)
		n := w.reads(tracker.Normal, func(c *counting) { c.commit(func() { c.fill(12, 1, 9) }) })
		if n > 5+1+1+1 { // theirs, its own, the first, one at random
			t.Errorf("%d chunks were read", n)
		}
		if !w.isCurrent() || w.hasRecord() {
			t.Errorf("current %v, recorded %v", w.isCurrent(), w.hasRecord())
		}
	})
}

// A snapshot that nobody would take yet is put off until just before somebody does, unless it is large, and not for ever.
func TestBurstUntilTheNextUpload(t *testing.T) {
	for name, tc := range map[string]struct {
		next, other time.Duration // when the targets take something
		chunks      int           // that change
		pause       time.Duration // between commits
		want        time.Duration // how long it is put off
	}{
		"one target":           {5 * window, -1, 3, window / 2, 4 * window},
		"16 chunks":            {5 * window, -1, 14, window / 2, 4 * window},
		"17 chunks":            {5 * window, -1, 15, window / 2, window},
		"soon":                 {3 * window / 2, -1, 3, window / 2, window},
		"at any moment":        {0, -1, 3, window / 2, window},
		"in an hour":           {time.Hour, -1, 3, window / 2, 10 * window},
		"another target later": {5 * window, 7 * window, 3, window / 2, 4 * window},
		"another one before":   {7 * window, 5 * window, 3, window / 2, 4 * window},
		"another at any time":  {7 * window, 0, 3, window / 2, window},
		"few commits":          {5 * window, -1, 3, time.Hour, window},
	} {
		t.Run(name, func(t *testing.T) {
			targets := []spool.Target{targetA, targetB}
			if tc.other < 0 {
				targets = targets[:1]
			}
			burstWorld(t, func(w *world, c *conn) {
				at := func(d time.Duration) time.Time {
					if d == 0 {
						return time.Time{}
					}
					return time.Now().Add(d)
				}
				w.next = map[string]time.Time{targetA.ID: at(tc.next)}
				if tc.other >= 0 {
					w.next[targetB.ID] = at(tc.other)
				}
				start := time.Now()
				c.commit(func() { c.fill(2, tc.chunks, 9) }) // and the first chunk, and the one that the next commit changes
				for end := start.Add(tc.want - time.Nanosecond); time.Now().Before(end); {
					time.Sleep(min(tc.pause, time.Until(end)))
					if tc.pause < window {
						c.commit(func() { c.fill(1, 1, 9) })
					}
				}
				if w.isCurrent() {
					t.Error("a snapshot was taken too early")
				}
				due, ok := w.m.NextDue()
				if late := due.Sub(start) - tc.want; !ok || late < 0 || late > window {
					t.Errorf("due %v, %v after the end", ok, late)
				}
				time.Sleep(time.Nanosecond)
				c.commit(func() { c.fill(1, 1, 8) })
				if !w.isCurrent() {
					t.Error("no snapshot was taken")
				}
			}, targets...)
		})
	}
}

// If no commit comes, the snapshot is due soon after the window, and no sooner.
func TestBurstIsEndedByRepair(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		start := time.Now()
		c.commit(func() { c.fill(3, 1, 9) })
		select {
		case <-w.m.Wake():
		default:
			t.Error("nobody was woken")
		}
		at, ok := w.m.NextDue()
		if late := at.Sub(start); !ok || late < window || late > 2*window {
			t.Fatalf("due %v after the commit, %v", late, ok)
		}
		time.Sleep(time.Until(at) - 1)
		if due := w.m.Behind(); len(due) > 0 {
			t.Error("due too early")
		}
		time.Sleep(time.Nanosecond)
		if due := w.m.Behind(); len(due) != 1 {
			t.Fatalf("due: %v", due)
		}
		if n := w.reads(tracker.Eager, look); n > 3 {
			t.Errorf("%d chunks were read", n)
		}
		if !w.isCurrent() || w.hasRecord() {
			t.Errorf("current %v, recorded %v", w.isCurrent(), w.hasRecord())
		}
		if at, ok := w.m.NextDue(); ok {
			t.Errorf("due again at %v", at)
		}
	})
}

// A repair that could not be made is due again.
func TestBurstIsDueUntilItIsEnded(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		c.commit(func() { c.fill(3, 1, 9) })
		time.Sleep(2 * window)
		if due := w.m.Behind(); len(due) != 1 {
			t.Fatalf("due: %v", due)
		}
		at, ok := w.m.NextDue()
		if !ok || time.Until(at) > time.Second {
			t.Errorf("due again: %v, in %v", ok, time.Until(at))
		}
	})
}

// What a process that died put off is known to the next, which need not read everything.
func TestBurstSurvivesItsProcess(t *testing.T) {
	for name, after := range map[string]struct {
		mode tracker.Mode
		do   func(*counting)
	}{
		"reader": {tracker.Eager, look},
		"writer": {tracker.Normal, func(c *counting) { c.commit(func() { c.fill(7, 1, 9) }) }},
	} {
		t.Run(name, func(t *testing.T) {
			burstWorld(t, func(w *world, c *conn) {
				c.commit(func() { c.fill(3, 2, 9) })
				c.commit(func() { c.truncate(19 * chunk) })
				w.restart()
				if n := w.reads(after.mode, after.do); n > 2+2+1+1+1 {
					t.Errorf("%d chunks were read", n)
				}
				if !w.isCurrent() {
					t.Error("not current")
				}
			})
		})
	}
}

// Two processes that commit in turns never need a full snapshot, whoever takes it.
func TestBurstOfTwoProcesses(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		one := w.m
		w.restart()
		two := w.m
		for i := range 40 {
			w.m = []*tracker.Manager{one, two}[i%2]
			n := w.reads(tracker.Normal, func(c *counting) {
				c.commit(func() { c.fill(1+i%15, 1, byte(i+50)) })
			})
			if n > 15 {
				t.Fatalf("commit %d read %d chunks", i, n)
			}
			if i%7 == 6 {
				if n := w.reads(tracker.Eager, look); n > 15 || !w.isCurrent() {
					t.Fatalf("look %d read %d chunks, current %v", i, n, w.isCurrent())
				}
			}
			time.Sleep(window / 6)
		}
		if w.health().ScrubMismatches > 0 {
			t.Error("a change was found by luck only")
		}
		w.reads(tracker.Eager, look)
		w.uploaded()
	})
}

// Whoever writes without a record ends the burst: everything is read.
func TestBurstOfAStranger(t *testing.T) {
	for name, write := range map[string]func(w *world){
		"stranger": func(w *world) {
			f := w.bare()
			defer f.Close()
			_, err := f.WriteAt([]byte("foreign"), 9*chunk)
			check(w.tb, err)
			_, err = f.WriteAt(w.nextHeader(), 0)
			check(w.tb, err)
		},
		"unreplicated": func(w *world) {
			o := w.openWith(tracker.New(nil), tracker.Normal)
			defer o.close()
			o.t.LockedExclusive()
			o.write(9*chunk, []byte("spilled, and the header is as before"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			burstWorld(t, func(w *world, c *conn) {
				c.commit(func() { c.fill(3, 1, 9) })
				write(w)
				c.commit(func() { c.fill(4, 1, 9) })
				time.Sleep(window)
				n := w.reads(tracker.Eager, look)
				if !w.isCurrent() || n < 20 {
					t.Errorf("%d chunks were read, current %v", n, w.isCurrent())
				}
				if w.health().ScrubMismatches > 0 {
					t.Error("the change was found by luck")
				}
			})
		})
	}
}

// A transaction that spilled and was rolled back belongs to the burst.
func TestBurstWithRollback(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		c.commit(func() { c.fill(3, 1, 9) })
		before := w.bytes()
		c.t.LockedExclusive()
		c.fill(5, 2, 77)
		c.write(5*chunk, before[5*chunk:7*chunk])
		c.unlock()
		c.commit(func() { c.fill(8, 1, 9) })
		if n := w.reads(tracker.Eager, look); n > 1+2+1+1+1 || !w.isCurrent() {
			t.Errorf("%d chunks were read, current %v", n, w.isCurrent())
		}
	})
}

// When a transaction failed, the record says nothing until it is rolled back.
func TestBurstWithHotJournal(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		c.commit(func() { c.fill(3, 1, 9) })
		before := w.bytes()
		c.t.LockedExclusive()
		c.fill(5, 2, 77)
		w.journal(magic)
		w.restart() // killed
		w.visit(tracker.Eager)
		d := w.open(tracker.Normal)
		defer d.close()
		d.t.LockedExclusive()
		d.write(5*chunk, before[5*chunk:7*chunk])
		w.unjournal()
		d.unlock()
		w.visit(tracker.Eager)
		if !w.isCurrent() {
			t.Error("not current")
		}
	})
}

// The last connection of a process takes what was put off; one of several does not.
func TestBurstEndsWithTheLastConnection(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		d := w.open(tracker.Normal)
		d.commit(func() { d.fill(3, 1, 9) })
		if d.t.LastChance() {
			t.Error("one of two is not the last")
		}
		d.close()
		if w.isCurrent() {
			t.Fatal("nothing was put off")
		}
		own := w.open(tracker.Eager) // may be gone before it does anything
		if !c.t.LastChance() {
			t.Fatal("the application's last connection has no last chance")
		}
		check(t, own.Close())
		c.unlock()
		if !w.isCurrent() {
			t.Error("not current")
		}
		if c.t.LastChance() {
			t.Error("twice")
		}
	})
}

// What speaks against putting off.
func TestNotPutOff(t *testing.T) {
	for name, commit := range map[string]func(w *world, c *conn){
		"under EXCLUSIVE": func(w *world, c *conn) {
			c.t.LockedExclusive()
			c.fill(3, 1, 9)
			c.header()
			c.settle(tracker.Exclusive)
		},
		"much": func(w *world, c *conn) {
			c.commit(func() { c.fill(3, 200, 9) })
		},
		"much, by truncation": func(w *world, c *conn) {
			c.commit(func() { c.truncate(300 * chunk) })
		},
		"after the window": func(w *world, c *conn) {
			time.Sleep(window)
			c.commit(func() { c.fill(3, 1, 9) })
		},
		"store lost data": func(w *world, c *conn) {
			w.m.Desync(w.key(targetA.ID), nil)
			c.commit(func() { c.fill(3, 1, 9) })
		},
		"another process": func(w *world, c *conn) {
			w.restart()
			d := w.open(tracker.Normal)
			defer d.close()
			d.commit(func() { d.fill(3, 1, 9) })
		},
		"no attributes": func(w *world, c *conn) {
			w.noAttr = true
			w.restart()
			d := w.open(tracker.Normal)
			defer d.close()
			for i := range 3 {
				d.commit(func() { d.fill(3, 1, byte(i)) })
			}
		},
		"off": func(w *world, c *conn) {
			w.window = 0
			w.restart()
			d := w.open(tracker.Normal)
			defer d.close()
			for i := range 3 {
				d.commit(func() { d.fill(3, 1, byte(i)) })
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			burstWorld(t, func(w *world, c *conn) {
				commit(w, c)
				if !w.isCurrent() {
					t.Error("put off")
				}
				if w.hasRecord() {
					t.Error("there is a record")
				}
			})
		})
	}
}

// A failing spool is not hammered by bursts, nor does a burst hide the failure.
func TestBurstInATroubledSpool(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		c.commit(func() { c.fill(3, 1, 9) })
		w.inject = func(fsx.Op, string) error { return unix.ENOSPC }
		time.Sleep(window)
		c.commit(func() { c.fill(4, 1, 9) })
		if h := w.health(); h.State != tracker.StateBehind {
			t.Errorf("state is %s", h.State)
		}
		c.commit(func() { c.fill(5, 1, 9) })
		w.inject = nil
		time.Sleep(window)
		for w.repair() > 0 {
			time.Sleep(window)
		}
		if !w.isCurrent() {
			t.Error("not current")
		}
		w.uploaded()
	})
}

// A damaged record is none.
func TestDamagedRecord(t *testing.T) {
	burstWorld(t, func(w *world, c *conn) {
		c.commit(func() { c.fill(3, 1, 9) })
		rec := make([]byte, 4096)
		n, err := unix.Getxattr(w.path, burstAttr, rec)
		check(t, err)
		rec = rec[:n]
		for i := range rec {
			bad := slices.Clone(rec)
			bad[i] ^= 0x40
			check(t, unix.Setxattr(w.path, burstAttr, bad, 0))
			if n := w.reads(tracker.Eager, look); n < 20 {
				t.Fatalf("with a damaged byte %d only %d chunks were read", i, n)
			}
			if !w.isCurrent() {
				t.Fatal("not current")
			}
			c.commit(func() { c.fill(3, 1, byte(i)) })
		}
	})
}

// A snapshot that somebody waits for gives way, is not said to be there, and is repeated.
func TestSnapshotGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newT(t)
		c := w.open(tracker.Normal)
		defer c.close()
		stock := w.openWith(tracker.New(nil), tracker.Normal)
		stock.t.LockedExclusive()
		stock.fill(0, 20, 1)
		stock.header()
		stock.close()

		v := &yielding{conn: w.bare(), left: 7}
		v.t = w.m.Track(w.path, v, tracker.Eager)
		v.unlock()
		v.close()
		if h := w.health(); h.State != tracker.StateUnknown || h.LastError != nil {
			t.Errorf("state is %s, %v", h.State, h.LastError)
		}
		at, ok := w.m.NextDue()
		if !ok {
			t.Fatal("not due again")
		}
		time.Sleep(time.Until(at))
		if w.repair() != 1 {
			t.Fatal("not due")
		}
		w.uploaded()
		if h := w.health(); h.State != tracker.StateOK || h.LastError != nil {
			t.Errorf("state is %s, %v", h.State, h.LastError)
		}
	})
}

// yielding is a file for which somebody waits after some chunks.
type yielding struct {
	*conn
	left int
}

func (y *yielding) Yield() bool {
	y.left--
	return y.left < 0
}
