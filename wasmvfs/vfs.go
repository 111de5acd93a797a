package wasmvfs

import (
	"log/slog"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/tracker"
)

// Name is the name under which the replicating VFS is meant to be registered.
const Name = "boule"

// Options configures [New]. The zero value is usable; so is a nil *Options.
type Options struct {
	// Flush uploads the present state of a database and returns nil only when
	// every target has it. It answers PRAGMA boule_flush_replication_data,
	// which says "0" without it.
	Flush func(path string) error

	// Status describes the replication of a database in one line of JSON. It
	// answers PRAGMA boule_replication_status.
	Status func(path string) string

	// Logger is told of faults of replication. Nil discards.
	Logger *slog.Logger
}

// New returns the replicating VFS. A nil manager makes it a plain VFS that
// tracks nothing, as does a platform on which the spool can't work.
func New(m *tracker.Manager, opts *Options) vfs.VFS {
	panic("todo")
}

// TrackerOf returns the tracker of an open database file, as returned by
// sqlite3_file_control(SQLITE_FCNTL_FILE_POINTER); nil when it has none.
func TrackerOf(f vfs.File) *tracker.Tracker { return nil }
