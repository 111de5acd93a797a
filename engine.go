package boule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

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
	cfg     Config
	log     *slog.Logger
	vfsName string
	snapVFS string
	root    *spool.Root // nil: unreplicated
	targets []spool.Target
	manager *tracker.Manager

	mu     sync.Mutex // guards the following
	users  int
	copier *copier.Copier
	added  map[spool.Key]struct{}
	stop   context.CancelFunc // of the repairs
	done   chan struct{}

	followers followers
}

// engines is the process's only mutable state of this package: the counterpart
// of the VFS registry of go-sqlite3, which is global as well.
var engines = struct {
	sync.Mutex
	byKey  map[string]*engine
	copier *copier.Copier
	users  int
}{byKey: map[string]*engine{}}

// engineFor returns the engine of cfg, made on first use.
func engineFor(cfg *Config) (*engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("boule: configuration: %w", err)
	}
	eff := *cfg
	eff.Hostname = cfg.hostname()
	if len(eff.durable()) > 0 && eff.SpoolDir == "" {
		dir, err := DefaultSpoolDir()
		if err != nil {
			return nil, err
		}
		eff.SpoolDir = dir
	}
	text, err := json.Marshal(eff)
	if err != nil {
		return nil, fmt.Errorf("boule: configuration: %w", err)
	}
	key := string(text)

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
	e := &engine{cfg: eff, log: eff.logger(), added: map[spool.Key]struct{}{}}
	suffix := ""
	if vfs.Find("boule") != nil {
		sum := sha256.Sum256(text)
		suffix = "-" + hex.EncodeToString(sum[:6])
	}
	e.vfsName, e.snapVFS = "boule"+suffix, "boule_snapshot"+suffix
	e.openSpool()
	e.manager = tracker.New(&tracker.Options{
		Root:     e.root,
		Hostname: eff.Hostname,
		Targets:  e.targets,
		Notify:   e.notify,
		Logger:   e.log,
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

// openSpool decides whether this engine replicates. A spool that can't be made
// now is tried again at each snapshot: nothing of it may fail an application.
func (e *engine) openSpool() {
	durable := e.cfg.durable()
	if len(durable) == 0 {
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
	root, err := spool.OpenRoot(e.cfg.SpoolDir, fs.FileMode(e.cfg.SpoolPermissions), &spool.Options{Logger: e.log})
	if err != nil {
		e.log.Warn("not replicating: no spool", "spool", e.cfg.SpoolDir, "error", err)
		return
	}
	e.root = root
}

// retain starts what costs something, for its first user.
func (e *engine) retain() {
	engines.Lock()
	if engines.copier == nil && e.root != nil {
		engines.copier = copier.New(&copier.Options{Open: openTarget, Desync: desync, Logger: e.log})
	}
	if e.root != nil {
		engines.users++
	}
	shared := engines.copier
	engines.Unlock()

	e.mu.Lock()
	defer e.mu.Unlock()
	e.users++
	if e.users > 1 || e.root == nil {
		return
	}
	e.copier = shared
	ctx, cancel := context.WithCancel(context.Background())
	e.stop, e.done = cancel, make(chan struct{})
	go e.repair(ctx, e.done)
}
