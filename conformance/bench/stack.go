package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/target"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

// A stack is Boule put together from its parts, so that one can see into it: what the steps of a snapshot take, and
// what is written into the spool. It takes a snapshot at every commit.
type stack struct {
	root    *spool.Root
	manager *tracker.Manager
	copier  *copier.Copier
	name    string       // of the VFS
	written atomic.Int64 // bytes, into the spool

	mu    sync.Mutex               // guards the following
	steps map[string]time.Duration // that the tracker took
	added map[spool.Key]bool       // to copier
}

// The steps of a snapshot, in their order.
var steps = []string{"look", "plan", "chunks", "manifest", "publish", "collect"}

// unlimited is the budget of requests to directories.
var unlimited = budget.NewLimiter(&budget.Options{Rate: -1, FlushRate: -1})

// stacks counts them, for the names of their VFSes.
var stacks atomic.Int64

func newStack(dir string) (*stack, error) {
	tgt := target.Target{File: &target.File{Directory: filepath.Join(dir, "store")}}
	spec, err := json.Marshal(tgt)
	if err != nil {
		return nil, err
	}
	if err := host.Init(nil); err != nil {
		return nil, err
	}
	k := &stack{name: fmt.Sprintf("bench-%d", stacks.Add(1)), steps: map[string]time.Duration{}, added: map[spool.Key]bool{}}
	k.root, err = spool.OpenRoot(filepath.Join(dir, "spool"), 0, &spool.Options{
		WrapFS: func(f fsx.FS) fsx.FS { return countedFS{f, &k.written} },
	})
	if err != nil {
		return nil, err
	}
	k.copier = copier.New(&copier.Options{
		Open: func(ctx context.Context, spec json.RawMessage) (*copier.Stores, error) {
			var t target.Target
			if err := json.Unmarshal(spec, &t); err != nil {
				return nil, err
			}
			return target.Open(ctx, t, &target.OpenOptions{Limiter: unlimited})
		},
		Desync: func(key spool.Key, reason error) { k.manager.Desync(key, reason) },
	})
	k.manager = tracker.New(&tracker.Options{
		Root: k.root, Targets: []spool.Target{{ID: tgt.ID(), Spec: spec}}, Notify: k.notify, NotifyPart: k.notify, Coalesce: -1,
		Observe: func(step string, took time.Duration) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.steps[step] += took
		},
	})
	vfs.Register(k.name, wasmvfs.New(k.manager, nil))
	return k, nil
}

func (k *stack) notify(key spool.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.added[key] {
		k.added[key] = true
		k.copier.Add(k.root, key)
	}
	k.copier.Notify(key)
}

// reset forgets what was observed and counted.
func (k *stack) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.steps)
	k.written.Store(0)
}

// took is what a step has taken since reset.
func (k *stack) took(step string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.steps[step]
}

func (k *stack) open(ctx context.Context, path string) (*sqlite3.Conn, error) {
	return host.Open(ctx, "file:"+path+"?vfs="+k.name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
}

// evaluate takes the snapshot of a database that is too large to be looked at within a commit.
func (k *stack) evaluate(ctx context.Context, path string) error {
	conn, err := host.Open(ctx, "file:"+path+"?boule_eager=1&mode=rw&vfs="+k.name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
	if err != nil {
		return err
	}
	_, err = number(conn, `SELECT count(*) FROM sqlite_schema`)
	return errors.Join(err, conn.Close())
}

// flush uploads what is staged.
func (k *stack) flush(ctx context.Context, path string) error {
	for _, key := range k.manager.Keys(path) {
		if err := k.copier.Flush(ctx, k.root, key); err != nil {
			return err
		}
	}
	return nil
}

func (k *stack) close(ctx context.Context) error {
	vfs.Unregister(k.name)
	return errors.Join(k.copier.Close(ctx), k.manager.Close())
}

// A countedFS counts the bytes that are written into its files.
type countedFS struct {
	fsx.FS
	n *atomic.Int64
}

func (c countedFS) Create(name string, perm fs.FileMode) (fsx.WFile, error) {
	f, err := c.FS.Create(name, perm)
	if err != nil {
		return nil, err
	}
	return countedFile{f, c.n}, nil
}

func (c countedFS) Sub(name string) (fsx.FS, error) {
	sub, err := c.FS.Sub(name)
	if err != nil {
		return nil, err
	}
	return countedFS{sub, c.n}, nil
}

type countedFile struct {
	fsx.WFile
	n *atomic.Int64
}

func (c countedFile) Write(p []byte) (int, error) {
	n, err := c.WFile.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func (c countedFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := c.WFile.WriteAt(p, off)
	c.n.Add(int64(n))
	return n, err
}
