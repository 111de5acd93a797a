package tracker_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/tracker"
)

// deferring is a world whose commits read at most three chunks, with a connection that has written
// none yet.
func deferring(t *testing.T) (*world, *counting) {
	w := newT(t)
	w.commitChunks, w.overrides = 3, 2
	w.restart()
	return w, w.counted()
}

func (w *world) counted() *counting {
	c := &counting{conn: w.bare(), chunks: map[int64]int{}}
	c.t = w.m.Track(w.path, c, tracker.Normal)
	return c
}

// visitor looks at the database as repairs do, and is made to give way after some chunks; negative
// for never. It returns how many it read.
func (w *world) visitor(left int) int {
	w.Helper()
	if left < 0 {
		left = 1 << 30
	}
	return w.visitorAnd(left, func() {})
}

// visitorAnd is visitor that does something after it has released its lock.
func (w *world) visitorAnd(left int, do func()) int {
	w.Helper()
	c := &counting{conn: w.bare(), chunks: map[int64]int{}}
	v := &yieldingCounter{c, left}
	c.t = w.m.Track(w.path, v, tracker.Eager)
	if c.t.NeedsSnapshot() {
		c.t.Snapshot(tracker.Shared)
	}
	do()
	c.t.Unlocked()
	c.t.Close()
	check(w.tb, c.Close())
	n := 0
	for _, k := range c.chunks {
		n += k
	}
	return n
}

type yieldingCounter struct {
	*counting
	left int
}

func (y *yieldingCounter) Yield() bool {
	y.left--
	return y.left < 0
}

// A commit with more chunks than it may read stages nothing, and whoever takes the snapshot reads
// each chunk once, however often it has to give way.
func TestLargeSnapshotIsDeferred(t *testing.T) {
	w, c := deferring(t)
	c.commit(func() { c.fill(0, 20, 1) })
	if len(c.chunks) > 0 {
		t.Errorf("the commit read chunks %v", c.chunks)
	}
	if paths := w.m.PutOff(); len(paths) != 1 {
		t.Errorf("put off: %v", paths)
	}
	read := 0
	for range 3 {
		read += w.visitor(4)
	}
	if _, err := w.m.StagedFor(w.path); err != nil {
		t.Fatal(err)
	}
	read += w.visitor(-1)
	if read > 20+4 { // the first chunk and a random one, for checking, come on top
		t.Errorf("%d chunks were read", read)
	}
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	if paths := w.m.PutOff(); len(paths) > 0 {
		t.Errorf("still put off: %v", paths)
	}
	w.uploaded()
	// And from here on commits are small.
	c.commit(func() { c.fill(7, 1, 2) })
	if !w.isCurrent() {
		t.Error("a small commit was not staged")
	}
	w.uploaded()
}

// What is written while a snapshot is under way is made up for, wherever it is.
func TestCommitsDuringADeferredSnapshot(t *testing.T) {
	for name, change := range map[string]func(w *world, c *counting){
		"done":     func(_ *world, c *counting) { c.fill(2, 1, 9) },
		"to come":  func(_ *world, c *counting) { c.fill(15, 1, 9) },
		"both":     func(_ *world, c *counting) { c.fill(1, 2, 9); c.fill(18, 2, 9) },
		"grow":     func(_ *world, c *counting) { c.fill(20, 5, 9) },
		"shrink":   func(_ *world, c *counting) { c.truncate(11*chunk + 512) },
		"far less": func(_ *world, c *counting) { c.truncate(3 * chunk) },
		"zeros":    func(_ *world, c *counting) { c.write(2*chunk, make([]byte, chunk)) },
		"ends":     func(_ *world, c *counting) { c.truncate(20*chunk - 512); c.fill(19, 3, 9) },
	} {
		t.Run(name, func(t *testing.T) {
			w, c := deferring(t)
			c.commit(func() { c.fill(0, 20, 1) })
			w.visitor(7)
			c.commit(func() { change(w, c) })
			w.visitor(3)
			c.commit(func() { c.fill(1, 1, 5) })
			read := w.visitor(-1)
			if !w.isCurrent() {
				t.Fatal("not current")
			}
			if read > 20 {
				t.Errorf("the last visit read %d chunks: it began again", read)
			}
			w.uploaded()
			c.commit(func() { c.fill(0, 2, 3) })
			if !w.isCurrent() {
				t.Fatal("not current")
			}
			w.uploaded()
		})
	}
}

