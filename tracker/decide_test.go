package tracker_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/tracker"
)

const chunks = 24 // of the database in these tests

// read is what a snapshot read of the database.
type read string

const (
	nothing read = "nothing"
	some    read = "some"
	all     read = "all"
	never   read = "never"
)

// watch opens a connection of which it tells what its snapshots read.
func (w *world) watch(m *tracker.Manager, mode tracker.Mode) (*conn, func() read) {
	w.Helper()
	f, err := os.OpenFile(w.path, os.O_RDWR, 0)
	check(w.tb, err)
	c := &conn{File: f, w: w}
	seen := &counting{conn: c, chunks: map[int64]int{}}
	c.t = m.Track(w.path, seen, mode)
	return c, func() read {
		defer clear(seen.chunks)
		switch len(seen.chunks) {
		case 0:
			return nothing
		case chunks:
			return all
		}
		return some
	}
}

// What a transaction, or a look, makes the tracker read, depending on what happened before. In
// each case a database of some chunks has been staged, and the connection is not new to it.
func TestDecisions(t *testing.T) {
	type state struct {
		*world
		c *conn
	}
	change := func(s state) { s.c.commit(func() { s.c.write(5*chunk+7, []byte("changed")) }) }
	foreign := func(s state) {
		s.Helper()
		f, err := os.OpenFile(s.path, os.O_RDWR, 0)
		check(s.tb, err)
		defer f.Close()
		_, err = f.WriteAt([]byte("foreign"), 9*chunk)
		check(s.tb, err)
		_, err = f.WriteAt(s.nextHeader(), 0)
		check(s.tb, err)
	}
	for _, c := range []struct {
		name   string
		before func(state)
		mode   tracker.Mode
		do     func(state)
		want   read
		noAttr read // where it differs without attributes; never: cannot be noticed then
	}{
		{name: "nothing", do: func(s state) { s.c.unlock() }, want: nothing},
		{name: "lock without a write", do: func(s state) { s.c.t.LockedExclusive(); s.c.unlock() }, want: nothing},
		{name: "transaction", do: change, want: some},
		{name: "transaction after transaction", before: change, do: change, want: some},
		{name: "write without a lock", do: func(s state) {
			s.c.write(5*chunk, []byte("changed"))
			s.c.header()
			s.c.unlock()
		}, want: all},
		{name: "after a write of another connection", before: func(s state) {
			c := s.open(tracker.Normal)
			c.commit(func() { c.write(7*chunk, []byte("other")) })
			c.close()
		}, do: change, want: some},
		{name: "after a write of another process", before: func(s state) {
			s.restart()
			c := s.open(tracker.Normal)
			c.commit(func() { c.write(7*chunk, []byte("other")) })
		}, do: change, want: some},
		{name: "after a write of a stranger", before: foreign, do: change, want: all},
		{name: "after a write of Boule without a spool", before: func(s state) {
			opts := &tracker.Options{}
			if s.noAttr {
				opts.WithoutAttr()
			}
			c := s.openWith(tracker.New(opts), tracker.Normal)
			c.commit(func() { c.write(7*chunk, []byte("other")) })
			c.close()
		}, do: change, want: all},
		{name: "after an unwritten rollback of Boule without a spool", before: func(s state) {
			// The header is as before, but pages may not be.
			c := s.openWith(tracker.New(nil), tracker.Normal)
			c.t.LockedExclusive()
			c.write(7*chunk, []byte("other"))
			c.close()
		}, do: change, want: all, noAttr: never},
		{name: "somebody wrote between commit and snapshot", do: func(s state) {
			s.c.t.LockedExclusive()
			s.c.write(5*chunk, []byte("changed"))
			s.c.header()
			c := s.openWith(tracker.New(nil), tracker.Normal)
			c.commit(func() { c.write(7*chunk, []byte("other")) })
			s.c.unlock()
		}, want: all, noAttr: never}, // only broken locks allow it
		{name: "header unchanged", do: func(s state) {
			s.c.t.LockedExclusive()
			s.c.write(5*chunk, []byte("changed"))
			s.c.unlock()
		}, want: some, noAttr: all},
		{name: "no staged manifest", before: func(s state) {
			p, err := s.good.Producer(s.db(), targetA)
			check(s.tb, err)
			check(s.tb, p.DropStaged(s.name()))
			check(s.tb, p.Close())
		}, do: change, want: all},
		{name: "unreadable staged manifest", before: func(s state) {
			p, err := s.good.Producer(s.db(), targetA)
			check(s.tb, err)
			check(s.tb, p.StageManifest(s.name(), []byte("rubbish")))
			check(s.tb, p.Close())
		}, do: change, want: all},
		{name: "no version id", before: func(s state) { s.setID("") }, do: change, want: all, noAttr: some},
		{name: "another version id", before: func(s state) { s.setID("x") }, do: change, want: all, noAttr: some},
		{name: "several transactions under one lock", do: func(s state) {
			s.c.t.LockedExclusive()
			s.c.write(5*chunk, []byte("1"))
			s.c.header()
			s.c.write(6*chunk, []byte("2"))
			s.c.header()
			s.c.settle(tracker.Exclusive)
		}, want: some},
		{name: "second transaction under the lock", before: func(s state) {
			s.c.t.LockedExclusive()
			s.c.write(5*chunk, []byte("1"))
			s.c.header()
			s.c.settle(tracker.Exclusive)
		}, do: func(s state) {
			s.c.write(6*chunk, []byte("2"))
			s.c.header()
			s.c.settle(tracker.Exclusive)
		}, want: some},
		{name: "eager, nothing changed", mode: tracker.Eager, do: func(s state) { s.c.unlock() }, want: nothing},
		{name: "eager, after a write of a stranger", mode: tracker.Eager, before: foreign, do: func(s state) { s.c.unlock() }, want: all},
		{
			name: "eager, after another version id", mode: tracker.Eager, before: func(s state) { s.setID("x") },
			do: func(s state) { s.c.unlock() }, want: all, noAttr: nothing,
		},
		{name: "not eager, after a write of a stranger", before: foreign, do: func(s state) { s.c.unlock() }, want: nothing},
	} {
		for _, noAttr := range []bool{false, true} {
			name, want := c.name, c.want
			if noAttr && c.noAttr == never {
				continue
			}
			if noAttr {
				name += ", no attributes"
				if c.noAttr != "" {
					want = c.noAttr
				}
			}
			t.Run(name, func(t *testing.T) {
				w := newT(t)
				w.noAttr = noAttr
				w.restart()
				first := w.open(tracker.Normal)
				first.commit(func() { first.fill(0, chunks, 1) })
				w.uploaded()
				conn, what := w.watch(w.m, c.mode)
				s := state{w, conn}
				if c.before != nil {
					c.before(s)
					what()
				}
				c.do(s)
				if got := what(); got != want {
					t.Errorf("the snapshot read %s, want %s", got, want)
				}
				if want != nothing {
					w.uploaded()
				}
			})
		}
	}
}

