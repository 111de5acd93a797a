package wasmvfs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/conformance/vfstest"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

const (
	spoolEnv = "BOULE_WASMVFS_TEST_SPOOL"
	childEnv = "BOULE_WASMVFS_TEST_CHILD"
	hostname = "test.example"
)

var targets = []spool.Target{
	{ID: "0123456789abcdef", Spec: json.RawMessage(`{"file":{"directory":"/nowhere"}}`)},
	{ID: "fedcba9876543210", Spec: json.RawMessage(`{"file":{"directory":"/elsewhere"}}`)},
}

var (
	spoolDir string
	manager  *tracker.Manager // of the VFS "boule"; its helpers in other processes share the spool
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	tests := tests{M: m}
	spoolDir = os.Getenv(spoolEnv)
	if spoolDir == "" {
		base := "/dev/shm" // spools need no disk
		if info, err := os.Stat(base); err != nil || !info.IsDir() {
			base = ""
		}
		dir, err := os.MkdirTemp(base, "boule-wasmvfs-")
		if err != nil {
			panic(err)
		}
		os.Setenv(spoolEnv, dir)
		spoolDir, tests.dir = dir, dir
	}
	root, err := spool.OpenRoot(spoolDir, 0o700, nil)
	if err != nil {
		panic(err)
	}
	manager = tracker.New(&tracker.Options{Root: root, Hostname: hostname, Targets: targets, Coalesce: -1, CommitChunks: -1})
	vfs.Register(wasmvfs.Name, wasmvfs.New(manager, nil))
	vfstest.Main(tests, vfstest.On(wasmvfs.Name))
}

// tests remove the spool after them.
type tests struct {
	*testing.M
	dir string
}

func (t tests) Run() int {
	defer os.RemoveAll(t.dir)
	return t.M.Run()
}

// register registers a VFS for the time of a test, and returns its name.
func register(t testing.TB, v vfs.VFS) string {
	t.Helper()
	name := fmt.Sprintf("test_%p", v)
	vfs.Register(name, v)
	t.Cleanup(func() { vfs.Unregister(name) })
	return name
}

// open opens a connection on a VFS and closes it with the test.
func open(t testing.TB, name, path, params string) *sqlite3.Conn {
	t.Helper()
	c, err := vfstest.On(name)(path, params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.BusyTimeout(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	return c
}

func exec(t testing.TB, c *sqlite3.Conn, sql string) {
	t.Helper()
	if err := c.Exec(sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func query(t testing.TB, c *sqlite3.Conn, sql string) string {
	t.Helper()
	got, err := rows(c, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func rows(c *sqlite3.Conn, sql string) (string, error) {
	stmt, _, err := c.Prepare(sql)
	if err != nil {
		return "", err
	}
	if stmt == nil {
		return "", nil
	}
	defer stmt.Close()
	var found []string
	for stmt.Step() {
		found = append(found, stmt.ColumnText(0))
	}
	return strings.Join(found, ","), stmt.Err()
}

func wantRows(t testing.TB, c *sqlite3.Conn, sql, want string) {
	t.Helper()
	if got := query(t, c, sql); got != want {
		t.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

func tempPath(t testing.TB) string {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "test.db")
}

// wantStaged checks that what is staged for every target is, byte for byte, the
// database as it is now.
func wantStaged(t testing.TB, path string) {
	t.Helper()
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets {
		got, err := staged(path, target.ID)
		if err != nil {
			t.Errorf("target %s: %v", target.ID, err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("target %s: %d bytes are staged that differ from the %d of the database", target.ID, len(got), len(want))
		}
	}
}

var errSpools = errors.New("want one spool")

// staged puts the database together from what is in the spool.
func staged(path, target string) ([]byte, error) {
	dirs, err := filepath.Glob(filepath.Join(spoolDir, "boule-*", spool.Mangle(path), "*."+target))
	if err != nil || len(dirs) != 1 {
		return nil, fmt.Errorf("%s has the spools %v: %w", path, dirs, errors.Join(err, errSpools))
	}
	data, err := os.ReadFile(filepath.Join(dirs[0], "staging", "meta", manifest.Name(hostname, path)))
	if err != nil {
		return nil, err
	}
	m, err := manifest.Decode(data)
	if err != nil {
		return nil, err
	}
	chunks := map[string]string{} // to where they are
	err = filepath.WalkDir(dirs[0], func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Base(filepath.Dir(path)) == "chunks" {
			chunks[d.Name()] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var image []byte
	for i, sum := range m.Chunks {
		chunk := m.First
		switch {
		case i == 0:
		case sum == manifest.ZeroChunk:
			chunk = make([]byte, manifest.ChunkSize)
		default:
			if chunk, err = os.ReadFile(chunks[sum.ChunkName()]); err != nil {
				return nil, fmt.Errorf("chunk %d: %w", i, err)
			}
		}
		if manifest.Sum(chunk) != sum {
			return nil, fmt.Errorf("chunk %d is not what its name says", i)
		}
		image = append(image, chunk...)
	}
	if int64(len(image)) != m.Size {
		return nil, fmt.Errorf("chunks have %d bytes, manifest says %d", len(image), m.Size)
	}
	return image, nil
}
