package host

import (
	"context"
	"log/slog"

	"github.com/ncruces/go-sqlite3"
)

// Options configures [Init]. The zero value is usable; so is a nil *Options.
type Options struct {
	// CacheDir keeps compiled machine code between processes. It must belong to
	// the user and be closed to others (0700), else it is not used. Empty means
	// boule/wazero below [os.UserCacheDir]; [CacheOff] means none.
	CacheDir string

	// MemoryPages limits the memory of each connection, in pages of 64 KiB.
	// Zero means 4096 (256 MiB), or 512 where pointers have 32 bits.
	MemoryPages int

	// Logger is told of what is wrong with the cache. Nil discards.
	Logger *slog.Logger
}

// CacheOff as [Options.CacheDir] does without a compilation cache.
const CacheOff = "off"

// Init makes SQLite ready to run, which takes a second when the machine code is
// not in the cache. Only the first call counts, whatever the later ones ask for;
// they wait for it and return its result. All faults of the cache are healed or
// worked around; an error means that SQLite can't run in this process.
func Init(opts *Options) error { return nil }

// Warm calls [Init] in the background.
func Warm(opts *Options) { go Init(opts) }

// Open opens a connection, like [sqlite3.OpenFlags], after calling [Init] with
// default options where nobody has. Flags of zero mean OPEN_READWRITE,
// OPEN_CREATE and OPEN_URI.
func Open(ctx context.Context, filename string, flags sqlite3.OpenFlag) (*sqlite3.Conn, error) {
	return nil, ctx.Err()
}

// Details describe the engine of this process.
type Details struct {
	SQLite      string `json:"sqlite"`       // version of SQLite
	SourceID    string `json:"source_id"`    // check-in of SQLite
	WasmSHA256  string `json:"wasm_sha256"`  // of the binary, in hexadecimal
	Foreign     bool   `json:"foreign"`      // another part of the program had chosen the binary or the configuration
	Wazero      string `json:"wazero"`       // version of wazero
	Engine      string `json:"engine"`       // "compiler" or "interpreter"
	Cache       string `json:"cache"`        // what became of the cache: one of the Cache constants; empty before Init
	CacheDir    string `json:"cache_dir"`    // empty when off
	CacheReason string `json:"cache_reason"` // why it is off or was healed
}

// States of the compilation cache.
const (
	CacheHit     = "hit"    // the machine code came from the cache
	CacheMiss    = "miss"   // it was compiled, and is in the cache now
	CacheHealed  = "healed" // what was in the cache was unusable and is replaced
	CacheOffline = "off"    // there is no usable cache
)

// Info returns what is known of the engine. It initialises nothing: before [Init]
// the cache has no state yet.
func Info() Details { return Details{} }
