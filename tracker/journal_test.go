package tracker_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/boule-db/boule/tracker"
)

func (w *world) journal(content []byte) {
	w.Helper()
	check(w.tb, os.WriteFile(w.path+"-journal", content, 0o600))
}

func (w *world) unjournal() {
	w.Helper()
	check(w.tb, os.Remove(w.path+"-journal"))
}

func TestHotJournal(t *testing.T) {
	hot := append(magic[:len(magic):len(magic)], "rest"...)
	for _, c := range []struct {
		name     string
		journal  []byte
		held     tracker.Held
		reserved bool
		want     bool // a snapshot
	}{
		{"no journal", nil, tracker.Shared, false, true},
		{"empty (TRUNCATE)", []byte{}, tracker.Shared, false, true},
		{"short", magic[:7], tracker.Shared, false, true},
		{"zeroed (PERSIST)", make([]byte, 512), tracker.Shared, false, true},
		{"hot", hot, tracker.Shared, false, false},
		{"of a living writer", hot, tracker.Shared, true, true},
		{"under EXCLUSIVE, zeroed", make([]byte, 512), tracker.Exclusive, false, true},
		{"under EXCLUSIVE, hot", hot, tracker.Exclusive, false, false},
		{"under EXCLUSIVE there is no other writer", hot, tracker.Exclusive, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newT(t)
			conn := w.open(tracker.Normal)
			conn.commit(func() { conn.fill(0, 4, 1) })
			before := w.manifest(targetA.ID).Sequence
			if c.journal != nil {
				w.journal(c.journal)
			}
			conn.reserved = c.reserved
			conn.t.LockedExclusive()
			conn.fill(1, 1, 2)
			conn.header()
			conn.settle(c.held)
			if got := w.manifest(targetA.ID).Sequence > before; got != c.want {
				t.Errorf("a snapshot was taken: %v, want %v", got, c.want)
			}
			if h := w.health(); c.want && h.State != tracker.StateOK ||
				!c.want && (h.State != tracker.StateUnknown || !errors.Is(h.LastError, tracker.ErrHotJournal)) {
				t.Errorf("state is %s: %v", h.State, h.LastError)
			}
			if c.want {
				w.staged(targetA.ID)
				return
			}
			if !conn.t.NeedsSnapshot() {
				t.Error("the failed transaction was forgotten")
			}
			// The rollback, by anybody, ends it.
			other := w.open(tracker.Normal)
			other.t.LockedExclusive()
			other.fill(1, 1, 1)
			w.unjournal()
			other.unlock()
			w.uploaded()
			conn.commit(func() { conn.fill(2, 1, 3) })
			w.uploaded()
		})
	}
}

// The journal of a writer that holds RESERVED may end while we look.
func TestJournalEndsMeanwhile(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	w.journal(magic)
	f := &reserving{conn: c, do: w.unjournal}
	c.t = w.m.Track(w.path, f, tracker.Normal)
	c.commit(func() { c.fill(0, 2, 1) })
	if f.calls != 1 {
		t.Errorf("the lock was checked %d times, want once", f.calls)
	}
	w.uploaded()
}

type reserving struct {
	*conn
	do       func()
	reserved bool
	calls    int
}

func (r *reserving) Reserved() (bool, error) {
	r.calls++
	r.do()
	return r.reserved, nil
}

func TestUnreadableJournal(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	check(t, os.Mkdir(w.path+"-journal", 0o700))
	c.commit(func() { c.fill(0, 2, 1) })
	if h := w.health(); h.State != tracker.StateUntracked && h.State != tracker.StateBehind {
		t.Errorf("state is %s", h.State)
	}
	w.unjournal()
	if w.repair() == 0 {
		t.Error("the database is not behind")
	}
	w.uploaded()
}

// What a connection wrote and never staged is repaired after it is gone.
func TestConnectionLeavesWithoutSnapshot(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.repair()
	c.t.LockedExclusive()
	c.fill(1, 1, 2)
	c.header()
	c.close()
	if n := w.repair(); n != 1 {
		t.Errorf("%d repairs, want 1", n)
	}
	w.uploaded()
	if n := w.repair(); n != 0 {
		t.Errorf("%d repairs after that, want none", n)
	}
}

