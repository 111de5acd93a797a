package wasmvfs

import (
	"context"
	"io"
	"log/slog"
	"time"

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
	// Fetched is what Snapshot.Updated means.
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

// NewSnapshot returns a VFS whose databases are replicas, opened by open. The
// uri is a name that begins with boule://, http://, https://, s3:// or file://,
// or else the absolute path of a manifest.
func NewSnapshot(open func(ctx context.Context, uri string) (SnapshotSource, error), opts *SnapshotOptions) vfs.VFS {
	panic("todo")
}

var _ io.Closer = SnapshotSource(nil)
