package wasmvfs

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/tracker"
)

// A dbFile is a main database. It tells its tracker, if it has one, what SQLite
// does, and lets it take a snapshot when a transaction ends. What the tracker
// does, or fails to do, never changes what SQLite sees.
//
// A transaction ends when its lock is released. In locking_mode=EXCLUSIVE that
// does not happen, and it ends at SQLITE_FCNTL_COMMIT_PHASETWO instead.
type dbFile struct {
	file
	path    string
	tracked tracked     // nil: the database is not tracked
	conn    *connection // nil until SQLite says whose file it is
	visit   *visitor    // nil: the application's

	exclusive    bool // the connection is in locking_mode=EXCLUSIVE
	committed    bool // the last that happened to the file was a commit
	flushOnClose bool
}

var (
	_ vfs.FileCommitPhaseTwo = (*dbFile)(nil)
	_ vfs.FilePragma         = (*dbFile)(nil)
)

// startTracking gives the file its tracker.
func (f *dbFile) startTracking(mode tracker.Mode) {
	defer f.survive("track")
	f.tracked = f.vfs.track(f.path, trackedFile{f}, mode)
}

// survive recovers from a panic of the tracker, which is not used any further:
// without one nothing is staged for this connection, which is safe, whereas one
// that has lost its thread might stage something wrong.
func (f *dbFile) survive(during string) {
	p := recover()
	if p == nil {
		return
	}
	f.vfs.opts.Logger.Error("tracker panicked: connection is not replicated", "db", f.path, "during", during, "panic", fmt.Sprint(p))
	lost := f.tracked
	f.tracked = nil
	if lost != nil {
		defer func() { _ = recover() }() // it has been said already
		lost.Close()
	}
}

// WriteAt implements [vfs.File].
func (f *dbFile) WriteAt(p []byte, off int64) (int, error) {
	if f.tracked != nil {
		f.willWrite(off, len(p))
	}
	return f.File.WriteAt(p, off)
}

func (f *dbFile) willWrite(off int64, n int) {
	defer f.survive("write")
	f.changing()
	f.tracked.WillWrite(off, n)
}

// Truncate implements [vfs.File].
func (f *dbFile) Truncate(size int64) error {
	if f.tracked != nil {
		f.willTruncate(f.chunked(size))
	}
	return f.file.Truncate(size)
}

// SizeHint may make the file grow.
func (f *dbFile) SizeHint(size int64) error {
	if f.tracked != nil {
		if old, err := f.Size(); err != nil || f.chunked(size) > old {
			f.willTruncate(f.chunked(size))
		}
	}
	return f.file.SizeHint(size)
}

func (f *dbFile) willTruncate(size int64) {
	defer f.survive("truncate")
	f.changing()
	old, err := f.Size()
	if err != nil {
		old = 0 // then everything changes
	}
	f.tracked.WillTruncate(old, size)
}

// changing notices by its effect that the connection is in
// locking_mode=EXCLUSIVE: a transaction was committed, and the next one writes,
// but the lock has never been released.
func (f *dbFile) changing() {
	if f.committed {
		f.committed = false
		f.exclusive = f.exclusive || f.LockState() == vfs.LOCK_EXCLUSIVE
	}
}

// Lock implements [vfs.File].
func (f *dbFile) Lock(level vfs.LockLevel) error {
	if f.visit != nil {
		return f.lockVisiting(level)
	}
	if f.tracked == nil || level != vfs.LOCK_EXCLUSIVE || f.LockState() == level {
		return f.lockPastVisitors(level)
	}
	err := f.lockPastVisitors(level)
	if err == nil {
		f.lockedExclusive()
	}
	return err
}

func (f *dbFile) lockedExclusive() {
	defer f.survive("lock")
	f.tracked.LockedExclusive()
}

// Unlock implements [vfs.File]. When the transaction leaves something to stage,
// that is done under a SHARED lock, so that nobody else waits for it but those
// who want to write.
func (f *dbFile) Unlock(level vfs.LockLevel) error {
	held := f.LockState()
	if f.visit != nil && held > vfs.LOCK_NONE && level == vfs.LOCK_NONE {
		defer f.unlocked() // after writers that wait have been told
		defer f.vfs.visits.leave(f.visit.visit)
	}
	if f.tracked == nil {
		return f.File.Unlock(level)
	}
	if held <= level {
		return f.File.Unlock(level)
	}
	f.committed = false
	if held > vfs.LOCK_SHARED {
		f.exclusive = false
	}
	if f.needsSnapshot() {
		if held > vfs.LOCK_SHARED {
			f.claim()
			if err := f.File.Unlock(vfs.LOCK_SHARED); err != nil {
				f.unclaim()
				return err
			}
		}
		f.snapshot(tracker.Shared)
		if level == vfs.LOCK_SHARED {
			return nil
		}
	}
	return f.File.Unlock(level)
}

