package tracker_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/tracker"
)

// A full snapshot that was demanded goes on where it gave way, too, and commits meanwhile do not
// make it begin again.
func TestDemandedSnapshotGoesOn(t *testing.T) {
	w, _ := deferring(t)
	w.backoff = time.Hour
	w.restart()
	c := w.counted()
	c.commit(func() { c.fill(0, 40, 1) })
	w.visitor(-1)
	w.uploaded()
	w.m.Desync(w.key(targetA.ID), errors.New("lost"))
	read, visits := 0, 0
	for ; visits < 30 && (visits == 0 || len(w.m.PutOff()) > 0); visits++ {
		w.m.Behind()
		c.commit(func() { c.fill(1, 1, byte(visits)) })
		read += w.visitor(5)
	}
	if len(w.m.PutOff()) > 0 || !w.isCurrent() {
		t.Fatalf("not current after %d visits, which read %d chunks", visits, read)
	}
	if read > 40+2*visits+2 {
		t.Errorf("%d visits read %d chunks", visits, read)
	}
	w.uploaded()
}

// What is demanded while the snapshot is under way begins again.
func TestDemandDuringADemandedSnapshot(t *testing.T) {
	w, c := deferring(t)
	c.commit(func() { c.fill(0, 20, 1) })
	w.visitor(-1)
	w.uploaded()
	w.m.Desync(w.key(targetA.ID), errors.New("lost"))
	w.visitor(7)
	w.m.Desync(w.key(targetA.ID), errors.New("lost again"))
	if read := w.visitor(-1); read < 20 {
		t.Errorf("only %d chunks were read", read)
	}
	w.uploaded()
}

// What was cut off is not needed any more.
func TestTruncatedChunksAreGarbage(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 2, 1) })
	var n uint64
	for range 20 {
		c.commit(func() {
			for i := range int64(30) {
				n++
				c.write((2+i)*chunk, binary.LittleEndian.AppendUint64(nil, n))
			}
			c.write(32*chunk-1, []byte{1})
		})
		c.commit(func() { c.truncate(2 * chunk) })
	}
	w.uploaded()
}

// As long as a staged manifest is there nothing is removed that it needs, though its index can't be read.
func TestUnreadableIndexLosesNothing(t *testing.T) {
	w := newT(t)
	w.overrides = 4
	w.restart()
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 40, 1) })
	c.commit(func() { c.fill(7, 1, 2) })
	dir := filepath.Join(w.good.Dir(), filepath.FromSlash(w.key(targetA.ID).String()), "staging")
	chunk7 := filepath.Join(dir, "chunks", w.manifest(targetA.ID).Chunks[7].ChunkName())
	if _, err := os.Stat(chunk7); err != nil {
		t.Fatal(err)
	}
	check(t, os.RemoveAll(filepath.Join(dir, "index")))
	check(t, os.Mkdir(filepath.Join(dir, "index"), 0o700))
	w.restart()
	c = w.open(tracker.Normal)
	w.inject = func(op fsx.Op, name string) error {
		if string(op) == "rename" && strings.Contains(name, "/meta/") {
			return errors.New("injected")
		}
		return nil
	}
	c.commit(func() { c.fill(7, 1, 3) })
	w.inject = nil
	_, merr := os.Stat(filepath.Join(dir, "meta", w.name()))
	if _, err := os.Stat(chunk7); merr == nil && err != nil {
		t.Errorf("the staged manifest is there, and one of its chunks is not: %v", err)
	}
}

// A target that fails has times of its own: that others were put off until now does not count for it.
func TestFailingTargetIsNotPutOff(t *testing.T) {
	w := newT(t, targetA, targetB)
	w.commitChunks, w.backoff = 3, time.Hour
	w.restart()
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 20, 1) })
	w.inject = func(_ fsx.Op, name string) error {
		if strings.Contains(name, targetB.ID) {
			return errors.New("injected")
		}
		return nil
	}
	w.visitor(-1)
	if paths := w.m.PutOff(); len(paths) > 0 {
		t.Errorf("still put off: %v; health %+v", paths, w.health())
	}
	w.inject = nil
}

