package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/tetratelabs/wazero"

	"github.com/boule-db/boule/embed"
	"github.com/boule-db/boule/host"
)

// SQLite starts once per process, so most tests start processes: this program
// again, which then does what the variable says.
const childEnv = "BOULE_HOST_TEST_CHILD"

// report is what a child prints.
type report struct {
	Before, After   host.Details
	Version, Source string
	Err             string
}

func TestMain(m *testing.M) {
	what := os.Getenv(childEnv)
	if what == "" {
		os.Exit(m.Run())
	}
	if what == "nothing" {
		os.Exit(0)
	}
	r := report{Before: host.Info()}
	opts := &host.Options{CacheDir: os.Getenv(childEnv + "_DIR")}
	switch what {
	case "start":
	case "warm":
		host.Warm(opts)
	case "own binary":
		sqlite3.Binary = bytes.Clone(embed.Wasm())
	case "other binary":
		sqlite3.Binary = append(bytes.Clone(embed.Wasm()), 0, 3, 1, 'x', 'y') // a custom section
	case "other configuration":
		sqlite3.RuntimeConfig = wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(2048)
	case "started":
		sqlite3.Binary = embed.Wasm()
		if err := sqlite3.Initialize(); err != nil {
			panic(err)
		}
	default:
		panic(what)
	}
	if err := host.Init(opts); err != nil {
		r.Err = err.Error()
	} else if err := query(&r); err != nil {
		r.Err = err.Error()
	}
	r.After = host.Info()
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
	os.Exit(0)
}

func query(r *report) error {
	conn, err := host.Open(context.Background(), ":memory:", 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`SELECT sqlite_version(), sqlite_source_id()`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	if !stmt.Step() {
		return fmt.Errorf("no row: %w", stmt.Err())
	}
	r.Version, r.Source = stmt.ColumnText(0), stmt.ColumnText(1)
	return nil
}

func command(tb testing.TB, what, dir string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+what, childEnv+"_DIR="+dir)
	return cmd
}

// child runs a process that starts SQLite with the cache directory and asks it
// something. It must always get its answer.
func child(tb testing.TB, what, dir string) report {
	tb.Helper()
	cmd := command(tb, what, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("child %q: %v\n%s", what, err, out)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		tb.Fatalf("child %q: %v\n%s", what, err, out)
	}
	if r.Err != "" {
		tb.Fatalf("child %q: %s", what, r.Err)
	}
	if r.Version != embed.Version || r.Source != embed.SourceID {
		tb.Fatalf("child %q runs SQLite %s %s", what, r.Version, r.Source)
	}
	return r
}

func cacheDir(tb testing.TB) string {
	return filepath.Join(tb.TempDir(), "cache")
}

// entries returns the files of machine code, which are not checksums.
func entries(tb testing.TB, dir string) []string {
	tb.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*", "wazero-*", "*"))
	if err != nil {
		tb.Fatal(err)
	}
	var found []string
	for _, path := range all {
		if !strings.HasSuffix(path, ".sum") {
			found = append(found, path)
		}
	}
	return found
}