// CommitPhaseTwo is called at the end of a commit, before locks are released.
func (f *dbFile) CommitPhaseTwo() error {
	if f.tracked != nil && f.LockState() == vfs.LOCK_EXCLUSIVE {
		f.committed = true
		if f.exclusive && f.needsSnapshot() {
			f.snapshot(tracker.Exclusive)
		}
	}
	return vfsutil.WrapCommitPhaseTwo(f.File)
}

func (f *dbFile) needsSnapshot() bool {
	if f.tracked == nil {
		return false
	}
	defer f.survive("decide")
	return f.tracked.NeedsSnapshot()
}

// claim sees to it that nobody who comes between the downgrade and the snapshot makes this
// connection wait for one of their own.
func (f *dbFile) claim() {
	if f.tracked == nil {
		return
	}
	defer f.survive("claim")
	f.tracked.Claim()
}

func (f *dbFile) unclaim() {
	if f.tracked == nil {
		return
	}
	defer f.survive("unclaim")
	f.tracked.Unclaim()
}

func (f *dbFile) snapshot(held tracker.Held) {
	if f.tracked == nil {
		return
	}
	defer f.survive("snapshot")
	f.tracked.Snapshot(held)
}

func (f *dbFile) unlocked() {
	if f.tracked == nil {
		return
	}
	defer f.survive("unlocked")
	f.tracked.Unlocked()
}

// Close implements [vfs.File]. SQLite unlocks files before it closes them; what
// is still locked here belongs to a connection that died. Then only what it had
// committed may be staged.
func (f *dbFile) Close() error {
	if f.closed {
		return nil
	}
	if f.committed && f.LockState() == vfs.LOCK_EXCLUSIVE && f.needsSnapshot() {
		f.snapshot(tracker.Exclusive)
	}
	if f.LockState() == vfs.LOCK_NONE && f.lastChance() {
		if err := f.Lock(vfs.LOCK_SHARED); err == nil { // else others will repair it
			_ = f.Unlock(vfs.LOCK_NONE)
		}
	}
	f.vfs.conns.leave(f)
	if f.flushOnClose {
		_ = f.File.Unlock(vfs.LOCK_NONE) // closing does that too, and ignores it too
		if err := f.flush(); err != nil {
			f.vfs.opts.Logger.Warn("flush at close failed", "db", f.path, "error", err)
		}
	}
	if f.tracked != nil {
		f.stopTracking()
	}
	if f.visit != nil {
		_ = f.Unlock(vfs.LOCK_NONE)
		f.vfs.visits.depart(f.path, f.visit.visit)
		if f.vfs.visits.park(parkedFile{f.path, f.visit.asked, f.visit.got, f.File}) {
			f.closed = true
			return nil
		}
	}
	return f.file.Close()
}

func (f *dbFile) lastChance() bool {
	if f.tracked == nil {
		return false
	}
	defer f.survive("close")
	return f.tracked.LastChance()
}

func (f *dbFile) stopTracking() {
	defer f.survive("close")
	f.tracked.Close()
	f.tracked = nil
}

var errNoFlush = errors.New("nothing can be flushed here")

// flush uploads the present state of the database.
func (f *dbFile) flush() error {
	if f.tracked == nil || f.LockState() != vfs.LOCK_EXCLUSIVE {
		if f.vfs.opts.Flush == nil {
			return errNoFlush
		}
		return f.vfs.opts.Flush(f.path)
	}
	// Nobody else can look at the database now. What is staged must be what was
	// committed last, and that what the file holds.
	if f.vfs.opts.Upload == nil || !f.committed {
		return errNoFlush
	}
	if err := f.isStaged(); err != nil {
		return err
	}
	return f.vfs.opts.Upload(f.path)
}

func (f *dbFile) isStaged() (err error) {
	err = errNoFlush // unless the tracker survives
	defer f.survive("flush")
	staged, err := f.tracked.Current()
	if err != nil {
		return err
	}
	if len(staged) == 0 {
		return errNoFlush
	}
	for _, s := range staged {
		if s.Err != nil || !s.Current {
			return fmt.Errorf("%s: present state is not staged: %w", s.Key, errors.Join(errNoFlush, s.Err))
		}
	}
	return nil
}

// trackedFile is the file as its tracker sees it.
type trackedFile struct{ f *dbFile }

var _ tracker.Yielder = trackedFile{}

func (t trackedFile) ReadAt(p []byte, off int64) (int, error) { return t.f.ReadAt(p, off) }
func (t trackedFile) Size() (int64, error)                    { return t.f.Size() }
func (t trackedFile) Fd() uintptr                             { return t.f.Fd() }
func (t trackedFile) Yield() bool                             { return t.f.yield() }

// Reserved reports whether another connection holds a RESERVED lock.
func (t trackedFile) Reserved() (bool, error) {
	if t.f.LockState() > vfs.LOCK_SHARED {
		return false, nil // it is ours
	}
	return t.f.CheckReservedLock()
}

// SetDB tells whose file it is, in answer to SQLITE_FCNTL_PDB.
func (f *dbFile) SetDB(db any) {
	if conn, ok := db.(*sqlite3.Conn); ok && conn != nil {
		f.vfs.conns.join(conn, f)
	}
}
