package embed_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/embed"
)

// configured says that an import has configured go-sqlite3.
var configured = sqlite3.Binary != nil || sqlite3.Path != "" || sqlite3.RuntimeConfig != nil

// A process has one SQLite. So what compares ours with the stock one, which is the binary of the
// Go module, runs this program again with the name of a job and the path of a binary.
const (
	envJob    = "BOULE_EMBED_JOB"
	envBinary = "BOULE_EMBED_BINARY"
)

// jobs print what they find.
var jobs = map[string]func() error{
	"garbage": printGarbage,
	"measure": measure,
}

func TestMain(m *testing.M) {
	job := jobs[os.Getenv(envJob)]
	if job == nil {
		sqlite3.Binary = embed.Wasm()
		os.Exit(m.Run())
	}
	sqlite3.Path = os.Getenv(envBinary)
	if err := job(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run runs a job with the binary at a path.
func run(tb testing.TB, job, binary string) string {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envJob+"="+job, envBinary+"="+binary)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s with %s: %v", job, binary, err)
	}
	return string(out)
}

// stock returns the path of the binary in the Go module.
func stock(tb testing.TB) string {
	tb.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "github.com/ncruces/go-sqlite3").Output()
	if err != nil {
		tb.Fatal(err)
	}
	version, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if version != "v0.32.0" {
		tb.Errorf("go-sqlite3 is %s; v0.32.0 is the last that runs on wazero", version)
	}
	return filepath.Join(dir, "embed", "sqlite3.wasm")
}