// A full snapshot stages only what differs from what is staged; after doubts about the store it
// stages everything.
func TestFullSnapshotStagesDifferences(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, chunks, 1) })
	w.uploaded()
	w.setID("x")
	c.commit(func() { c.write(5*chunk, []byte("changed")) })
	if got := w.stagedChunks(); got != 1 {
		t.Errorf("%d chunks were staged, want 1", got)
	}
	w.uploaded()
	w.m.Desync(w.key(targetA.ID), nil)
	if h := w.health(); h.State != tracker.StateBehind {
		t.Errorf("state after a desync is %s", h.State)
	}
	if n := w.repair(); n != 1 {
		t.Errorf("%d repairs, want 1", n)
	}
	if got := w.stagedChunks(); got != chunks-1 {
		t.Errorf("%d chunks were staged, want %d", got, chunks-1)
	}
	w.uploaded()
	if h := w.health(); h.State != tracker.StateOK {
		t.Errorf("state after the repair is %s: %v", h.State, h.LastError)
	}
}

// The staged manifest is dropped later if that is not possible at once.
func TestDesyncWhileSpoolFails(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.uploaded()
	w.repair()
	w.inject = func(fsx.Op, string) error { return syscall.EIO }
	w.m.Desync(w.key(targetA.ID), nil)
	w.repair()
	w.inject = nil
	w.repair()
	if got := w.stagedChunks(); got != 3 {
		t.Errorf("%d chunks were staged, want 3", got)
	}
	w.uploaded()
}

