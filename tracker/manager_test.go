package tracker_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/tracker"
)

// fail makes all operations on the spools of a target fail.

// While one target fails, reading costs nothing.

// options are like those of restart, but for the pauses.

func TestFirstSight(t *testing.T) {
	w := newT(t)
	stock := w.openWith(tracker.New(nil), tracker.Normal)
	stock.commit(func() { stock.fill(0, 4, 1) })
	for range 3 {
		c, what := w.watch(w.m, tracker.Normal)
		if c.t.NeedsSnapshot() {
			t.Error("a reader is to take a snapshot")
		}
		c.unlock()
		if got := what(); got != nothing {
			t.Errorf("a reader read %s of the database", got)
		}
		c.close()
	}
	if infos, _ := w.good.Spools(); len(infos) > 0 {
		t.Errorf("a reader made spools: %v", infos)
	}
	select {
	case <-w.m.Wake():
	default:
		t.Error("nobody was woken")
	}
	if h := w.health(); h.State != tracker.StateUnknown {
		t.Errorf("state is %s", h.State)
	}
	if got := w.m.Behind(); !slices.Equal(got, []string{w.path}) {
		t.Fatalf("behind: %v", got)
	}
	if got := w.m.Behind(); len(got) > 0 {
		t.Errorf("behind again: %v", got)
	}
	w.visit(tracker.Eager)
	w.uploaded()
	if got := w.notes[targetA.ID]; got != 1 {
		t.Errorf("%d notifications, want 1", got)
	}
	// The next write needs no second full snapshot, also of a file that had no version id.
	c, what := w.watch(w.m, tracker.Normal)
	for n := 4; n < chunks; n++ {
		c.commit(func() { c.fill(n, 1, 1) })
		if n == 4 && what() == all {
			t.Error("the second snapshot is full again")
		}
	}
	w.uploaded()
}

func TestFirstSightOfFileWithoutID(t *testing.T) {
	w := newT(t)
	check(t, os.WriteFile(w.path, append(w.nextHeader(), pattern(chunks*chunk-100, 1, 1)...), 0o600))
	w.peak = chunks * chunk
	w.visit(tracker.Eager)
	c, what := w.watch(w.m, tracker.Normal)
	c.commit(func() { c.fill(5, 1, 1) })
	if got := what(); got != some {
		t.Errorf("the second snapshot read %s of the database", got)
	}
	w.uploaded()
}

func TestUntracked(t *testing.T) {
	w := newT(t)
	for _, c := range []struct {
		name string
		opts *tracker.Options
	}{
		{"nil", nil},
		{"no root", &tracker.Options{Targets: w.targets}},
		{"no targets", &tracker.Options{Root: w.good}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := tracker.New(c.opts)
			conn := w.openWith(m, tracker.Eager)
			defer conn.close()
			if err := conn.t.Untracked(); !errors.Is(err, tracker.ErrUntracked) {
				t.Errorf("Untracked: %v", err)
			}
			seen := map[string]bool{w.getID(): true}
			for range 3 {
				conn.t.LockedExclusive()
				conn.write(0, []byte("x"))
				id := w.getID()
				if len(id) != 36 || seen[id] {
					t.Errorf("version id %q", id)
				}
				seen[id] = true
				conn.write(5, []byte("x"))
				conn.truncate(7)
				if w.getID() != id {
					t.Error("the version id changed within a transaction")
				}
				if conn.t.NeedsSnapshot() {
					t.Error("a snapshot is needed")
				}
				conn.t.Snapshot(tracker.Shared)
			}
			if _, err := conn.t.Current(); !errors.Is(err, tracker.ErrUntracked) {
				t.Errorf("Current: %v", err)
			}
			if _, ok := m.Health(w.path); ok || len(m.All()) > 0 || len(m.Keys(w.path)) > 0 {
				t.Error("an untracked database has a health")
			}
			if _, err := m.StagedFor(w.path); !errors.Is(err, tracker.ErrUntracked) {
				t.Errorf("StagedFor: %v", err)
			}
		})
	}
}

// A spool that cannot be opened makes the database untracked until it can.

func TestNotAFile(t *testing.T) {
	w := newT(t)
	r, _, err := os.Pipe()
	check(t, err)
	c := &conn{File: r, w: w}
	c.t = w.m.Track("/pipe", c, tracker.Normal)
	if c.t.Untracked() == nil {
		t.Error("a pipe is tracked")
	}
	if h, ok := w.m.Health("/pipe"); !ok || h.State != tracker.StateUntracked || h.LastError == nil {
		t.Errorf("health of a pipe: %+v, %v", h, ok)
	}
}