func TestWAL(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.uploaded()
	w.repair()
	before := w.manifest(targetA.ID).Sequence
	mode := func(v byte) { c.write(18, []byte{v, v}) }

	c.t.LockedExclusive()
	c.header()
	mode(2)
	c.unlock()
	for i := range byte(3) { // checkpoints
		c.fill(int(i), 1, 9)
		mode(2)
		c.unlock()
		w.visit(tracker.Eager)
	}
	if got := w.manifest(targetA.ID).Sequence; got != before {
		t.Error("a snapshot was taken in WAL mode")
	}
	h := w.health()
	if h.State != tracker.StateWAL || !errors.Is(h.LastError, tracker.ErrWAL) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	if n := strings.Count(w.log.String(), "WAL mode"); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, &w.log)
	}
	if n := w.repair(); n != 0 {
		t.Errorf("%d repairs are due in WAL mode", n)
	}
	if _, err := c.t.Current(); !errors.Is(err, tracker.ErrWAL) {
		t.Errorf("Current: %v", err)
	}

	c.commit(func() {})
	if h := w.health(); h.State != tracker.StateOK {
		t.Errorf("state after WAL mode is %s: %v", h.State, h.LastError)
	}
	w.uploaded()
}

// A connection that saw nothing of the time in WAL mode is not fooled by it.
func TestWALElsewhere(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	other := w.openWith(tracker.New(nil), tracker.Normal)
	other.t.LockedExclusive()
	other.header()
	other.write(18, []byte{2, 2})
	other.fill(2, 1, 7)
	other.t.LockedExclusive()
	other.header()
	c.commit(func() { c.fill(1, 1, 2) })
	w.uploaded()
}

func TestEmptyDatabase(t *testing.T) {
	w := newT(t)
	w.visit(tracker.Normal)
	if n := w.repair(); n != 1 {
		t.Errorf("%d repairs, want 1", n)
	}
	c := w.open(tracker.Normal)
	if _, err := c.t.Current(); !errors.Is(err, tracker.ErrEmpty) {
		t.Errorf("Current: %v", err)
	}
	c.t.LockedExclusive()
	c.write(0, make([]byte, 100))
	c.truncate(0)
	c.unlock()
	if c.t.NeedsSnapshot() {
		t.Error("an empty database needs a snapshot")
	}
	if infos, err := w.good.Spools(); err != nil || len(infos) > 0 {
		t.Errorf("spools of an empty database: %v, %v", infos, err)
	}
	if n := w.repair(); n != 0 {
		t.Errorf("%d repairs after that, want none", n)
	}
	c.commit(func() {})
	w.uploaded()
}

// Between a snapshot that could not be taken and the next try others may have written, so that
// what this connection wrote is not all.
func TestStrangerAfterFailedLook(t *testing.T) {
	for _, noAttr := range []bool{false, true} {
		w := newT(t)
		w.noAttr = noAttr
		w.restart()
		c := w.open(tracker.Normal)
		c.commit(func() { c.fill(0, 6, 1) })
		check(t, os.Mkdir(w.path+"-journal", 0o700))
		c.commit(func() { c.fill(1, 1, 2) })
		w.unjournal()
		w.stranger(4)
		c.unlock()
		w.uploaded()
		if n := w.health().ScrubMismatches; n > 0 {
			t.Errorf("it was found by luck only")
		}
	}
}

// stranger writes a chunk, and the header, without Boule.
func (w *world) stranger(i int64) {
	w.Helper()
	f, err := os.OpenFile(w.path, os.O_RDWR, 0)
	check(w.tb, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("stranger"), i*chunk+9)
	check(w.tb, err)
	_, err = f.WriteAt(w.nextHeader(), 0)
	check(w.tb, err)
}

// Nobody opens a second connection to a database that was in WAL mode when it was first seen:
// it would be in the way of leaving that mode.
func TestWALAtFirstSight(t *testing.T) {
	w := newT(t)
	other := w.openWith(tracker.New(nil), tracker.Normal)
	other.t.LockedExclusive()
	other.fill(0, 4, 1)
	other.header()
	other.write(18, []byte{2, 2})
	w.open(tracker.Normal)
	if n := w.repair(); n != 0 {
		t.Errorf("%d repairs are due", n)
	}
	if h := w.health(); h.State != tracker.StateWAL {
		t.Errorf("state is %s", h.State)
	}
	// Nor while it stays in that mode, whatever is left to do.
	w.m.Desync(w.key(targetA.ID), nil)
	w.open(tracker.Normal)
	if _, due := w.m.NextDue(); due || w.repair() > 0 {
		t.Error("a repair is due in WAL mode")
	}
	other.t.LockedExclusive()
	other.header()
	w.open(tracker.Normal)
	if n := w.repair(); n != 1 {
		t.Errorf("%d repairs are due after WAL mode, want 1", n)
	}
	w.uploaded()
}