// When little is left, the next commit does it.
func TestCommitEndsADeferredSnapshot(t *testing.T) {
	w, c := deferring(t)
	c.commit(func() { c.fill(0, 20, 1) })
	w.visitor(19)
	clear(c.chunks)
	c.commit(func() { c.fill(4, 1, 2) })
	if len(c.chunks) == 0 || len(c.chunks) > 5 {
		t.Errorf("the commit read %v", c.chunks)
	}
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	w.uploaded()
}

// Progress counts only as long as nobody else interferes; the snapshot is exact whatever happens.
func TestInterferenceWithADeferredSnapshot(t *testing.T) {
	for name, interfere := range map[string]func(w *world, c *counting){
		"stranger": func(w *world, _ *counting) { w.stranger(2) },
		"untracked": func(w *world, _ *counting) {
			c := w.openWith(tracker.New(nil), tracker.Normal)
			defer c.close()
			c.commit(func() { c.fill(3, 2, 88) })
		},
		"another process stages": func(w *world, _ *counting) {
			other := w.m
			w.restart()
			w.visitor(-1)
			w.m = other
		},
		"another process writes": func(w *world, _ *counting) {
			other := w.m
			w.restart()
			c := w.open(tracker.Normal)
			c.commit(func() { c.fill(3, 2, 88) })
			c.close()
			w.m = other
		},
		"spool deleted": func(w *world, _ *counting) { check(w.tb, os.RemoveAll(w.good.Dir())) },
		"desync": func(w *world, _ *counting) {
			w.m.Desync(w.key(targetA.ID), nil)
		},
		"uploaded meanwhile": func(w *world, _ *counting) {
			for range 30 {
				if _, err := w.toys[targetA.ID].Step(); err != nil {
					w.Fatal(err)
				}
			}
		},
		"killed": func(w *world, _ *counting) { w.restart() },
		"rolled back": func(_ *world, c *counting) {
			c.t.LockedExclusive()
			before := c.w.bytes()[2*chunk : 3*chunk]
			c.fill(2, 1, 44)
			c.write(2*chunk, before)
			c.unlock()
		},
	} {
		for _, staged := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w, c := deferring(t)
				if staged { // so that what is deferred starts from there
					c.commit(func() { c.fill(0, 30, 6) })
					w.visitor(-1)
					w.uploaded()
				}
				c.commit(func() { c.fill(0, 20, 1) })
				w.visitor(7)
				interfere(w, c)
				w.visitor(5)
				w.visitor(-1)
				if !w.isCurrent() {
					t.Fatal("not current")
				}
				w.uploaded()
				c = w.counted()
				c.commit(func() { c.fill(5, 9, 4) })
				w.visitor(2)
				c.commit(func() { c.fill(5, 1, 5) })
				w.visitor(-1)
				if !w.isCurrent() {
					t.Fatal("not current")
				}
				w.uploaded()
			})
		}
	}
}

// The last connection leaves no deferred snapshot behind.
func TestCloseEndsADeferredSnapshot(t *testing.T) {
	w, c := deferring(t)
	c.commit(func() { c.fill(0, 20, 1) })
	w.visitor(5)
	c.close()
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	w.uploaded()
}