func TestSymlink(t *testing.T) {
	w := newT(t)
	link := w.path + "-link"
	check(t, os.Symlink(w.path, link))
	f, err := os.OpenFile(link, os.O_RDWR, 0)
	check(t, err)
	c := &conn{File: f, w: w}
	c.t = w.m.Track(link, c, tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.uploaded()
	if h, ok := w.m.Health(link); !ok || h.Path != w.path {
		t.Errorf("health of the link: %+v, %v", h, ok)
	}
}

func TestReplacedFile(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.repair()
	old := w.key(targetA.ID)
	w.inject = func(fsx.Op, string) error { return syscall.ENOSPC }
	c.commit(func() { c.fill(0, 4, 2) })
	w.inject = nil
	check(t, os.Rename(w.path, w.path+".old"))
	check(t, os.WriteFile(w.path, nil, 0o600))
	if got := w.m.Behind(); len(got) > 0 {
		t.Errorf("behind after the file was replaced: %v", got)
	}
	if got := len(w.m.All()); got != 1 {
		t.Errorf("%d databases are known while one is open, want 1", got)
	}
	n := w.open(tracker.Normal)
	n.commit(func() { n.fill(0, 3, 3) })
	w.repair() // which also cleans up
	w.uploaded()
	if _, err := os.Stat(filepath.Join(w.good.Dir(), filepath.FromSlash(old.String()))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the spool of the file that was replaced: %v", err)
	}
	c.commit(func() { c.fill(0, 4, 4) }) // it may still be written
	c.close()
	check(t, os.Remove(w.path))
	n.close()
	w.inject = nil
}

// A database that changes under its lock is not taken for a state that existed.

func TestCurrent(t *testing.T) {
	w := newT(t, targetA, targetB)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	current := func() (got []bool) {
		t.Helper()
		infos, err := c.t.Current()
		check(t, err)
		for i, info := range infos {
			if info.Key != w.m.Keys(w.path)[i] || info.Name != w.name() {
				t.Errorf("info %+v", info)
			}
			if info.Err == nil {
				m := w.manifest(info.Key.Target)
				if info.Sequence != m.Sequence || info.Header != m.Header || info.Size != m.Size || string(info.VersionID) != string(m.VersionID) {
					t.Errorf("info %+v of manifest %+v", info, m)
				}
			}
			got = append(got, info.Current)
		}
		return got
	}
	if got := current(); !slices.Equal(got, []bool{true, true}) {
		t.Errorf("after a commit: %v", got)
	}
	w.fail(targetB.ID, syscall.ENOSPC)
	c.commit(func() { c.fill(1, 1, 2) })
	if got := current(); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("after a failure: %v", got)
	}
	stock := w.openWith(tracker.New(nil), tracker.Normal)
	stock.commit(func() { stock.fill(1, 1, 3) })
	if got := current(); !slices.Equal(got, []bool{false, false}) {
		t.Errorf("after a write of a stranger: %v", got)
	}
	w.inject = nil
	infos, err := w.m.StagedFor(w.path)
	check(t, err)
	for _, info := range infos {
		if info.Err != nil || info.Current || info.Sequence == 0 {
			t.Errorf("staged: %+v", info)
		}
	}
	check(t, os.RemoveAll(w.prefix))
	for _, info := range must(c.t.Current()) {
		if !errors.Is(info.Err, fs.ErrNotExist) {
			t.Errorf("staged in a spool that is gone: %+v", info)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestClosedManager(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.repair()
	check(t, w.m.Close())
	before := w.manifest(targetA.ID).Sequence
	c.commit(func() { c.fill(1, 1, 2) })
	if got := w.manifest(targetA.ID).Sequence; got != before {
		t.Error("a snapshot was taken after Close")
	}
	if n := w.repair(); n != 0 {
		t.Errorf("%d repairs after Close", n)
	}
	if err := w.open(tracker.Normal).t.Untracked(); err == nil {
		t.Error("a database is tracked after Close")
	}
	c.close()
	w.restart()
	w.visit(tracker.Normal)
	w.repair()
	w.uploaded()
}

// Connections of one process share a Manager, from many goroutines.

// What a snapshot allocates does not grow with the database, but for the list of fingerprints.
