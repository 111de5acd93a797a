package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// bin is the program under test, built once; wasmCache is shared by all its
// processes, so that they do not compile SQLite again and again.
var bin, wasmCache string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if os.Getenv(envChild) != "" {
		run := child
		if other := children[os.Getenv(envChild)]; other != nil {
			run = other
		}
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, "writer:", err)
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "boule-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin, wasmCache = filepath.Join(dir, "bin", "boule"), filepath.Join(dir, "wasm")
	build := exec.Command("go", "build", "-o", bin, "github.com/boule-db/boule/cmd/boule")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build boule: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(bin)+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_STATE_HOME", "")
			env.Setenv("BOULE_CACHE_DIR", wasmCache)
			env.Setenv("BOULE_HOSTNAME", "script.example.com")
			env.Setenv("BOULE_STORE", "")
			env.Setenv("BOULE_CONFIG", "")
			env.Setenv("BOULE_SPOOL", filepath.Join(env.WorkDir, "spool"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"damage": damage},
		Condition: func(cond string) (bool, error) {
			if cond == "sqlite3" {
				_, err := exec.LookPath("sqlite3")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// damage flip, truncate and remove do that to the first file that is like a pattern; damage swap exchanges the first and
// the last one of two patterns.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: damage HOW PATTERN")
	}
	var files []string
	for _, pattern := range args[1:] {
		found, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(found) == 0 {
			ts.Fatalf("nothing is like %s", pattern)
		}
		files = append(files, found...)
	}
	first, last := files[0], files[len(files)-1]
	data, err := os.ReadFile(first)
	ts.Check(err)
	write := func(path string, data []byte) {
		ts.Check(os.Remove(path))
		ts.Check(os.WriteFile(path, data, 0o600))
	}
	switch args[0] {
	case "flip":
		data[len(data)/2] ^= 0x10
		write(first, data)
	case "truncate":
		write(first, data[:len(data)/2])
	case "remove":
		ts.Check(os.Remove(first))
	case "swap":
		other, err := os.ReadFile(last)
		ts.Check(err)
		if slices.Equal(data, other) {
			ts.Fatalf("%s and %s are the same", first, last)
		}
		write(first, other)
		write(last, data)
	default:
		ts.Fatalf("unknown damage %q", args[0])
	}
}
