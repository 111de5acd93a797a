package tracker

import (
	"io"
	"log/slog"
	"time"

	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/spool"
)

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

	// Coalesce bounds how long the snapshot after a transaction is put off if one was taken just
	// before; 100ms, negative never puts off. What is put off is taken by a later commit, the
	// repairs (see [Manager.Behind]), or the last connection when it closes; if the process dies
	// before, by whoever evaluates the database next.
	Coalesce time.Duration
	// NextUpload says when what is staged for a target will be taken at the earliest; the zero time is at any moment. As long as few
	// chunks have changed, and commits follow each other within Coalesce, a snapshot is put off until just before that, at most ten times Coalesce. It
	// is called within the commit: it must be cheap. Nil knows nothing.
	NextUpload func(spool.Key) time.Time

	// NotifyPart is told, like Notify, of a large snapshot now and then before that is complete: what is
	// staged by then may be uploaded. Nil is told nothing.
	NotifyPart func(spool.Key)

	// CommitChunks bounds the chunks (64 KiB each) that a commit reads and stages; 16, negative for
	// no bound. A larger snapshot is left to an Eager tracker, like what is put off.
	CommitChunks int
	// Patience is how long a writer waits for a snapshot of an Eager tracker until that gives way;
	// 5ms, negative for not at all. It doubles, up to 1024 times, each time that what was done is
	// lost because another process wrote, up to four times if the snapshot takes seconds, and up to sixteen if it does not gain on writers even so. Pause is how long it stays
	// away then; 20ms, and less while writers are as fast as it is.
	Patience, Pause time.Duration
	// Overrides bounds the fingerprints that a manifest has beside its index blocks; 1024. See
	// manifest/FORMAT.md.
	Overrides int
	// OpenSpools bounds the spools that are kept open while nothing is written, two files each; as many as take
	// an eighth of the file descriptors that the process may have.
	OpenSpools int
	// Observe is told how long the steps of each snapshot took: "look" at the database, "plan" by
	// what is staged, "chunks" read and staged, "manifest" made and staged, "publish" what is staged,
	// "collect" garbage. It is called within the commit; nil observes nothing.
	Observe func(step string, took time.Duration)

	noAttr   bool // for tests: as if the filesystem had no extended attributes
	maxAhead int  // for tests: how many chunks are read before those before them are staged
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Hostname == "" {
		opts.Hostname = instance.Hostname()
	}
	if opts.Generator == "" {
		opts.Generator = "boule"
	}
	if opts.Notify == nil {
		opts.Notify = func(spool.Key) {}
	}
	if opts.NotifyPart == nil {
		opts.NotifyPart = func(spool.Key) {}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MinBackoff <= 0 {
		opts.MinBackoff = time.Second
	}
	if opts.MaxBackoff <= 0 {
		opts.MaxBackoff = time.Minute
	}
	if opts.Coalesce == 0 {
		opts.Coalesce = 100 * time.Millisecond
	}
	if opts.NextUpload == nil {
		opts.NextUpload = func(spool.Key) time.Time { return time.Time{} }
	}
	if opts.CommitChunks == 0 {
		opts.CommitChunks = 16
	}
	if opts.Patience == 0 {
		opts.Patience = 5 * time.Millisecond
	}
	if opts.Pause <= 0 {
		opts.Pause = 20 * time.Millisecond
	}
	if opts.maxAhead <= 0 {
		opts.maxAhead = maxAhead
	}
	if opts.Overrides <= 0 {
		opts.Overrides = 1024
	}
	if opts.OpenSpools <= 0 {
		opts.OpenSpools = defaultOpenSpools()
	}
	if opts.Observe == nil {
		opts.Observe = func(string, time.Duration) {}
	}
	if opts.Root == nil {
		opts.Targets = nil
	}
	return opts
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

// A Yielder is a File for whose lock others may wait. A snapshot of an Eager tracker gives way to
// them, and is gone on with later.
type Yielder interface {
	File
	// Yield reports whether somebody waits.
	Yield() bool
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
