package tracker_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/tracker"
)

func TestPanic(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 4, 1) })
	bad := &panicking{conn: c}
	bad.on = true
	c.t = w.m.Track(w.path, bad, tracker.Normal)
	c.commit(func() { c.fill(1, 1, 2) })
	h := w.health()
	if h.State != tracker.StateBehind || !errors.Is(h.LastError, tracker.ErrPanic) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	if _, err := c.t.Current(); !errors.Is(err, tracker.ErrPanic) {
		t.Errorf("Current: %v", err)
	}
	bad.on = false
	w.repair()
	w.uploaded()
	c.commit(func() { c.fill(1, 1, 3) })
	w.uploaded()
}

type panicking struct {
	*conn
	on bool
}

func (p *panicking) ReadAt(b []byte, off int64) (int, error) {
	if p.on {
		panic("bug")
	}
	return p.conn.ReadAt(b, off)
}

func TestUnreadableDatabase(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 6, 1) })
	for _, at := range []int64{0, 3 * chunk} {
		bad := &failing{conn: c, at: at}
		c.t = w.m.Track(w.path, bad, tracker.Normal)
		w.setID("x") // so that all is read
		c.commit(func() { c.fill(1, 1, 2) })
		if h := w.health(); h.State != tracker.StateBehind || !errors.Is(h.LastError, syscall.EIO) {
			t.Errorf("state is %s: %v", h.State, h.LastError)
		}
		w.judge()
		bad.at = -1
		w.repair()
		w.uploaded()
	}
}

type failing struct {
	*conn
	at int64
}

func (f *failing) ReadAt(b []byte, off int64) (int, error) {
	if off == f.at {
		return 0, syscall.EIO
	}
	return f.conn.ReadAt(b, off)
}

func TestChangeUnderLock(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	bad := &changing{conn: c}
	c.t = w.m.Track(w.path, bad, tracker.Normal)
	c.commit(func() {
		c.fill(0, 6, 1)
		bad.on = true
	})
	if h := w.health(); h.State != tracker.StateBehind || !errors.Is(h.LastError, tracker.ErrChanged) {
		t.Errorf("state is %s: %v", h.State, h.LastError)
	}
	w.repair()
	w.uploaded()
}

type changing struct {
	*conn
	on bool
}

func (c *changing) ReadAt(b []byte, off int64) (int, error) {
	if c.on && off == 2*chunk {
		c.on = false
		_, err := c.WriteAt(c.w.nextHeader(), 0)
		check(c.w.tb, err)
	}
	return c.File.ReadAt(b, off)
}

// A database file that was replaced after the clock had been set back still gets a snapshot that
// is newer than what was uploaded of the old file.
func TestSequenceFollowsTheTap(t *testing.T) {
	w := newT(t)
	c := w.open(tracker.Normal)
	c.commit(func() { c.fill(0, 2, 1) })
	m := w.manifest(targetA.ID)
	m.Sequence = uint64(time.Now().Add(time.Hour).UnixNano())
	data, err := manifest.Encode(m)
	check(w.tb, err)
	check(w.tb, w.good.WriteTap(targetA.ID, w.name(), data))
	w.m.Desync(w.key(targetA.ID), nil) // as if nothing had been staged
	c.commit(func() { c.fill(1, 1, 2) })
	if got := w.manifest(targetA.ID).Sequence; got <= m.Sequence {
		t.Errorf("sequence %d is not after %d, which was uploaded", got, m.Sequence)
	}
}
