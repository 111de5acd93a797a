package wasmvfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// Pragmas of a replica.
const (
	// PragmaRefresh moves the connection to the newest snapshot. The argument
	// says how hard to look for it: 0 takes the newest that is loaded, 1 or
	// nothing asks the store unless somebody is asking, 2 always asks. It says
	// what PragmaUpdated then says, fails with SQLITE_LOCKED inside a
	// transaction, and leaves the connection where it is if it fails.
	PragmaRefresh = "boule_snapshot_refresh"

	// PragmaAsyncReload moves the connection to the newest loaded snapshot and
	// says 1 if that is another; else it starts looking for one in the
	// background, and says 0.
	PragmaAsyncReload = "boule_snapshot_async_reload"

	// PragmaAutoRefresh sets whether each transaction begins at the newest
	// loaded snapshot, and says what that was before; without argument it says
	// what it is.
	PragmaAutoRefresh = "boule_snapshot_auto_refresh"

	// PragmaCtime is when the database was last changed, by the clock of its
	// own host, in seconds since 1970 with nine decimals.
	PragmaCtime = "boule_snapshot_ctime"

	// PragmaUpdated is when the fetch of this snapshot started, by our clock.
	PragmaUpdated = "boule_snapshot_updated"
)

// A snapshotFile is a replica as one connection sees it: now and then another
// snapshot, but never within a transaction.
type snapshotFile struct {
	vfs    *snapshotVFS
	uri    string
	source SnapshotSource
	conn   *sqlite3.Conn // nil until SQLite says whose file it is

	snap        Snapshot
	lock        vfs.LockLevel
	autoRefresh bool
	moved       bool // to other content, and SQLite does not know it yet
	closed      bool
}

var (
	_ vfs.FileLockState = (*snapshotFile)(nil)
	_ vfs.FilePragma    = (*snapshotFile)(nil)
)

// context returns what interrupts the connection's statements.
func (f *snapshotFile) context() context.Context {
	if f.conn == nil {
		return context.Background()
	}
	return f.conn.GetInterrupt()
}

// Offsets in the header of a database.
const (
	versionsOff = 18 // of the file format: 2 bytes; 1 is a rollback journal, 2 a WAL
	changesOff  = 24 // of the change counter and what else tells changes
	changesLen  = 16
)

