package sqlitewasm

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

//go:embed testdata
var testdata embed.FS

// newContext returns a context that holds the open files of one instance. go-sqlite3 keeps it
// to itself, and its host functions need it.
//
//go:linkname newContext github.com/ncruces/go-sqlite3/internal/util.NewContext
func newContext(ctx context.Context) context.Context

// A Program is one of SQLite's, compiled.
type Program struct {
	runtime   wazero.Runtime
	code      wazero.CompiledModule
	instances atomic.Int64
}

// A run is a program and all instances that it starts.
type run struct {
	*Program

	children sync.WaitGroup

	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// runKey is what the run of an instance is found by in its context.
type runKey struct{}

// Load compiles a program: "mptest" or "speedtest1".
func Load(ctx context.Context, name string) (*Program, error) {
	p := &Program{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(2048))}
	if err := p.compile(ctx, name); err != nil {
		return nil, errors.Join(fmt.Errorf("load %s: %w", name, err), p.Close(ctx))
	}
	return p, nil
}

func (p *Program) compile(ctx context.Context, name string) error {
	packed, err := testdata.Open("testdata/" + name + ".wasm.gz")
	if err != nil {
		return err
	}
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	binary, err := io.ReadAll(unpacked)
	if err != nil {
		return err
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, p.runtime); err != nil {
		return err
	}
	env := vfs.ExportHostFunctions(p.runtime.NewHostModuleBuilder("env"))
	env.NewFunctionBuilder().WithFunc(system).Export("system")
	env.NewFunctionBuilder().WithFunc(sleep).Export("go_sleep")
	if _, err := env.Instantiate(ctx); err != nil {
		return err
	}
	p.code, err = p.runtime.CompileModule(ctx, binary)
	return err
}

// Close frees the program, which must not run.
func (p *Program) Close(ctx context.Context) error { return p.runtime.Close(ctx) }

// Run runs the program to its end, waits for those that it started, and returns what was printed.
// Arguments are as for main: the first is the program's name. Its VFSes are those of go-sqlite3.
func (p *Program) Run(args ...string) (string, error) {
	r := &run{Program: p}
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

// sleep is what SQLite waits with. mptest's time is up after so many waits, 10 s in all, which is not enough for a busy machine
// and the race detector.
func sleep(_ uint32, micro int32) int32 {
	time.Sleep(patience * time.Duration(micro) * time.Microsecond) //nolint:forbidigo // SQLite asks for it
	return 0
}

const patience = 2

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