// A database that nobody tracks is desynced through its spool.
func TestDesyncOfUntracked(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.uploaded()
	c.close()
	w.restart()
	w.m.Desync(w.key(targetA.ID), nil)
	w.visit(tracker.Eager)
	if got := w.stagedChunks(); got != 3 {
		t.Errorf("%d chunks were staged, want 3", got)
	}
	w.uploaded()
}

// stagedChunks counts the chunks that wait in the first target's spool.
func (w *world) stagedChunks() int {
	w.Helper()
	infos, err := w.good.Spools()
	check(w.tb, err)
	for _, i := range infos {
		if i.Key == w.key(w.targets[0].ID) {
			return max(i.Staged.Chunks, i.Ready.Chunks)
		}
	}
	return 0
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(c *conn)
	}{
		{"grow by a page", func(c *conn) { c.write(8*chunk, make([]byte, 4096)) }},
		{"grow by many chunks", func(c *conn) { c.fill(20, 3, 5) }},
		{"grow past a hole", func(c *conn) { c.write(30*chunk+5, []byte("x")) }},
		{"grow by truncation", func(c *conn) { c.truncate(11*chunk + 100) }},
		{"shrink to a boundary", func(c *conn) { c.truncate(4 * chunk) }},
		{"shrink into a chunk", func(c *conn) { c.truncate(4*chunk + 1) }},
		{"shrink into the first chunk", func(c *conn) { c.truncate(1000) }},
		{"shrink and grow", func(c *conn) { c.truncate(2*chunk + 9); c.write(6*chunk, []byte("x")) }},
		{"shrink and grow by truncation", func(c *conn) { c.truncate(2*chunk + 9); c.truncate(8*chunk + 9) }},
		{"grow and shrink", func(c *conn) { c.fill(9, 3, 5); c.truncate(7*chunk + 77) }},
		{"zeros", func(c *conn) { c.write(3*chunk, make([]byte, 2*chunk)) }},
	} {
		for _, end := range []int{0, 1, 4096, chunk - 1} {
			t.Run(c.name, func(t *testing.T) {
				w := newT(t)
				conn := w.open(tracker.Normal)
				conn.commit(func() {
					conn.fill(0, 8, 1)
					conn.write(8*chunk, pattern(end, 3, 3))
				})
				w.staged(targetA.ID)
				for range 3 {
					conn.commit(func() { c.change(conn) })
					w.staged(targetA.ID)
					w.judge()
				}
				conn.commit(func() { conn.fill(0, 8, 2) })
				w.uploaded()
				if n := w.health().ScrubMismatches; n > 0 {
					t.Errorf("%d changes were found by luck only", n)
				}
			})
		}
	}
}

// The zero chunk and the first chunk are never staged as chunks.
func TestKnownChunksAreNotStaged(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.truncate(10 * chunk) })
	if got := w.stagedChunks(); got != 0 {
		t.Errorf("%d chunks were staged, want none", got)
	}
	w.uploaded()
	if got := len(w.remotes[targetA.ID].Chunks); got != 0 {
		t.Errorf("%d chunks were uploaded, want none", got)
	}
	if got := w.manifest(targetA.ID).Chunks[3]; got != manifest.ZeroChunk {
		t.Errorf("chunk 3 is %v", got)
	}
}

// A chunk that changed although nobody said so is noticed sooner or later.
func TestScrub(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	w.uploaded()
	_, err := c.WriteAt([]byte("silent"), 2*chunk)
	check(t, err)
	found := false
	for i := 0; i < 1000 && !found; i++ {
		c.commit(func() { c.write(chunk, []byte{byte(i), byte(i >> 8)}) })
		found = w.health().ScrubMismatches > 0
	}
	if !found {
		t.Error("a silent change was never noticed")
	}
	w.uploaded()
}
