package tracker_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
)

func (w *world) fail(target string, err error) {
	w.inject = func(op fsx.Op, name string) error {
		if strings.Contains(name, target) {
			return &fs.PathError{Op: string(op), Path: name, Err: err}
		}
		return nil
	}
}

func TestTargetsAreIndependent(t *testing.T) {
	w := newT(t, targetA, targetB)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 6, 1) })
	w.uploaded()

	w.fail(targetB.ID, syscall.ENOSPC)
	sequence := w.manifest(targetB.ID).Sequence
	for i := range byte(3) {
		c.commit(func() { c.fill(int(i), 2, 10+i) })
		w.staged(targetA.ID)
		w.judge()
	}
	if got := w.manifest(targetB.ID).Sequence; got != sequence {
		t.Error("the failing target has a new snapshot")
	}
	h := w.health()
	if h.State != tracker.StateBehind || !errors.Is(h.LastError, syscall.ENOSPC) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	if a, b := h.Targets[0], h.Targets[1]; a.State != tracker.StateOK || b.State != tracker.StateBehind || b.Failures != 3 {
		t.Errorf("targets: %+v", h.Targets)
	}
	w.inject = nil
	if w.repair() == 0 {
		t.Error("no repair is due")
	}
	w.uploaded()
	if h := w.health(); h.State != tracker.StateOK || h.LastError != nil {
		t.Errorf("state after the repair is %s: %v", h.State, h.LastError)
	}
	// A target that is added later gets everything.
	added := spool.Target{ID: "cccccccccccccccc"}
	w.targets = append(w.targets, added)
	remote := spooltest.NewRemote()
	w.remotes[added.ID] = remote
	w.toys[added.ID] = spooltest.NewToy(remote, func() (*spool.Consumer, error) { return w.good.Consumer(w.key(added.ID)) })
	w.restart()
	c = w.open(tracker.Normal)
	c.commit(func() { c.fill(3, 1, 77) })
	w.uploaded()
}

func TestReadersDoNotPayForFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newT(t, targetA, targetB)
		w.use(w.options(time.Second, time.Minute))
		c, what := w.watch(w.m, tracker.Normal)
		w.fail(targetB.ID, syscall.ENOSPC)
		c.commit(func() { c.fill(0, 4, 1) })
		what()
		for range 10 {
			if c.t.NeedsSnapshot() {
				t.Error("a reader is to take a snapshot before the retry is due")
			}
			c.unlock()
		}
		if got := what(); got != nothing {
			t.Errorf("readers read %s of the database", got)
		}
		w.inject = nil
		<-time.After(2 * time.Second)
		if !c.t.NeedsSnapshot() {
			t.Error("no snapshot although the retry is due")
		}
		c.unlock()
		w.uploaded()
		if c.t.NeedsSnapshot() {
			t.Error("a snapshot is needed after the retry")
		}
	})
}

func (w *world) options(least, most time.Duration) *tracker.Options {
	w.Helper()
	root, err := spool.OpenRoot(w.prefix, 0, &spool.Options{ScratchAge: -1, WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, name string) error {
			if w.inject != nil {
				return w.inject(op, name)
			}
			return nil
		})
	}})
	check(w.tb, err)
	return &tracker.Options{Root: root, Hostname: "host", Targets: w.targets, MinBackoff: least, MaxBackoff: most}
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newT(t)
		attempts := 0
		w.use(w.options(0, 0)) // the defaults
		c := w.open(tracker.Normal)
		w.m.Behind() // first sight
		w.inject = func(op fsx.Op, name string) error {
			attempts++
			return syscall.ENOSPC
		}
		c.commit(func() { c.fill(0, 4, 1) })
		if attempts == 0 {
			t.Fatal("the first attempt was not made")
		}
		var pauses []time.Duration
		last := time.Now()
		for len(pauses) < 9 {
			at, ok := w.m.NextDue()
			if !ok {
				t.Fatal("nothing is due")
			}
			// A commit before that costs nothing.
			attempts = 0
			c.commit(func() { c.fill(1, 1, 2) })
			if got := w.m.Behind(); len(got) > 0 || attempts > 0 {
				t.Fatalf("%v before it is due: behind %v, %d attempts", time.Until(at), got, attempts)
			}
			<-time.After(time.Until(at))
			pauses = append(pauses, time.Since(last).Round(time.Millisecond))
			last = time.Now()
			if got := w.m.Behind(); !slices.Equal(got, []string{w.path}) {
				t.Fatalf("behind: %v", got)
			}
			if got := w.m.Behind(); len(got) > 0 {
				t.Fatalf("behind again at once: %v", got)
			}
			w.visit(tracker.Eager)
		}
		for i, p := range pauses {
			base := min(time.Second<<i, time.Minute)
			if p < base*3/4 || p > base*5/4+time.Millisecond {
				t.Errorf("pause %d was %v, want about %v", i, p, base)
			}
		}
		w.inject = nil
		c.commit(func() { c.fill(1, 1, 3) }) // not due
		at, _ := w.m.NextDue()
		<-time.After(time.Until(at))
		c.commit(func() { c.fill(1, 1, 4) }) // due
		w.uploaded()
		if at, ok := w.m.NextDue(); ok {
			t.Errorf("after success a repair is due at %v", at)
		}
	})
}

func TestSpoolCannotBeOpened(t *testing.T) {
	w := newT(t)
	w.inject = func(fsx.Op, string) error { return syscall.EACCES }
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	h := w.health()
	if h.State != tracker.StateUntracked || !errors.Is(h.LastError, fs.ErrPermission) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	w.inject = nil
	w.repair()
	if h := w.health(); h.State != tracker.StateOK {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	w.uploaded()
}
