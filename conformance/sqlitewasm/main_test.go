package sqlitewasm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/conformance/sqlitewasm"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

const (
	hostname = "test.example.com"
	target   = "t"
)

// load compiles a program.
func load(t *testing.T, name string) *sqlitewasm.Program {
	t.Helper()
	p, err := sqlitewasm.Load(t.Context(), name)
	check(t, err)
	t.Cleanup(func() { check(t, p.Close(context.Background())) })
	return p
}

// A harness is the VFS boule, registered under a name of its own.
type harness struct {
	name  string
	db    string
	root  *spool.Root
	store *spooltest.Remote

	mu        sync.Mutex // guards the following
	snapshots int
	errs      []error
}

var harnesses atomic.Int64

func newHarness(t *testing.T, replicated bool) *harness {
	t.Helper()
	h := &harness{
		name:  fmt.Sprintf("boule%d", harnesses.Add(1)),
		db:    filepath.Join(realpath(t, t.TempDir()), "test.db"),
		store: spooltest.NewRemote(),
	}
	var m *tracker.Manager
	if replicated {
		var err error
		h.root, err = spool.OpenRoot(filepath.Join(t.TempDir(), "spool"), 0, nil)
		check(t, err)
		m = tracker.New(&tracker.Options{
			Root: h.root, Hostname: hostname, Notify: h.taken, Coalesce: -1,
			Targets: []spool.Target{{ID: target, Spec: json.RawMessage(`{"file":{"directory":"/nowhere"},"layout":"chunks"}`)}},
		})
		t.Cleanup(func() { check(t, m.Close()) })
	}
	vfs.Register(h.name, wasmvfs.New(m, nil))
	t.Cleanup(func() { vfs.Unregister(h.name) })
	return h
}

// taken is told by the tracker of each snapshot, while the database is still locked.
func (h *harness) taken(key spool.Key) {
	err := h.compare(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.snapshots++
	if err != nil {
		h.errs = append(h.errs, err)
	}
}

func (h *harness) compare(key spool.Key) error {
	want, err := os.ReadFile(h.db)
	if err != nil {
		return err
	}
	got, err := h.store.RestoreStaged(h.root.Dir(), key, manifest.Name(hostname, h.db))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("snapshot of %d bytes is not the database, of %d", len(got), len(want))
	}
	return nil
}

// judge fails the test if a snapshot was wrong, or none was taken.
func (h *harness) judge(t *testing.T) {
	t.Helper()
	if h.root == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t.Logf("%d snapshots compared with the database", h.snapshots)
	if h.snapshots == 0 {
		t.Error("no snapshot was taken")
	}
	for _, err := range h.errs {
		t.Error(err)
	}
}

func realpath(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	check(t, err)
	return path
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
