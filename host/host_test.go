package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/embed"
	"github.com/boule-db/boule/host"
)

// compiler says whether wazero has a compiler here; without one it never uses
// the cache.
var compiler = host.Info().Engine == "compiler"

func wantCache(t *testing.T, r report, want string) {
	t.Helper()
	if !compiler {
		want = host.CacheOff
	}
	if got := r.After.Cache; got != want {
		t.Errorf("cache is %q (%s), want %q", got, r.After.CacheReason, want)
	}
}

func TestCacheIsUsed(t *testing.T) {
	dir := cacheDir(t)
	first := child(t, "start", dir)
	wantCache(t, first, host.CacheMiss)
	second := child(t, "start", dir)
	wantCache(t, second, host.CacheHit)
	if got := second.After.CacheReason; compiler && got != "" {
		t.Errorf("a hit has the reason %q", got)
	}
	third := child(t, "warm", dir)
	wantCache(t, third, host.CacheHit)
}

func TestDetails(t *testing.T) {
	r := child(t, "start", host.CacheOff)
	if got := r.After.Cache; got != host.CacheOff {
		t.Errorf("cache is %q, want %q", got, host.CacheOff)
	}
	if got := r.Before.Cache; got != "" {
		t.Errorf("cache before Init is %q, want none", got)
	}
	got := r.After
	if got.SQLite != embed.Version || got.SourceID != embed.SourceID || got.WasmSHA256 != embed.SHA256 {
		t.Errorf("Info describes %s, %s, %s", got.SQLite, got.SourceID, got.WasmSHA256)
	}
	wazero, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got.Wazero != strings.TrimSpace(string(wazero)) {
		t.Errorf("version of wazero is %q, want %s", got.Wazero, wazero)
	}
	want := "interpreter"
	if runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" {
		want = "compiler"
	}
	if got.Engine != want {
		t.Errorf("engine is %q on %s, want %q", got.Engine, runtime.GOARCH, want)
	}
	if got.Foreign != "" {
		t.Errorf("somebody else started SQLite: %s", got.Foreign)
	}
}

func flip(offset int64) func(testing.TB, string) {
	return func(tb testing.TB, path string) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		if offset < 0 {
			info, err := f.Stat()
			if err != nil {
				tb.Fatal(err)
			}
			offset += info.Size()
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], offset); err != nil {
			tb.Fatal(err)
		}
		b[0] ^= 0x10
		if _, err := f.WriteAt(b[:], offset); err != nil {
			tb.Fatal(err)
		}
	}
}

func truncate(n int64) func(testing.TB, string) {
	return func(tb testing.TB, path string) {
		if err := os.Truncate(path, n); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestDamagedCacheHeals(t *testing.T) {
	if !compiler {
		return // there is no cache to damage
	}
	dir := cacheDir(t)
	wantCache(t, child(t, "start", dir), host.CacheMiss)
	tests := []struct {
		name   string
		want   string
		damage func(testing.TB, string)
	}{
		{"empty", host.CacheHealed, truncate(0)},
		{"truncated in the header", host.CacheHealed, truncate(9)},
		{"truncated in the code", host.CacheHealed, truncate(1 << 20)},
		{"flip in the magic number", host.CacheHealed, flip(1)},
		{"flip in the version", host.CacheHealed, flip(8)},
		{"flip in the number of functions", host.CacheHealed, flip(17)},
		{"flip in the table of functions", host.CacheHealed, flip(1003)},
		{"flip in the code", host.CacheHealed, flip(2 << 20)},
		{"flip in the last byte", host.CacheHealed, flip(-1)},
		{"flip in the checksum", host.CacheHealed, func(tb testing.TB, path string) { flip(12)(tb, path+".sum") }},
		{"empty checksum", host.CacheHealed, func(tb testing.TB, path string) { truncate(0)(tb, path+".sum") }},
		{"writable by others", host.CacheHealed, func(tb testing.TB, path string) {
			if err := os.Chmod(path, 0o666); err != nil {
				tb.Fatal(err)
			}
		}},
		{"symbolic link", host.CacheHealed, func(tb testing.TB, path string) {
			moved := filepath.Join(tb.TempDir(), "moved")
			if err := errors.Join(os.Rename(path, moved), os.Symlink(moved, path)); err != nil {
				tb.Fatal(err)
			}
		}},
		{"no checksum", host.CacheMiss, func(tb testing.TB, path string) {
			if err := os.Remove(path + ".sum"); err != nil {
				tb.Fatal(err)
			}
		}},
		{"no entry", host.CacheMiss, func(tb testing.TB, path string) {
			if err := os.Remove(path); err != nil {
				tb.Fatal(err)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			paths := entries(t, dir)
			if len(paths) != 1 {
				t.Fatalf("cache holds %v, want one entry", paths)
			}
			test.damage(t, paths[0])
			wantCache(t, child(t, "start", dir), test.want)
			wantCache(t, child(t, "start", dir), host.CacheHit)
		})
	}
}

func TestSealedGarbageHeals(t *testing.T) {
	// An entry that is bad although its checksum is right is found by trying.
	if !compiler {
		return
	}
	dir := cacheDir(t)
	wantCache(t, child(t, "start", dir), host.CacheMiss)
	wantCache(t, child(t, "start", dir), host.CacheHit) // proven now, but not what follows
	path := entries(t, dir)[0]
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := host.Reseal(path); err != nil {
		t.Fatal(err)
	}
	wantCache(t, child(t, "start", dir), host.CacheHealed)
	wantCache(t, child(t, "start", dir), host.CacheHit)
}

// What an entry was proven by counts only for the same entry and machine, and nothing hangs on it.
func TestProof(t *testing.T) {
	if !compiler {
		return
	}
	dir := cacheDir(t)
	proofs := func() string {
		found, err := filepath.Glob(filepath.Join(dir, "*", "proven"))
		if err != nil || len(found) > 1 {
			t.Fatal(found, err)
		}
		return strings.Join(found, "")
	}
	wantCache(t, child(t, "start", dir), host.CacheMiss)
	if proofs() != "" {
		t.Error("proven before it was used")
	}
	wantCache(t, child(t, "start", dir), host.CacheHit)
	path := proofs()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantCache(t, child(t, "start", dir), host.CacheHit)
	for _, other := range []string{"", "of another machine\n"} {
		if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		wantCache(t, child(t, "start", dir), host.CacheHit)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, good) {
			t.Errorf("not proven again: %q, %v", got, err)
		}
	}
	// Of two entries nobody knows which one it will be.
	second := entries(t, dir)[0] + "x"
	data, err := os.ReadFile(strings.TrimSuffix(second, "x"))
	if err == nil {
		err = errors.Join(os.WriteFile(second, data, 0o600), host.Reseal(second))
	}
	if err != nil {
		t.Fatal(err)
	}
	wantCache(t, child(t, "start", dir), host.CacheHit)
}

func TestUnusableCacheIsNotFatal(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T) string
	}{
		{"a file", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}},
		{"below a file", func(t *testing.T) string {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(path, "cache")
		}},
	}
	if host.SupportsPrivateCheck {
		tests = append(tests, []struct {
			name string
			make func(t *testing.T) string
		}{
			{"open to others", func(t *testing.T) string {
				dir := cacheDir(t)
				if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)); err != nil {
					t.Fatal(err)
				}
				return dir
			}},
			{"in a directory that others may write", func(t *testing.T) string {
				top := t.TempDir()
				for _, dir := range []string{filepath.Dir(top), top} {
					if err := os.Chmod(dir, 0o777); err != nil {
						t.Fatal(err)
					}
				}
				return filepath.Join(top, "cache")
			}},
			{"subdirectory open to others", func(t *testing.T) string {
				dir := cacheDir(t)
				sub := filepath.Join(dir, "sqlite-"+embed.SHA256[:16])
				if err := errors.Join(os.MkdirAll(sub, 0o700), os.Chmod(sub, 0o770)); err != nil {
					t.Fatal(err)
				}
				return dir
			}},
			{"symbolic link", func(t *testing.T) string {
				dir := cacheDir(t)
				if err := errors.Join(os.Mkdir(dir, 0o700), os.Symlink(dir, dir+"-link")); err != nil {
					t.Fatal(err)
				}
				return dir + "-link"
			}},
		}...)
		if os.Geteuid() != 0 {
			tests = append(tests, struct {
				name string
				make func(t *testing.T) string
			}{"not writable", func(t *testing.T) string {
				dir := cacheDir(t)
				if err := os.Mkdir(dir, 0o500); err != nil {
					t.Fatal(err)
				}
				return dir
			}})
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := child(t, "start", test.make(t))
			wantCache(t, r, host.CacheOff)
			if r.After.CacheReason == "" {
				t.Error("no reason is given")
			}
		})
	}
}