// ReadAt implements [vfs.File].
func (f *snapshotFile) ReadAt(p []byte, off int64) (int, error) {
	want := p
	if size := f.snap.Size(); off >= size {
		return 0, io.EOF
	} else if left := size - off; int64(len(want)) > left {
		want = want[:left]
	}
	n, err := f.snap.ReadAtContext(f.context(), want, off)
	if n < len(want) {
		return n, f.failed(off, err)
	}
	if off < versionsOff+2 {
		// A snapshot is whole without its WAL, and there is no other.
		for i := max(versionsOff-off, 0); i < versionsOff+2-off && i < int64(n); i++ {
			if want[i] == 2 {
				want[i] = 1
			}
		}
	}
	if f.moved && off == changesOff && len(p) == changesLen {
		// SQLite asks whether its cache is still good. Two lines of history
		// may have reached the same change counter, so this is for us to say.
		f.moved = false
		for i := range want {
			want[i] ^= 0xff
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// failed turns an error of reading into one for SQLite.
func (f *snapshotFile) failed(off int64, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	err = fmt.Errorf("read replica %s at %d: %w", f.uri, off, err)
	if f.context().Err() != nil {
		return vfs.SystemError(err, sqlite3.INTERRUPT)
	}
	f.vfs.opts.Logger.Warn("replica not readable", "uri", f.uri, "error", err)
	return vfs.SystemError(err, sqlite3.IOERR_READ)
}

// Size implements [vfs.File].
func (f *snapshotFile) Size() (int64, error) { return f.snap.Size(), nil }

// Lock implements [vfs.File]. Nobody else is to be locked out; the lock tells
// when a transaction begins.
func (f *snapshotFile) Lock(lock vfs.LockLevel) error {
	if lock > vfs.LOCK_SHARED {
		return sqlite3.READONLY
	}
	if f.lock == vfs.LOCK_NONE && f.autoRefresh {
		if latest, err := f.source.Latest(f.context(), Loaded); err == nil {
			f.move(latest)
		}
	}
	f.lock = max(f.lock, lock)
	return nil
}

// Unlock implements [vfs.File].
func (f *snapshotFile) Unlock(lock vfs.LockLevel) error {
	f.lock = min(f.lock, lock)
	return nil
}

// CheckReservedLock says that somebody holds a RESERVED lock: then SQLite takes
// no journal for one that it has to roll back.
func (f *snapshotFile) CheckReservedLock() (bool, error) { return true, nil }

// LockState implements [vfs.FileLockState].
func (f *snapshotFile) LockState() vfs.LockLevel { return f.lock }

// Pragma implements [vfs.FilePragma].
func (f *snapshotFile) Pragma(name, value string) (string, error) {
	switch name {
	case PragmaCtime:
		return timestamp(f.snap.SourceTime()), nil
	case PragmaUpdated:
		return timestamp(f.snap.Updated()), nil
	case PragmaRefresh:
		return f.refresh(refreshLevel(value))
	case PragmaAsyncReload:
		return f.asyncReload()
	case PragmaAutoRefresh:
		old := f.autoRefresh
		if value != "" {
			f.autoRefresh = pragmaBool(value)
		}
		return boolText(old), nil
	}
	return "", sqlite3.NOTFOUND
}

func refreshLevel(value string) Level {
	switch {
	case value == "2", foldPrefix(value, "force"):
		return Force
	case value == "", pragmaBool(value):
		return Fetch
	}
	return Loaded
}

func (f *snapshotFile) refresh(level Level) (string, error) {
	if f.lock != vfs.LOCK_NONE {
		return "", sqlite3.LOCKED
	}
	latest, err := f.source.Latest(f.context(), level)
	if err != nil {
		return "", fmt.Errorf("refresh replica %s: %w", f.uri, err)
	}
	f.move(latest)
	return timestamp(f.snap.Updated()), nil
}

func (f *snapshotFile) asyncReload() (string, error) {
	if f.lock == vfs.LOCK_NONE {
		latest, err := f.source.Latest(f.context(), Loaded)
		if err == nil && f.move(latest) {
			return "1", nil
		}
	}
	f.source.Prefetch()
	return "0", nil
}

// move makes another snapshot the connection's, between transactions. It
// reports whether it is another state of the database.
func (f *snapshotFile) move(to Snapshot) bool {
	if to == nil || to == f.snap {
		return false
	}
	from := f.snap
	f.snap = to
	if to.Size() == from.Size() && to.SourceTime().Equal(from.SourceTime()) {
		return false // the same, but looked for once more
	}
	f.moved = true
	return true
}

// SetDB tells whose file it is, in answer to SQLITE_FCNTL_PDB.
func (f *snapshotFile) SetDB(db any) {
	if conn, ok := db.(*sqlite3.Conn); ok {
		f.conn = conn
	}
}

// Close implements [vfs.File].
func (f *snapshotFile) Close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	if err := f.source.Close(); err != nil {
		f.vfs.opts.Logger.Debug("replica not closed cleanly", "uri", f.uri, "error", err)
	}
	return nil
}

// WriteAt implements [vfs.File].
func (f *snapshotFile) WriteAt([]byte, int64) (int, error) { return 0, sqlite3.READONLY }

// Truncate implements [vfs.File].
func (f *snapshotFile) Truncate(int64) error { return sqlite3.READONLY }

// Sync implements [vfs.File].
func (f *snapshotFile) Sync(vfs.SyncFlag) error { return sqlite3.READONLY }

// SectorSize implements [vfs.File].
func (f *snapshotFile) SectorSize() int { return 4096 }

// DeviceCharacteristics implements [vfs.File]. The file is not
// SQLITE_IOCAP_IMMUTABLE: SQLite must ask whether it has changed.
func (f *snapshotFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_POWERSAFE_OVERWRITE | vfs.IOCAP_SUBPAGE_READ
}

func timestamp(t time.Time) string {
	return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
}