// A process that knows what is staged reads nothing of it again, and one that does not reads what
// it needs.
func TestStagedIsKnown(t *testing.T) {
	w := newT(t)
	w.overrides = 4
	ops := map[string]int{}
	w.count(ops)
	w.restart()
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 40, 1) })
	w.manifest(targetA.ID) // its index block is where it must be
	clear(ops)
	for i := range byte(20) {
		c.commit(func() { c.fill(7, 1, i) })
	}
	if n := ops["readfile"] + ops["readat"]; n > 0 {
		t.Errorf("20 commits read %d files of the spool", n)
	}
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	// Another process in between.
	mine := w.m
	w.restart()
	o := w.open(tracker.Normal)
	o.commit(func() { o.fill(9, 1, 1) })
	o.close()
	w.m = mine
	c.commit(func() { c.fill(8, 1, 1) })
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	w.uploaded()
	m := w.manifest(targetA.ID)
	if len(m.Chunks) != 40 || m.Blocks[0].Stored == manifest.NoBlock || len(m.Blocks[0].Overrides) > 4 {
		t.Errorf("the manifest has %d chunks, a stored block %v and %d overrides", len(m.Chunks), m.Blocks[0].Stored, len(m.Blocks[0].Overrides))
	}
}

// Another process may have staged the same state in another way.
func TestStagedByAnotherProcess(t *testing.T) {
	w := newT(t)
	w.overrides = 4
	w.restart()
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 40, 1) })
	c.commit(func() { c.fill(7, 1, 2) })
	mine := w.m
	w.overrides = 100
	w.restart()
	w.m.Desync(w.key(targetA.ID), nil)
	w.visit(tracker.Eager)
	if m := w.manifest(targetA.ID); m.Blocks[0].Stored != manifest.NoBlock {
		t.Fatal("the other process made an index block")
	}
	w.m = mine
	c.commit(func() { c.fill(8, 1, 3) })
	w.manifest(targetA.ID)
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	w.uploaded()
}

// The copier hears of a large snapshot before that is complete, and what it uploads by then is not
// staged again.
func TestLargeSnapshotIsToldInParts(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 200, 1) })
	if w.parts != 200/64 || w.notes[targetA.ID] != 1 {
		t.Errorf("told of %d parts and %d snapshots", w.parts, w.notes[targetA.ID])
	}
	w.uploaded()
}

// Whoever deletes the spool again and again does not have the database read all the time. The first time it is read at once.
func TestFullSnapshotsAreNotTakenAllTheTime(t *testing.T) {
	w, c := deferring(t)
	w.m.Behind() // so that it is not due because it was just opened
	c.commit(func() { c.fill(0, 20, 1) })
	if at, ok := w.m.NextDue(); !ok || at.IsZero() || time.Until(at) > 0 {
		t.Errorf("the first is due in %v (%v)", time.Until(at), ok)
	}
	w.visitor(-1)
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	check(t, os.RemoveAll(w.prefix))
	before := time.Now()
	c.commit(func() { c.fill(3, 1, 2) })
	if at, ok := w.m.NextDue(); !ok || at.Before(before.Add(time.Second/10)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("the next is due in %v (%v), want up to a second", time.Until(at), ok)
	}
	w.visitor(4)
	c.commit(func() { c.fill(4, 1, 3) }) // which comes to what is left
	if at, ok := w.m.NextDue(); !ok || at.IsZero() || time.Until(at) > 0 {
		t.Errorf("one under way goes on in %v (%v)", time.Until(at), ok)
	}
	w.visitor(-1)
	if !w.isCurrent() {
		t.Error("not current in the end")
	}
}

// A snapshot that had to give way is followed by time in which writers are on their own, whatever they do.
func TestTimeBetweenRaces(t *testing.T) {
	w, c := deferring(t)
	w.m.Behind() // so that it is not due because it was just opened
	c.commit(func() { c.fill(0, 20, 1) })
	w.visitor(4)
	w.visitor(-1)
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	before := time.Now()
	for range 3 {
		c.commit(func() { c.fill(0, 20, 2) })
		at, ok := w.m.PutOffUntil(w.path)
		if !ok || at.Before(before.Add(time.Second/10)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("the next is due in %v (%v), want up to a second", time.Until(at), ok)
		}
		if next, ok := w.m.NextDue(); !ok || !next.Equal(at) {
			t.Errorf("something is due in %v (%v)", time.Until(next), ok)
		}
	}
	w.visitor(4) // who comes all the same goes on with it
	c.commit(func() { c.fill(4, 9, 3) })
	if at, ok := w.m.PutOffUntil(w.path); !ok || time.Until(at) > 0 {
		t.Errorf("one under way goes on in %v (%v)", time.Until(at), ok)
	}
	w.visitor(-1)
	if !w.isCurrent() {
		t.Error("not current in the end")
	}
	if _, ok := w.m.PutOffUntil(w.path); ok {
		t.Error("still put off")
	}
	w.uploaded()
}

