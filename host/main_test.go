package host_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boule-db/boule/embed"
	"github.com/boule-db/boule/host"
)

// program is testdata/child. SQLite starts once per process, so most tests start
// processes; the race detector, if it is on, stays with this one.
var program string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "boule-host-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "child.exe")
	build := exec.Command("go", "build", "-o", program, "./testdata/child")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program for the tests: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// report is what a child prints.
type report struct {
	Before, After   host.Details
	Version, Source string
	Err             string
}

// child runs a process that starts SQLite with the cache directory and asks it
// something. It must always get its answer.
func child(tb testing.TB, way, dir string) report {
	tb.Helper()
	cmd := exec.Command(program, way, dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("child %q: %v\n%s", way, err, out)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		tb.Fatalf("child %q: %v\n%s", way, err, out)
	}
	if r.Err != "" {
		tb.Fatalf("child %q: %s", way, r.Err)
	}
	if r.Version != embed.Version || r.Source != embed.SourceID {
		tb.Fatalf("child %q runs SQLite %s %s", way, r.Version, r.Source)
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
