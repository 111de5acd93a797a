package wasmvfs

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/tracker"
)

// Name is the name under which the replicating VFS is meant to be registered.
const Name = "boule"

// Options configures [New]. The zero value is usable; so is a nil *Options.
type Options struct {
	// Flush uploads the present state of a database and returns nil only when
	// every target has it. It may open the database. It answers PRAGMA
	// boule_flush_replication_data, which says "0" without it.
	Flush func(path string) error

	// Upload is Flush for a database that is locked by the asking connection
	// (PRAGMA locking_mode=EXCLUSIVE), which has staged all that it committed:
	// it must not open the database. Without it the pragma says "0" there.
	Upload func(path string) error

	// Status describes the replication of a database in one line of JSON. It
	// answers PRAGMA boule_replication_status.
	Status func(path string) string

	// Logger is told of faults of replication. Nil discards.
	Logger *slog.Logger
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return opts
}

// tracked is what this package needs of a [tracker.Tracker].
type tracked interface {
	LockedExclusive()
	WillWrite(off int64, n int)
	WillTruncate(oldSize, newSize int64)
	NeedsSnapshot() bool
	Claim()
	Unclaim()
	Snapshot(held tracker.Held)
	Unlocked()
	Current() ([]tracker.StagedInfo, error)
	LastChance() bool
	Close()
}

var _ tracked = (*tracker.Tracker)(nil)

// replicating is the VFS boule.
type replicating struct {
	inner  vfs.VFSFilename
	system system                                                       // beside inner; it has the journals
	track  func(path string, f tracker.File, mode tracker.Mode) tracked // nil: nothing is tracked
	spare  func()                                                       // closes what the trackers keep open for later; may be nil
	opts   Options
	conns  conns
	visits visits
}

var _ vfs.VFSFilename = (*replicating)(nil)

// New returns the replicating VFS. A nil manager makes it a plain VFS that
// tracks nothing, as does a platform on which the spool can't work.
func New(m *tracker.Manager, opts *Options) vfs.VFS {
	v := &replicating{
		inner:  vfs.Find("os").(vfs.VFSFilename),
		system: osSystem{},
		opts:   opts.withDefaults(),
	}
	v.visits.room = min(maxParked, instance.OpenFiles()/8)
	if m != nil && instance.Supported {
		v.spare = m.Spare
		v.track = func(path string, f tracker.File, mode tracker.Mode) tracked {
			return m.Track(path, f, mode)
		}
	}
	return v
}

// FullPathname resolves symbolic links: a database has one name, however it is
// opened. What is missing on the way is no error yet: opening will tell.
func (v *replicating) FullPathname(name string) (string, error) {
	full, err := v.inner.FullPathname(name)
	if errors.Is(err, fs.ErrNotExist) {
		return resolve(name)
	}
	return full, err
}

// Delete implements [vfs.VFS].
func (v *replicating) Delete(name string, syncDir bool) error {
	if err := v.inner.Delete(name, false); err != nil || !syncDir {
		return err
	}
	return v.syncDirectory(filepath.Dir(name))
}

// Access says, as SQLite's own VFSes do and go-sqlite3's does not, that an empty
// file does not exist: an empty journal is none, and there is no need to open
// one at each transaction to find that out.
func (v *replicating) Access(name string, flags vfs.AccessFlag) (bool, error) {
	if flags != vfs.ACCESS_EXISTS {
		return v.inner.Access(name, flags)
	}
	return v.system.Exists(name)
}

// Open implements [vfs.VFS]; go-sqlite3 calls OpenFilename.
func (v *replicating) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	inner, flags, err := vfsutil.WrapOpen(v.inner, name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &file{File: inner, vfs: v}, flags, nil
}

// OpenFilename implements [vfs.VFSFilename].
func (v *replicating) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	const journals = vfs.OPEN_MAIN_JOURNAL | vfs.OPEN_SUPER_JOURNAL | vfs.OPEN_WAL
	switch {
	case name == nil || flags&vfs.OPEN_DELETEONCLOSE != 0:
	case flags&vfs.OPEN_MAIN_DB != 0:
		return v.openMain(name, flags)
	case flags&journals != 0:
		return v.openJournal(name, flags)
	}
	inner, flags, err := v.open(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &file{File: inner, vfs: v}, flags, nil
}

// openMain opens a database.
func (v *replicating) openMain(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	mode, tracks := tracker.Normal, false
	if v.track != nil && flags&vfs.OPEN_MEMORY == 0 && name.String() != "" {
		mode, tracks = wantsTracking(name)
	}
	if tracks && mode == tracker.Eager {
		return v.openVisitor(name, flags)
	}
	inner, out, err := v.openOrRead(name, flags)
	if err != nil {
		return nil, out, err
	}
	f := &dbFile{file: file{File: inner, vfs: v}, path: name.String()}
	if tracks {
		f.startTracking(mode)
	}
	return f, out, nil
}

// openVisitor opens a database for a connection of Boule's own.
func (v *replicating) openVisitor(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	path := name.String()
	inner, out := v.visits.unpark(path, flags)
	if inner == nil {
		var err error
		if inner, out, err = v.openOrRead(name, flags); err != nil {
			return nil, out, err
		}
	}
	f := &dbFile{file: file{File: inner, vfs: v}, path: path}
	f.visit = &visitor{
		visit: v.visits.arrive(path), yields: uriBool(name.URIParameters().Get("boule_yield")),
		asked: flags, got: out,
	}
	f.startTracking(tracker.Eager)
	return f, out, nil
}

// openOrRead opens a file, read-only when it may not be written. (go-sqlite3's
// VFS fails then.)
func (v *replicating) openOrRead(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	inner, out, err := v.open(name, flags)
	if err == nil || flags&vfs.OPEN_READWRITE == 0 || !unwritable(err) {
		return inner, out, err
	}
	flags = flags&^(vfs.OPEN_READWRITE|vfs.OPEN_CREATE) | vfs.OPEN_READONLY
	if inner, out, again := v.open(name, flags); again == nil {
		return inner, out, nil
	}
	return nil, out, err
}

func unwritable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// wantsTracking reads the parameters of a database's URI.
func wantsTracking(name *vfs.Filename) (tracker.Mode, bool) {
	params := name.URIParameters()
	if uriBool(params.Get("immutable")) || uriBool(params.Get("nolock")) {
		return 0, false
	}
	if uriBool(params.Get("boule_eager")) {
		return tracker.Eager, true
	}
	return tracker.Normal, true
}

// syncDirectory makes the entries of a directory durable.
func (v *replicating) syncDirectory(dir string) error {
	if err := v.system.SyncDir(dir); err != nil {
		return vfs.SystemError(fmt.Errorf("sync directory %s: %w", dir, err), sqlite3.IOERR_DIR_FSYNC)
	}
	return nil
}

// TrackerOf returns the tracker of an open database file, as returned by
// sqlite3_file_control(SQLITE_FCNTL_FILE_POINTER); nil when it has none.
func TrackerOf(f vfs.File) *tracker.Tracker {
	db, ok := vfsutil.UnwrapFile[*dbFile](f)
	if !ok {
		return nil
	}
	t, _ := db.tracked.(*tracker.Tracker)
	return t
}
