package boule

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

// An engine is everything that one configuration needs at run time. Engines are
// shared by all that open databases with the same configuration, and stay for
// the life of the process, since SQLite looks their VFS up by name at any time;
// what costs something (copier, repairs) runs only while somebody uses it.
type engine struct {
	cfg     Config // a deep copy, with what was left out filled in
	log     *slog.Logger
	vfsName string
	snapVFS string
	root    *spool.Root // nil: unreplicated
	targets []spool.Target
	manager *tracker.Manager

	users   int // guarded by engines, like repairs
	repairs *repairs

	mu     sync.Mutex // guards the following; it is taken on the commit path
	copier *copier.Copier
	added  map[spool.Key]struct{} // to copier, once each

	followers followers
}

// An engineKey is what two users must have in common to share an engine.
type engineKey struct {
	config string // in JSON, with what was left out filled in
	log    *slog.Logger
}

// engineFor returns the engine of a valid configuration, made on first use. One
// that is only to read replicas needs no spool.
func engineFor(cfg *Config, writes bool) (*engine, error) {
	eff, key, err := fillIn(cfg, writes)
	if err != nil {
		return nil, err
	}
	engines.Lock()
	defer engines.Unlock()
	if e := engines.byKey[key]; e != nil {
		return e, nil
	}
	if err := host.Init(&host.Options{CacheDir: eff.CacheDir, Logger: eff.logger()}); err != nil {
		return nil, fmt.Errorf("boule: start SQLite: %w", err)
	}
	if eff.TempDir != "" {
		// The wrapped VFS reads it there, as SQLite's own does.
		if err := os.Setenv("SQLITE_TMPDIR", eff.TempDir); err != nil {
			return nil, fmt.Errorf("boule: tempdir: %w", err)
		}
	}
	e := &engine{cfg: *eff, log: eff.logger(), added: map[spool.Key]struct{}{}}
	e.vfsName, e.snapVFS = wasmvfs.Name, wasmvfs.SnapshotName
	if n := len(engines.byKey); n > 0 {
		e.vfsName += "-" + strconv.Itoa(n+1)
		e.snapVFS += "-" + strconv.Itoa(n+1)
	}
	e.openSpool()
	e.manager = tracker.New(&tracker.Options{
		Root:     e.root,
		Hostname: eff.Hostname,
		Targets:  e.targets,
		Notify:   e.notify, NotifyPart: e.notify, NextUpload: e.nextUpload,
		Logger: e.log,
	})
	vfs.Register(e.vfsName, wasmvfs.New(e.manager, &wasmvfs.Options{
		Logger: e.log,
		Flush:  e.flushPragma,
		Upload: e.uploadPragma,
		Status: e.statusPragma,
	}))
	vfs.Register(e.snapVFS, wasmvfs.NewSnapshot(e.openSource, &wasmvfs.SnapshotOptions{Logger: e.log}))
	engines.byKey[key] = e
	return e, nil
}

// fillIn returns a deep copy of cfg, with what was left out filled in, and the key
// of its engine.
func fillIn(cfg *Config, writes bool) (*Config, engineKey, error) {
	fail := func(err error) (*Config, engineKey, error) { return nil, engineKey{}, err }
	own := *cfg
	own.MakeDefault = false // it makes no difference
	own.Hostname = cfg.hostname()
	var err error
	switch {
	case own.SpoolDir != "":
		own.SpoolDir, err = filepath.Abs(own.SpoolDir)
	case len(own.durable()) > 0:
		if own.SpoolDir, err = DefaultSpoolDir(); !writes {
			err = nil
		}
	}
	if err != nil {
		return fail(err)
	}
	if own.TempDir != "" {
		if own.TempDir, err = filepath.Abs(own.TempDir); err != nil {
			return fail(fmt.Errorf("boule: tempdir: %w", err))
		}
	}
	text, err := json.Marshal(own)
	if err != nil {
		return fail(fmt.Errorf("boule: configuration: %w", err))
	}
	own.Targets = nil // else it would be decoded into the caller's
	if err := json.Unmarshal(text, &own); err != nil {
		return fail(fmt.Errorf("boule: configuration: %w", err))
	}
	return &own, engineKey{string(text), cfg.Logger}, nil
}

