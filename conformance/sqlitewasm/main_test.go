package sqlitewasm_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	_ "unsafe" // for go:linkname

	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

const (
	hostname = "test.example.com"
	target   = "t"
)

//go:embed testdata
var testdata embed.FS

// newContext returns a context that holds the open files of one instance. go-sqlite3 keeps it
// to itself, and its host functions need it.
//
//go:linkname newContext github.com/ncruces/go-sqlite3/internal/util.NewContext
func newContext(ctx context.Context) context.Context

// A program is one of SQLite's, compiled.
type program struct {
	runtime   wazero.Runtime
	code      wazero.CompiledModule
	instances atomic.Int64
}

// A run is a program and all instances that it starts.
type run struct {
	*program

	children sync.WaitGroup

	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// runKey is what the run of an instance is found by in its context.
type runKey struct{}

// load compiles a program.
func load(t *testing.T, name string) *program {
	t.Helper()
	packed, err := testdata.Open("testdata/" + name + ".wasm.gz")
	check(t, err)
	unpacked, err := gzip.NewReader(packed)
	check(t, err)
	binary, err := io.ReadAll(unpacked)
	check(t, err)
	ctx := t.Context()
	p := &program{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(2048))}
	t.Cleanup(func() { check(t, p.runtime.Close(context.Background())) })
	wasi_snapshot_preview1.MustInstantiate(ctx, p.runtime)
	env := vfs.ExportHostFunctions(p.runtime.NewHostModuleBuilder("env"))
	env.NewFunctionBuilder().WithFunc(system).Export("system")
	_, err = env.Instantiate(ctx)
	check(t, err)
	p.code, err = p.runtime.CompileModule(ctx, binary)
	check(t, err)
	return p
}

// run runs the program to its end, waits for those that it started, and returns what was printed.
func (p *program) run(args ...string) (string, error) {
	r := &run{program: p}
	err := r.instance(args)
	r.children.Wait()
	return r.text.String(), err
}

func (r *run) instance(args []string) error {
	scripts, err := fs.Sub(testdata, "testdata/mptest")
	if err != nil {
		return err
	}
	config := wazero.NewModuleConfig().
		WithName(strconv.FormatInt(r.instances.Add(1), 10)).WithArgs(args...).
		WithStdout(r).WithStderr(r).WithFS(scripts).
		WithSysWalltime().WithSysNanotime().WithSysNanosleep().
		WithOsyield(runtime.Gosched).WithRandSource(rand.Reader)
	ctx := newContext(context.WithValue(context.Background(), runKey{}, r))
	mod, err := r.runtime.InstantiateModule(ctx, r.code, config)
	if mod != nil {
		err = errors.Join(err, mod.Close(ctx))
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 0 {
		return nil
	}
	return err
}

// Write takes what an instance prints.
func (r *run) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

// system is what mptest starts other processes with: a command line for a shell.
func system(ctx context.Context, mod api.Module, ptr uint32) uint32 {
	memory, _ := mod.Memory().Read(ptr, mod.Memory().Size()-ptr)
	line, _, _ := bytes.Cut(memory, []byte{0})
	args := strings.Fields(string(line))
	for i := range args {
		args[i] = strings.Trim(args[i], `"`)
	}
	r := ctx.Value(runKey{}).(*run)
	r.children.Go(func() {
		_ = r.instance(args[:len(args)-1]) // the last one is "&"; what is wrong the parent finds out
	})
	return 0
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
			Targets: []spool.Target{{ID: target, Spec: json.RawMessage(`{}`)}},
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