// A connection of the application that repairs what failed does not take a large snapshot either.
func TestReaderDoesNotTakeALargeSnapshot(t *testing.T) {
	w, c := deferring(t)
	c.commit(func() { c.fill(0, 2, 1) })
	w.visitor(-1)
	w.uploaded()
	w.inject = func(fsx.Op, string) error { return errors.New("injected") }
	c.commit(func() { c.fill(1, 1, 2) })
	w.inject = nil
	o := w.open(tracker.Normal)
	w.m.Behind()
	w.inject = func(fsx.Op, string) error { return errors.New("injected") }
	o.commit(func() { o.fill(2, 30, 2) })
	w.inject = nil
	clear(c.chunks)
	c.unlock()
	if len(c.chunks) > 3 {
		t.Errorf("a read made the connection read %d chunks", len(c.chunks))
	}
	w.visitor(-1)
	if !w.isCurrent() {
		t.Error("not current")
	}
	w.uploaded()
}

// A target that waits for its time does not make a commit take a large snapshot for the others.
func TestLargeSnapshotIsDeferredThoughATargetWaits(t *testing.T) {
	w := newT(t, targetA, targetB)
	w.commitChunks, w.backoff = 3, time.Hour
	w.restart()
	c := w.counted()
	w.inject = func(_ fsx.Op, name string) error {
		if strings.Contains(name, targetB.ID) {
			return errors.New("injected")
		}
		return nil
	}
	c.commit(func() { c.fill(0, 2, 1) })
	w.inject = nil
	clear(c.chunks)
	c.commit(func() { c.fill(2, 20, 1) })
	if len(c.chunks) > 0 {
		t.Errorf("the commit read chunks %v", c.chunks)
	}
	w.visitor(-1)
	if !w.isCurrent() {
		t.Error("not current")
	}
	w.uploaded()
}

// What a process has staged of a snapshot that it will go on with, another may find in the way.
func TestCollectedByAnotherProcess(t *testing.T) {
	w, c := deferring(t)
	c.commit(func() { c.fill(0, 40, 1) })
	w.visitor(30)
	c.commit(func() { c.truncate(9 * chunk); c.fill(1, 5, 2) })
	mine := w.m
	w.restart()
	w.visitor(1)
	w.m = mine
	w.visitor(-1)
	if !w.isCurrent() {
		t.Fatal("not current")
	}
	w.uploaded()
}

// Two processes that write all the time do not keep each other from ever having a snapshot.
func TestDeferredSnapshotEndsBesideAnotherProcess(t *testing.T) {
	w, _ := deferring(t)
	w.patience = 200 * time.Microsecond
	w.restart()
	c := w.counted()
	c.commit(func() { c.fill(0, 60, 1) })
	mine := w.m
	w.restart()
	o := w.open(tracker.Normal)
	other := w.m
	ended := false
	for i := range byte(40) {
		w.m = mine
		w.visitor(0)
		if ended = len(w.m.PutOff()) == 0; ended {
			break
		}
		c.commit(func() { c.fill(1, 1, i) })
		w.m = other
		o.commit(func() { o.fill(2, 1, i) })
		w.m = mine
	}
	if !ended {
		t.Fatal("nothing was ever staged")
	}
	w.staged(targetA.ID)
	w.uploaded()
}

// A demand that comes while a snapshot is being taken is not met by that.
func TestDemandDuringASnapshot(t *testing.T) {
	w, c := deferring(t)
	c.commit(func() { c.fill(0, 20, 1) })
	w.visitor(-1)
	w.uploaded()
	c.commit(func() { c.fill(3, 10, 2) })
	v := w.bare()
	v.t = w.m.Track(w.path, &demanding{v, 5}, tracker.Eager)
	v.unlock()
	v.close()
	if len(w.m.Behind()) != 1 {
		t.Error("nothing is due")
	}
	if read := w.visitor(-1); read < 20 {
		t.Errorf("the snapshot that was demanded read %d chunks", read)
	}
	w.uploaded()
}

// demanding demands a full snapshot after some chunks.
type demanding struct {
	*conn
	left int
}

func (d *demanding) Yield() bool {
	if d.left--; d.left == 0 {
		d.w.m.Desync(d.w.key(targetA.ID), errors.New("lost"))
	}
	return false
}
