package spool

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/boule-db/boule/internal/fsx"
)

// Options configures a [Root]. The zero value is usable; so is a nil *Options.
type Options struct {
	Logger     *slog.Logger        // nil discards
	Hostname   string              // whose taps may be cleaned; empty means the machine's
	ScratchAge time.Duration       // age at which scratch files are stale; zero means 10s, negative at once
	WrapFS     func(fsx.FS) fsx.FS // for tests: put between the spool and the file system
}

// A DB identifies a database file.
type DB struct {
	Path     string // absolute and canonical
	Dev, Ino uint64
}

// A Target is a place to replicate to. Spec is opaque here; it must hold no credentials.
type Target struct {
	ID   string          `json:"id"`
	Spec json.RawMessage `json:"spec"`
}

// A Key names one spool of a boot. It is comparable.
type Key struct {
	Mangled  string // mangled path of the database
	Dev, Ino uint64
	Target   string // id of the target
}

// String returns the path of the spool below the directory of the boot.
func (k Key) String() string { return fmt.Sprintf("%s/%d.%d.%s", k.Mangled, k.Dev, k.Ino, k.Target) }

// KeyOf returns the key of the spool of db for the target.
func KeyOf(db DB, target string) Key {
	return Key{Mangled: Mangle(db.Path), Dev: db.Dev, Ino: db.Ino, Target: target}
}

// Metadata is what a spool says of itself.
type Metadata struct {
	Version int    `json:"version"`
	Path    string `json:"path"`
	Target  Target `json:"target"`
}

// Info describes one spool.
type Info struct {
	Key       Key
	Path      string // of the database; empty when unknown
	Target    Target // Spec is nil when unknown
	Staged    Usage  // staging/chunks and staging/meta
	Ready     Usage
	Consuming Usage
}

// Usage counts files and their bytes.
type Usage struct {
	Chunks, Manifests int
	Bytes             int64
}

// A Root is the directory of spools of this boot. It is safe for concurrent use.
type Root struct{}

// OpenRoot opens PREFIX/boule-<boot>-v1, creating what is missing: PREFIX with perm|0700.
func OpenRoot(prefix string, perm fs.FileMode, opts *Options) (*Root, error) { panic("todo") }

// Dir returns the path of the directory of this boot.
func (r *Root) Dir() string { panic("todo") }

// Producer opens the spool of db for t, creating it when missing.
func (r *Root) Producer(db DB, t Target) (*Producer, error) { panic("todo") }

// Consumer opens an existing spool; the error is fs.ErrNotExist when there is none.
func (r *Root) Consumer(k Key) (*Consumer, error) { panic("todo") }

// Spools lists the spools of this boot.
func (r *Root) Spools() ([]Info, error) { panic("todo") }

// CleanStale removes what nobody needs any more. It may take long; it fails silently.
func (r *Root) CleanStale(db DB) { panic("todo") }

// Tap returns the last manifest that the target acknowledged, and when it was written.
func (r *Root) Tap(target, name string) ([]byte, time.Time, error) { panic("todo") }

// WriteTap replaces the tap of the manifest.
func (r *Root) WriteTap(target, name string, data []byte) error { panic("todo") }

// Close releases the root.
func (r *Root) Close() error { panic("todo") }

// Mangle makes a directory name of a path.
func Mangle(path string) string { panic("todo") }

// Unmangle undoes Mangle; false when the name was shortened or is none of ours.
func Unmangle(s string) (string, bool) { panic("todo") }