// What a published snapshot leaves is removed piece by piece, also by commits that leave theirs to others: when that is
// taken, there should be little to remove while a writer may be waiting.
func TestGarbageIsRemovedMeanwhile(t *testing.T) {
	w, c := deferring(t)
	staged := func() int {
		names, err := filepath.Glob(filepath.Join(w.prefix, "*", "*", "*", "staging", "chunks", "*"))
		check(t, err)
		return len(names)
	}
	const n = 700
	c.commit(func() {
		c.fill(0, n, 1)
		for i := range int64(n) {
			c.write(i*chunk+200, []byte{byte(i), byte(i >> 8)})
		}
	})
	for range n / 40 { // in laps, so that little was staged just before
		w.visitor(50)
	}
	for i := byte(9); ; i++ {
		ready, err := filepath.Glob(filepath.Join(w.prefix, "*", "*", "*", "ready", "*"))
		check(t, err)
		if len(ready) > 0 {
			break
		}
		c.commit(func() { c.fill(0, 1, i) })
		w.visitor(-1)
	}
	before := staged()
	if !w.isCurrent() || before < n/4 || before > n {
		t.Fatalf("%d chunks are left in the staging area", before)
	}
	for i := range byte(3) {
		c.commit(func() { c.fill(0, 10, 2+i) })
		if now := staged(); now > 0 && now >= before {
			t.Errorf("%d chunks are left of %d", now, before)
		} else {
			before = now
		}
	}
	if before > 0 {
		t.Errorf("%d chunks are left in the end", before)
	}
	w.visitor(-1)
	if !w.isCurrent() {
		t.Error("not current")
	}
	w.uploaded()
}

// What a large snapshot has left is done also if nobody commits any more: made ready, and removed from the staging area, a part at a time.
func TestRestWithoutCommits(t *testing.T) {
	for _, end := range []string{"goes on", "closes"} {
		t.Run(end, func(t *testing.T) {
			w, c := deferring(t)
			glob := func(below ...string) int {
				names, err := filepath.Glob(filepath.Join(append([]string{w.prefix, "*", "*", "*"}, below...)...))
				check(t, err)
				return len(names)
			}
			w.m.Behind() // not for a first sight
			due := func() bool {
				_, ok := w.m.NextDue()
				return ok
			}
			const n = 700
			c.commit(func() {
				c.fill(0, n, 1)
				for i := range int64(n) {
					c.write(i*chunk+200, []byte{byte(i), byte(i >> 8)})
				}
			})
			for glob("staging", "meta", "*") == 0 { // in laps, so that little was staged just before
				w.visitor(50)
			}
			if !w.isCurrent() || !due() || glob("ready", "*") > 0 {
				t.Fatalf("nothing is left to do (%v), or all is (%v)", due(), w.isCurrent())
			}
			visits := 0
			for ; visits < 20; visits++ {
				if !due() || end == "closes" && visits == 3 {
					break
				}
				w.visitor(-1)
				w.judge()
			}
			if end == "closes" {
				check(t, w.m.Close())
				w.restart()
			}
			if visits < 3 || visits == 20 {
				t.Errorf("done after %d visits", visits)
			}
			if got := glob("ready", "*", "chunks", "*"); got != n { // and an index block, but not the first
				t.Errorf("%d chunks are ready", got)
			}
			if got := glob("staging", "chunks", "*") + glob("staging", "scratch", "*"); got > 0 {
				t.Errorf("%d files are left", got)
			}
			w.uploaded()
		})
	}
}
