package host

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/ncruces/go-sqlite3"
)

// Options configures [Init]. The zero value is usable; so is a nil *Options.
type Options struct {
	// CacheDir keeps compiled machine code between processes. It must belong to
	// the user and be closed to all others (0700), else it is not used. Empty
	// means boule/wazero below [os.UserCacheDir]; [CacheOff] means none.
	CacheDir string

	// MemoryPages limits the memory of each connection, in pages of 64 KiB.
	// Zero means 4096 (256 MiB), or 512 where pointers have 32 bits.
	MemoryPages int

	// Logger is told of what is wrong with the cache. Nil discards.
	Logger *slog.Logger
}

// CacheOff as [Options.CacheDir] does without a compilation cache.
const CacheOff = "off"

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.MemoryPages <= 0 {
		opts.MemoryPages = defaultMemoryPages
	}
	opts.MemoryPages = min(opts.MemoryPages, maxMemoryPages)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return opts
}

// process is the one SQLite that a process can have: go-sqlite3 keeps it in
// package variables and initialises it once.
var process = struct {
	once sync.Once
	done chan struct{} // closed when the following are settled

	err     error
	details Details
}{done: make(chan struct{})}

var errNotStarted = errors.New("host: SQLite did not start")

// Init makes SQLite ready to run, which takes about half a second when the
// machine code is not in the cache. Only the first call counts, whatever the
// later ones ask for; they wait for it and return its result. All faults of the
// cache are healed or worked around; an error means that SQLite can't run in
// this process.
//
// Afterwards every way of opening a connection is quick, go-sqlite3's own too.
func Init(opts *Options) error {
	process.once.Do(func() {
		defer close(process.done)
		process.err = errNotStarted // should start panic
		process.details, process.err = start(opts.withDefaults())
	})
	return process.err
}

// Warm calls [Init] in the background, for programs that have other things to
// do before they need SQLite.
func Warm(opts *Options) {
	go func() { _ = Init(opts) }() // whoever needs SQLite gets the error from Init or Open
}

// Open opens a connection, like [sqlite3.OpenFlags], after calling [Init] with
// default options where nobody has. Flags of zero mean OPEN_READWRITE,
// OPEN_CREATE and OPEN_URI. A context that is done before SQLite is ready does
// not stop the initialisation, only the waiting.
//
// https://sqlite.org/c3ref/open.html
func Open(ctx context.Context, filename string, flags sqlite3.OpenFlag) (*sqlite3.Conn, error) {
	const usual = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE | sqlite3.OPEN_URI
	select {
	case <-process.done:
	default:
		Warm(nil)
		select {
		case <-process.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if process.err != nil {
		return nil, process.err
	}
	if flags == 0 || flags == usual {
		return sqlite3.OpenContext(ctx, filename)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return sqlite3.OpenFlags(filename, flags)
}