// openSpool decides whether this engine replicates. The spool itself is made when
// a snapshot needs it: nothing of it may fail an application.
func (e *engine) openSpool() {
	durable := e.cfg.durable()
	if len(durable) == 0 || e.cfg.SpoolDir == "" {
		return
	}
	if !instance.Supported {
		e.log.Warn("not replicating", "error", ErrUnsupported)
		return
	}
	for _, t := range durable {
		spec, err := json.Marshal(t)
		if err != nil {
			e.log.Error("not replicating to target", "target", t.String(), "error", err)
			continue
		}
		e.targets = append(e.targets, spool.Target{ID: t.ID(), Spec: spec})
	}
	root, err := spool.OpenRoot(e.cfg.SpoolDir, fs.FileMode(e.cfg.SpoolPermissions),
		&spool.Options{Logger: e.log, Hostname: e.cfg.Hostname})
	if err != nil {
		e.log.Warn("not replicating: no spool", "spool", e.cfg.SpoolDir, "error", err)
		return
	}
	e.root = root
}

// whyNot says why this engine does not replicate; nil when it does.
func (e *engine) whyNot() error {
	switch {
	case e.root != nil:
		return nil
	case len(e.cfg.durable()) == 0:
		return ErrNoTarget
	case len(e.targets) == 0:
		return ErrUnsupported
	}
	return fmt.Errorf("%w: the spool %s can't be used", ErrBehind, e.cfg.SpoolDir)
}

// currentCopier returns the copier, or nil when nobody uses e.
func (e *engine) currentCopier() *copier.Copier {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.copier
}

// notify is called on the commit path, with a snapshot just staged.
func (e *engine) notify(key spool.Key) {
	e.mu.Lock()
	c := e.copier
	_, known := e.added[key]
	if c != nil && !known {
		e.added[key] = struct{}{}
		c.Add(e.root, key) // under the lock, so that a Remove can't overtake it
	}
	e.mu.Unlock()
	if c != nil && known {
		c.Notify(key)
	}
	// Without a copier nobody uses the engine: whoever opens the database next
	// has it looked at, and is notified then.
}

// nextUpload is called on the commit path, too.
func (e *engine) nextUpload(key spool.Key) time.Time {
	if c := e.currentCopier(); c != nil {
		return c.NextUpload(key)
	}
	return time.Time{}
}

// tracks says whether key is of a database that was opened through e.
func (e *engine) tracks(key spool.Key) bool {
	for _, h := range e.manager.All() {
		for _, t := range h.Targets {
			if t.Key == key {
				return true
			}
		}
	}
	return false
}

// detach takes the copier from e, and returns what e gave into its care.
func (e *engine) detach() (c *copier.Copier, added map[spool.Key]struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, added = e.copier, e.added
	e.copier, e.added = nil, map[spool.Key]struct{}{}
	return c, added
}

// attach gives e the copier.
func (e *engine) attach(c *copier.Copier) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.copier = c
}

// prune takes spools that are gone out of the copier's care: of databases that
// were deleted or replaced.
func (e *engine) prune(ctx context.Context) {
	e.mu.Lock()
	keys := make([]spool.Key, 0, len(e.added))
	for key := range e.added {
		keys = append(keys, key)
	}
	e.mu.Unlock()
	for _, key := range keys {
		if ctx.Err() != nil {
			return
		}
		if !e.gone(key) {
			continue
		}
		e.mu.Lock()
		if _, there := e.added[key]; there && e.copier != nil {
			delete(e.added, key)
			e.copier.Remove(key)
		}
		e.mu.Unlock()
	}
}