func TestProcessesRaceOnAnEmptyCache(t *testing.T) {
	dir := cacheDir(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			out, err := exec.Command(program, "start", dir).CombinedOutput()
			if err != nil || !strings.Contains(string(out), `"Err":""`) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	child(t, "start", dir)
	wantCache(t, child(t, "start", dir), host.CacheHit)
}

func TestOthersCameFirst(t *testing.T) {
	tests := []struct {
		what    string
		foreign bool
		sum     string
	}{
		{"own binary", false, embed.SHA256},
		{"other binary", true, ""},
		{"other configuration", true, embed.SHA256},
		{"started", true, embed.SHA256},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			d := child(t, test.what, cacheDir(t)).After
			if got := d.Foreign != ""; got != test.foreign {
				t.Errorf("foreign: %q", d.Foreign)
			}
			if d.WasmSHA256 != test.sum {
				t.Errorf("checksum %q, want %q", d.WasmSHA256, test.sum)
			}
			if test.foreign && d.Cache != host.CacheOff {
				t.Errorf("cache is %q", d.Cache)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	if err := host.Init(&host.Options{CacheDir: cacheDir(t)}); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "test.db")
	uri := "file:" + filepath.ToSlash(path)

	if _, err := host.Open(ctx, path, sqlite3.OPEN_READONLY); !errors.Is(err, sqlite3.CANTOPEN) {
		t.Errorf("read-only open of nothing: %v, want CANTOPEN", err)
	}
	conn, err := host.Open(ctx, uri, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(`CREATE TABLE t (a)`); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	conn, err = host.Open(ctx, path, sqlite3.OPEN_READONLY)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(`INSERT INTO t VALUES (1)`); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("write to a read-only connection: %v", err)
	}
	conn.Close()

	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(cause)
	for _, flags := range []sqlite3.OpenFlag{0, sqlite3.OPEN_READONLY} {
		if _, err := host.Open(ctx, path, flags); err == nil || !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
			t.Errorf("open with a cancelled context: %v", err)
		}
	}
}

func TestMemoryLimitHolds(t *testing.T) {
	if err := host.Init(&host.Options{CacheDir: cacheDir(t)}); err != nil {
		t.Fatal(err)
	}
	conn, err := host.Open(context.Background(), ":memory:", 0)
	if err != nil {
		t.Fatal(err)
	}
	// Beyond 256 MiB the connection runs out of memory, and the process does not.
	err = func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%v", p)
			}
		}()
		return conn.Exec(`CREATE TABLE t AS SELECT zeroblob(400000000)`)
	}()
	if err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("400 MB in one value: %v, want out of memory", err)
	}
}
