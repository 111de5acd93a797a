//go:build linux || darwin || freebsd

package model

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/tracker"
)

var errBusy = errors.New("model: SQLITE_BUSY")

// A conn is a connection: what SQLite and the VFS do with the database and with a tracker. One
// without a tracker is a program that does not use Boule.
type conn struct {
	w    *world
	p    *process // nil for a stranger
	n    int
	file *os.File
	t    *tracker.Tracker // nil while closed
	busy bool             // a task is under way
}

func (c *conn) String() string {
	switch {
	case c == nil:
		return "nobody"
	case c.p == nil:
		return "stranger"
	}
	return fmt.Sprintf("conn%d.%d", c.p.n, c.n)
}

// ReadAt, Size, Fd and Reserved are what a tracker needs.
func (c *conn) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.file.ReadAt(p, off)
	c.w.watch.rec.Note(doctor.Event{
		Actor: c.p.actor(doctor.Producer, ""), Op: doctor.OpReadDB, Name: c.w.path, Data: p[:n], Offset: off, Err: nil,
	})
	return n, err
}

// Size returns that of the file.
func (c *conn) Size() (int64, error) {
	info, err := c.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Fd returns the descriptor of the file.
func (c *conn) Fd() uintptr { return c.file.Fd() }

// Reserved says whether another connection is about to write.
func (c *conn) Reserved() (bool, error) {
	r := c.w.db.reserved
	return r != nil && r != c, nil
}

// Yield lets visits give way now and then, where commits leave anything to them.
func (c *conn) Yield() bool {
	return c.w.plan.deferred && !c.w.settling && c.p.yields()%4 == 0
}

// stop stands before something that the connection does with the database.
func (c *conn) stop(what string) error { return c.wait(what, nil, nil) }

// wait stops until may says that it can go on. Busy, unless nil, may end that.
func (c *conn) wait(what string, may func() bool, busy error) error {
	return c.w.gate.pass(context.Background(), &stop{
		who: c.String(), what: what, class: database, may: may, busy: busy, p: c.p,
	})
}

// tracking runs a call of the tracker of this connection. Connections of one process wait for
// each other there, which must not happen between stops.
func (c *conn) tracking(what string, f func()) error {
	if c.p == nil {
		return nil
	}
	if err := c.wait(what, func() bool { return c.p.tracking == nil }, nil); err != nil {
		return err
	}
	c.p.tracking = c
	f()
	c.p.tracking = nil
	return nil
}

// open makes the connection usable.
func (c *conn) open(mode tracker.Mode) error {
	f, err := os.OpenFile(c.w.path, os.O_RDWR, 0)
	if err != nil {
		panic(err)
	}
	c.file = f
	return c.tracking("track", func() { c.t = c.p.m.Track(c.w.path, c, mode) })
}

// close ends the use of the connection.
func (c *conn) close() error {
	if c.t == nil {
		return nil
	}
	if c.t.LastChance() {
		if err := c.read(); err != nil && !errors.Is(err, errBusy) {
			return err
		}
	}
	err := c.tracking("close", func() { c.t.Close() })
	c.release()
	return err
}

func (c *conn) release() {
	if c.file != nil {
		c.file.Close()
	}
	c.file, c.t = nil, nil
}

// lockShared takes SHARED, and rolls back what somebody else left.
func (c *conn) lockShared() error {
	d := c.w.db
	free := func() bool { return d.pending == nil && d.exclusive == nil }
	if err := c.wait("lock shared", free, errBusy); err != nil {
		return err
	}
	d.shared[c] = true
	if !d.hot() {
		return nil
	}
	if err := c.stop("lock exclusive, to roll back"); err != nil {
		return err
	}
	switch {
	case !d.hot():
		return nil
	case !d.alone(c):
		d.drop(c)
		return errBusy
	}
	d.exclusive = c
	return c.rollBackHot()
}

func (c *conn) rollBackHot() error {
	c.lockedExclusive()
	if err := c.restore(); err != nil {
		return err
	}
	return c.downgrade(true)
}

func (c *conn) lockedExclusive() {
	if c.t == nil {
		return
	}
	c.t.LockedExclusive()
	c.noteID()
}

// noteID tells the doctor from which state the next snapshot may be incremental.
func (c *conn) noteID() {
	c.w.watch.rec.Note(doctor.Event{
		Actor: c.p.actor(doctor.Producer, ""), Op: doctor.OpExclusive, Name: c.w.path, Data: c.w.db.id(),
	})
}

// restore undoes the transaction.
func (c *conn) restore() error {
	d := c.w.db
	undo := d.undo
	for off := 0; off < len(undo); off += chunkSize {
		if err := c.write(int64(off), undo[off:min(off+chunkSize, len(undo))]); err != nil {
			return err
		}
	}
	if err := c.truncate(int64(len(undo))); err != nil {
		return err
	}
	if err := c.stop("end rollback"); err != nil {
		return err
	}
	d.end()
	return nil
}

func (c *conn) write(off int64, p []byte) error {
	if err := c.stop(fmt.Sprintf("write %d at %d", len(p), off)); err != nil {
		return err
	}
	if c.t != nil {
		c.t.WillWrite(off, len(p))
	}
	c.w.db.write(off, p)
	return nil
}

func (c *conn) truncate(size int64) error {
	old := int64(len(c.w.db.data))
	if old == size {
		return nil
	}
	if err := c.stop(fmt.Sprintf("truncate to %d", size)); err != nil {
		return err
	}
	if c.t != nil {
		c.t.WillTruncate(old, size)
	}
	c.w.db.truncate(size)
	return nil
}

// downgrade gives up all locks but SHARED, and SHARED too unless it is to be kept, as the VFS does.
func (c *conn) downgrade(keep bool) error {
	d := c.w.db
	if c.t != nil && c.t.NeedsSnapshot() {
		d.drop(c)
		d.shared[c] = true
		if err := c.tracking("snapshot", func() { c.t.Snapshot(tracker.Shared) }); err != nil {
			return err
		}
	}
	if err := c.stop("unlock"); err != nil {
		return err
	}
	d.drop(c)
	if keep {
		d.shared[c] = true
	}
	return nil
}

// A change is one of those that a transaction makes before it writes the header.
type change struct {
	at   int // chunk; the number of chunks is where the database ends
	v    int // pattern
	size int // if not negative, the file gets this size instead
}

// A txn is a transaction.
type txn struct {
	changes   []change
	rollBack  bool // undo what was written
	exclusive bool // take a snapshot under EXCLUSIVE, and go on
}

// transact runs transactions one after the other, under one lock.
func (c *conn) transact(txns []txn) error {
	d := c.w.db
	if err := c.lockShared(); err != nil {
		return err
	}
	if err := c.wait("lock reserved", nil, errBusy); err != nil || d.reserved != nil || d.exclusive != nil {
		return errors.Join(err, c.downgrade(false))
	}
	d.reserved = c
	for i, t := range txns {
		if err := c.stop("begin"); err != nil {
			return err
		}
		d.begin()
		if d.exclusive != c {
			d.pending = c
			others := func() bool { return len(d.shared) == 1 }
			if err := c.wait("lock exclusive", others, errBusy); err != nil {
				if c.p != nil && c.p.dead.Load() {
					return err
				}
				d.pending = nil
				d.end() // nothing was written
				return errors.Join(err, c.downgrade(false))
			}
			d.exclusive, d.pending = c, nil
			c.lockedExclusive()
		}
		if err := c.apply(t); err != nil {
			return err
		}
		if t.exclusive && c.t != nil && c.t.NeedsSnapshot() && i < len(txns)-1 {
			if err := c.tracking("snapshot", func() { c.t.Snapshot(tracker.Exclusive) }); err != nil {
				return err
			}
			c.noteID()
		}
	}
	return c.downgrade(false)
}

func (c *conn) apply(t txn) error {
	d := c.w.db
	for _, ch := range t.changes {
		n := (len(d.data) + chunkSize - 1) / chunkSize
		var err error
		switch {
		case ch.size >= 0:
			err = c.truncate(int64(max(ch.size, 512)))
		case ch.at == 0 || n == 0:
			err = c.write(4096, pattern(ch.v)[:4096])
		default:
			err = c.write(int64(min(ch.at, n, maxChunks-1))*chunkSize, pattern(ch.v))
		}
		if err != nil {
			return err
		}
	}
	if t.rollBack {
		return c.restore()
	}
	if err := c.write(0, d.header()); err != nil {
		return err
	}
	if err := c.stop("commit"); err != nil {
		return err
	}
	d.end()
	return nil
}

// read is a transaction that only reads.
func (c *conn) read() error {
	if err := c.lockShared(); err != nil {
		return err
	}
	return c.downgrade(false)
}

// visit is what evaluates the database for the program itself.
func (c *conn) visit() error {
	if err := c.close(); err != nil {
		return err
	}
	if err := c.open(tracker.Eager); err != nil {
		return err
	}
	err := c.read()
	if err == nil || errors.Is(err, errBusy) {
		err = errors.Join(err, c.close())
	}
	return err
}
