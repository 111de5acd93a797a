package wasmvfs

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// SnapshotName is the name under which the VFS of replicas is meant to be
// registered.
const SnapshotName = "boule_snapshot"

// A SnapshotSource follows one replicated database. Connections may share one;
// it must be safe for concurrent use.
type SnapshotSource interface {
	// Latest returns the newest snapshot that it knows of, looking for a newer
	// one as hard as the level says. It never returns an older one than before.
	// After an open at least one is loaded.
	Latest(ctx context.Context, level Level) (Snapshot, error)

	// Prefetch starts looking for a newer snapshot in the background. It
	// returns at once.
	Prefetch()

	// Close says that a connection is done with it.
	Close() error
}

// A Snapshot is one state of a database. It never changes. It must be
// comparable: a pointer will do.
type Snapshot interface {
	// ReadAtContext is [io.ReaderAt] with a context, which is the one that
	// interrupts the connection's statements.
	ReadAtContext(ctx context.Context, p []byte, off int64) (int, error)
	// Size is the size of the database in bytes.
	Size() int64
	// SourceTime is when the database file was last changed, by its own host.
	SourceTime() time.Time
	// Updated is when the fetch of this snapshot started, by this host.
	Updated() time.Time
}

// A Level says how hard to look for a newer snapshot.
type Level int

const (
	// Loaded takes the newest that is loaded already, without any I/O.
	Loaded Level = iota
	// Fetch asks the store, unless somebody is asking already; then it waits
	// for that.
	Fetch
	// Force always asks the store.
	Force
)

// SnapshotOptions configures [NewSnapshot]. Nil is usable.
type SnapshotOptions struct {
	Logger *slog.Logger // told of failed reads; nil discards
}

func (o *SnapshotOptions) withDefaults() SnapshotOptions {
	var opts SnapshotOptions
	if o != nil {
		opts = *o
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return opts
}

// snapshotVFS is the VFS boule_snapshot.
type snapshotVFS struct {
	open func(ctx context.Context, uri string) (SnapshotSource, error)
	os   vfs.VFSFilename // for temporary files
	opts SnapshotOptions
}

var _ vfs.VFSFilename = (*snapshotVFS)(nil)

// NewSnapshot returns a VFS whose databases are replicas, opened by open. The
// uri is a name that begins with boule://, http://, https://, s3:// or file://,
// or else the absolute path of a manifest.
//
// The databases are read-only. SQLite's temporary files go where they always do.
func NewSnapshot(open func(ctx context.Context, uri string) (SnapshotSource, error), opts *SnapshotOptions) vfs.VFS {
	return &snapshotVFS{open, vfs.Find("os").(vfs.VFSFilename), opts.withDefaults()}
}

// FullPathname leaves URIs as they are.
func (v *snapshotVFS) FullPathname(name string) (string, error) {
	for _, scheme := range []string{"boule", "http", "https", "s3", "file"} {
		if strings.HasPrefix(name, scheme+"://") {
			return name, nil
		}
	}
	return filepath.Abs(name)
}

// Delete implements [vfs.VFS]. What could be deleted is never there.
func (v *snapshotVFS) Delete(string, bool) error { return sqlite3.IOERR_DELETE_NOENT }

// Access implements [vfs.VFS]. A replica has no journal.
func (v *snapshotVFS) Access(name string, flags vfs.AccessFlag) (bool, error) {
	if flags == vfs.ACCESS_EXISTS {
		return false, nil
	}
	return v.os.Access(name, flags) // of a directory for temporary files
}

// Open implements [vfs.VFS]; go-sqlite3 calls OpenFilename.
func (v *snapshotVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if name == "" {
		return v.OpenFilename(nil, flags)
	}
	return nil, flags, sqlite3.CANTOPEN
}

// OpenFilename implements [vfs.VFSFilename].
func (v *snapshotVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	const temporary = vfs.OPEN_TEMP_DB | vfs.OPEN_TRANSIENT_DB | vfs.OPEN_TEMP_JOURNAL | vfs.OPEN_SUBJOURNAL
	switch {
	case name == nil, flags&(temporary|vfs.OPEN_DELETEONCLOSE) != 0:
		return v.os.OpenFilename(name, flags)
	case flags&vfs.OPEN_MAIN_DB == 0:
		return nil, flags, sqlite3.CANTOPEN
	}
	uri := name.String()
	f, err := v.openMain(uri)
	if err != nil {
		v.opts.Logger.Debug("replica not opened", "uri", uri, "error", err)
		return nil, flags, vfs.SystemError(err, sqlite3.CANTOPEN)
	}
	return f, flags&^(vfs.OPEN_READWRITE|vfs.OPEN_CREATE) | vfs.OPEN_READONLY, nil
}

func (v *snapshotVFS) openMain(uri string) (*snapshotFile, error) {
	ctx := context.Background() // SQLite has not said yet who opens it
	source, err := v.open(ctx, uri)
	if err != nil {
		return nil, err
	}
	snap, err := source.Latest(ctx, Loaded)
	if err == nil && snap == nil {
		err = errors.New("there is no snapshot")
	}
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return &snapshotFile{vfs: v, uri: uri, source: source, snap: snap}, nil
}

func foldPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
