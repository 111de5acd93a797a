package tracker

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// ErrUntracked reports a database that this manager does not track.
var ErrUntracked = errors.New("tracker: not tracked")

// Options configures a [Manager]. In each field zero means the default.
type Options struct {
	Root       *spool.Root     // nil: nothing is staged, only version ids are kept honest
	Hostname   string          // of this machine, in the names of manifests; empty means the system's
	Targets    []spool.Target  // each gets its own spool
	Generator  string          // recorded in manifests; "boule"
	Notify     func(spool.Key) // told of each new snapshot, from within the commit: must be cheap
	Logger     *slog.Logger    // nil discards
	MinBackoff time.Duration   // before the first retry of a failed snapshot; 1s
	MaxBackoff time.Duration   // between later retries; 60s
}

// A File is the open database, as SQLite's VFS wraps it.
type File interface {
	io.ReaderAt
	Size() (int64, error)
	Fd() uintptr
	// Reserved reports whether another connection holds a RESERVED lock. It is called only
	// while the caller holds SHARED.
	Reserved() (bool, error)
}

// A Mode says when a Tracker evaluates a database that it did not write.
type Mode int

const (
	// Normal evaluates after writes only.
	Normal Mode = iota
	// Eager also evaluates at the first unlock, whether or not anything was written, and does
	// not wait for the time of the next retry.
	Eager
)

// Held is the lock held during a snapshot.
type Held int

const (
	// Shared says that the connection was just downgraded to SHARED.
	Shared Held = iota
	// Exclusive says that a transaction was just committed in locking_mode=EXCLUSIVE.
	Exclusive
)

// A Manager is what all connections of one configuration share. It is safe for concurrent use.
type Manager struct{}

// New returns a Manager.
func New(opts *Options) *Manager { panic("todo") }

// Track returns the Tracker of a connection that opened the database. It never fails.
// path is the absolute path under which SQLite opened it.
func (m *Manager) Track(path string, f File, mode Mode) *Tracker { panic("todo") }

// State is the state of replication of a database or target, as far as staging goes.
type State string

// States, from best to worst.
const (
	StateOK        State = "ok"        // staged, or nothing to stage
	StateUnknown   State = "unknown"   // not evaluated yet
	StateWAL       State = "wal"       // in WAL mode, which cannot be replicated
	StateBehind    State = "behind"    // the last snapshot failed; a retry is due at NextTry
	StateUntracked State = "untracked" // no spool could be opened
)

// Health describes how the staging of a database goes.
type Health struct {
	Path            string
	State           State // the worst of the targets
	LastError       error
	Since           time.Time // when State became what it is
	Targets         []TargetHealth
	ScrubMismatches int // clean chunks found to differ from their staged fingerprint
}

// TargetHealth describes how staging for one target goes.
type TargetHealth struct {
	Key          spool.Key
	State        State
	LastError    error
	Since        time.Time // of the state
	NextTry      time.Time // zero unless behind
	Failures     int       // in a row
	LastSnapshot time.Time // last success in this process
	Sequence     uint64    // of that snapshot
}

// Health reports on the database; false when it was never tracked.
func (m *Manager) Health(path string) (Health, bool) { panic("todo") }

// All reports on every database tracked so far.
func (m *Manager) All() []Health { panic("todo") }

// Behind returns the paths of databases for which an attempt of repair is due now: open each
// with an Eager tracker and read something. Each call returns what has become due since.
func (m *Manager) Behind() []string { panic("todo") }

// Wake returns a channel that receives when Behind may have become non-empty before its time.
func (m *Manager) Wake() <-chan struct{} { panic("todo") }

// Desync says that the target lacks data that it should hold: the staged manifest is
// forgotten, and the database becomes due for a full snapshot at once.
func (m *Manager) Desync(key spool.Key, reason error) { panic("todo") }

// Keys returns the keys of the spools of the tracked database, one for each target.
func (m *Manager) Keys(path string) []spool.Key { panic("todo") }

// A StagedInfo describes what is staged for one target.
type StagedInfo struct {
	Key       spool.Key
	Name      string // of the manifest
	Err       error  // why the rest is not known; fs.ErrNotExist when nothing is staged
	Sequence  uint64
	VersionID []byte
	Header    manifest.Fingerprint
	Size      int64
	// Current says that the snapshot is of the database as it is now. Only
	// [Tracker.Current] can tell; it is false elsewhere.
	Current bool
}

// StagedFor reads what is staged now for each target of the database.
func (m *Manager) StagedFor(path string) ([]StagedInfo, error) { panic("todo") }

// Close releases what idle databases hold. Trackers still open go on untracked.
func (m *Manager) Close() error { panic("todo") }
