package wasmvfs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/conformance/vfstest"
	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

// childCommand is this program, to be run as a child that does what args say.
func childCommand(t testing.TB, args ...string) *osexec.Cmd {
	text, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command("/proc/self/exe")
	if exe, err := os.Executable(); err == nil {
		cmd.Path = exe
	}
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	return cmd
}

func child() int {
	var args []string
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &args); err != nil {
		panic(err)
	}
	if err := host.Init(&host.Options{CacheDir: os.Getenv("BOULE_VFSTEST_CACHE")}); err != nil {
		panic(err)
	}
	var m *tracker.Manager
	if dir := os.Getenv(spoolEnv); dir != "" {
		root, err := spool.OpenRoot(dir, 0o700, nil)
		if err != nil {
			panic(err)
		}
		m = tracker.New(&tracker.Options{Root: root, Hostname: hostname, Targets: targets})
	}
	vfs.Register(wasmvfs.Name, wasmvfs.New(m, nil))
	if err := runChild(args[0], args[1], args[2:]); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func runChild(what, path string, args []string) error {
	if what == "exec" {
		return execAll(append([]string{path}, args...))
	}
	c, err := vfstest.On(wasmvfs.Name)(path, "")
	if err != nil {
		return err
	}
	if err := c.BusyTimeout(30 * time.Second); err != nil {
		return err
	}
	switch what {
	case "insert":
		n, err := strconv.Atoi(args[1])
		for i := 0; i < n && err == nil; i++ {
			err = c.Exec(args[0])
		}
		return errors.Join(err, c.Close())
	case "crash":
		if err := c.Exec("PRAGMA cache_size=3; BEGIN; UPDATE t SET c = c + 1, b = b || 'x'"); err != nil {
			return err
		}
		fmt.Println("crashing")
		p, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		if err := p.Kill(); err != nil {
			return err
		}
		select {}
	}
	return fmt.Errorf("unknown child %q", what)
}

// execAll is given a path and two statements, another path and so on, and
// prints the code of the error of each second statement.
func execAll(args []string) error {
	codes := []int{}
	for ; len(args) >= 3; args = args[3:] {
		err := func() error {
			c, err := vfstest.On(wasmvfs.Name)(args[0], "")
			if err != nil {
				return err
			}
			defer c.Close()
			_, first := rows(c, args[1])
			_, err = rows(c, args[2])
			return errors.Join(err, first)
		}()
		var code sqlite3.ExtendedErrorCode
		errors.As(err, &code)
		codes = append(codes, int(code))
	}
	return json.NewEncoder(os.Stdout).Encode(codes)
}

func writeFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
