package tracker_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/tracker"
)

// Each file operation of some snapshots fails in turn, alone or with all that follow, as when
// the process is killed; in between a copier takes its steps. Whatever is staged or uploaded is
// complete, and after the process came back, or after the next repair, the replica is exact.
func TestFaultAtEveryOperation(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		crash bool
		steps int // of the copier before each operation
	}{
		{"crash", syscall.EIO, true, 0},
		{"crash beside a copier", syscall.EIO, true, 1},
		{"disk full", syscall.ENOSPC, false, 0},
		{"disk full beside a copier", syscall.ENOSPC, false, 2},
		{"vanished", syscall.ENOENT, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			stride := 1
			if testing.Short() {
				stride = 7
			}
			for at := 0; ; at += stride {
				calls, hit := 0, ""
				inject := func(w *world) func(fsx.Op, string) error {
					return func(op fsx.Op, name string) error {
						for range c.steps {
							_, err := w.toys[targetA.ID].Step()
							check(t, err)
						}
						if calls++; calls-1 == at || c.crash && calls > at {
							if hit == "" {
								hit = fmt.Sprintf("operation %d: %s %s", at, op, name)
							}
							return &fs.PathError{Op: string(op), Path: name, Err: c.err}
						}
						return nil
					}
				}
				faultAt(t, inject, c.crash)
				if t.Failed() {
					t.Fatal(hit)
				}
				if hit == "" {
					break
				}
			}
		})
	}
}

func faultAt(t *testing.T, inject func(*world) func(fsx.Op, string) error, crash bool) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 3, 1) })
	w.inject = inject(w)
	c.commit(func() { c.fill(2, 2, 2) })
	w.judge()
	c.commit(func() { c.fill(1, 1, 3) })
	w.judge()
	w.inject = nil
	if crash { // the connection is not closed
		w.restart()
		w.visit(tracker.Normal)
	}
	w.repair()
	w.judge()
	w.staged(targetA.ID)
	w.toys[targetA.ID].Crash()
	w.uploaded()
	scratch := filepath.Join(w.good.Dir(), filepath.FromSlash(w.key(targetA.ID).String()), "staging", "scratch")
	c = w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 1, 4) })
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("left in scratch: %v, %v", left, err)
	}
	w.uploaded()
}

// The spool, or all spools, vanish before each operation of a snapshot.
func TestSpoolVanishes(t *testing.T) {
	for _, what := range []string{"spool", "prefix", "renamed"} {
		t.Run(what, func(t *testing.T) {
			for at := 0; ; at++ {
				w := newT(t)
				c := w.open(tracker.Normal)
				c.commit(func() { c.fill(0, 4, 1) })
				w.uploaded()
				w.repair()
				calls := 0
				w.inject = func(fsx.Op, string) error {
					if calls++; calls-1 == at {
						dir := filepath.Join(w.good.Dir(), filepath.FromSlash(w.key(targetA.ID).String()))
						switch what {
						case "spool":
							check(t, os.RemoveAll(dir))
						case "prefix":
							check(t, os.RemoveAll(w.prefix))
						case "renamed":
							check(t, os.Rename(dir, filepath.Join(t.TempDir(), "moved")))
						}
					}
					return nil
				}
				c.commit(func() { c.fill(2, 1, 2) })
				w.inject = nil
				if h := w.health(); h.State != tracker.StateOK {
					t.Errorf("before operation %d: state is %s: %v", at, h.State, h.LastError)
				}
				w.judge()
				w.staged(targetA.ID)
				c.commit(func() { c.fill(1, 1, 3) })
				w.staged(targetA.ID)
				w.uploaded()
				if t.Failed() {
					t.Fatalf("before operation %d of %d", at, calls)
				}
				if calls <= at {
					break
				}
			}
		})
	}
}

// Snapshots that fail again and again, each of another content, do not fill the disk.
func TestFailuresDoNotFillTheDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		op   fsx.Op
		in   string // part of the name that cannot be made
		some int    // every so many
	}{
		{"manifest", fsx.OpRename, "/meta/", 1},
		{"chunk", fsx.OpRename, "/staging/chunks/", 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newT(t)
			conn := w.open(tracker.Normal)
			conn.commit(func() { conn.fill(0, 12, 0) })
			conn.commit(func() { conn.fill(0, 12, 1) }) // ready is occupied by the other
			calls := 0
			w.inject = func(op fsx.Op, name string) error {
				if op == c.op && strings.Contains(name, c.in) {
					if calls++; calls%c.some == 0 {
						return syscall.ENOSPC
					}
				}
				return nil
			}
			for i := range byte(40) {
				conn.commit(func() { conn.fill(0, 12, 2+i) })
				w.judge()
			}
			if h := w.health(); h.State != tracker.StateBehind {
				t.Errorf("state is %s", h.State)
			}
			w.inject = nil
			w.repair()
			w.uploaded()
		})
	}
}

// Where ids cannot tell that the content changed, a failure is remembered, in the spool if
// possible and in memory otherwise.
func TestFailureWithoutChangeOfID(t *testing.T) {
	for _, everything := range []bool{false, true} {
		w := newT(t)
		w.noAttr = true
		w.restart()
		c := w.open(tracker.Normal)
		c.commit(func() { c.fill(0, 6, 1) })
		w.repair()
		w.inject = func(op fsx.Op, name string) error {
			if everything || op == fsx.OpRename && strings.Contains(name, "/staging/meta/") {
				return syscall.ENOSPC
			}
			return nil
		}
		c.t.LockedExclusive()
		c.fill(3, 1, 2) // and not the header
		c.unlock()
		w.inject = nil
		if !everything {
			w.restart()
			w.visit(tracker.Normal)
		}
		if w.repair() == 0 {
			t.Error("no repair is due")
		}
		w.uploaded()
	}
}
