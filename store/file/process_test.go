//go:build unix

package file_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/file"
)

// TestMain makes the test binary a process of its own that uses a store, if it
// is started as one.
func TestMain(m *testing.M) {
	if role := os.Getenv("BOULE_FILE_TEST_ROLE"); role != "" {
		if err := roles[role](os.Getenv("BOULE_FILE_TEST_DIR"), os.Getenv("BOULE_FILE_TEST_NAME")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child starts the test binary in a role. It begins when start is closed.
func child(t *testing.T, role, dir, name string) (cmd *exec.Cmd, start io.Closer, out *bufio.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "BOULE_FILE_TEST_ROLE="+role, "BOULE_FILE_TEST_DIR="+dir, "BOULE_FILE_TEST_NAME="+name)
	cmd.Stderr = os.Stderr
	start, err = cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return cmd, start, bufio.NewReader(stdout)
}

const (
	processes = 4
	raceKeys  = 60
	swaps     = 40
)

var roles = map[string]func(dir, name string) error{
	"race":  raceRole,
	"swap":  swapRole,
	"churn": churnRole,
	"deny":  denyRole,
}

// begin waits until the parent closes the standard input.
func begin() { _, _ = io.Copy(io.Discard, os.Stdin) }

// raceRole tries to be the one who creates each of some objects, in several
// directories, and prints those that it created.
func raceRole(dir, name string) error {
	s, err := file.New(dir, &file.Options{NoSync: true})
	if err != nil {
		return err
	}
	begin()
	for i := range raceKeys {
		key := fmt.Sprintf("dir%d/key%d", i/5, i)
		_, err := s.Put(context.Background(), key, []byte(name), store.Condition{IfAbsent: true})
		switch {
		case err == nil:
			fmt.Println(key)
		case !errors.Is(err, store.ErrPrecondition):
			return err
		}
	}
	return nil
}

func TestProcessesRaceIfAbsent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	var cmds []*exec.Cmd
	var outs []*bufio.Reader
	var starts []io.Closer
	for i := range processes {
		cmd, start, out := child(t, "race", dir, strconv.Itoa(i))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmds, outs, starts = append(cmds, cmd), append(outs, out), append(starts, start)
	}
	for _, start := range starts {
		if err := start.Close(); err != nil {
			t.Fatal(err)
		}
	}
	winner := make(map[string]string)
	for i, out := range outs {
		lines, err := io.ReadAll(out)
		if err = errors.Join(err, cmds[i].Wait()); err != nil {
			t.Fatal(err)
		}
		for _, key := range strings.Fields(string(lines)) {
			if other, ok := winner[key]; ok {
				t.Errorf("both %s and %d have created %s", other, i, key)
			}
			winner[key] = strconv.Itoa(i)
		}
	}
	if len(winner) != raceKeys {
		t.Errorf("%d objects have a winner, want %d", len(winner), raceKeys)
	}
	s := open(t, dir, nil)
	for key, name := range winner {
		wantBody(t, s, key, name)
	}
}

// swapRole counts up an object by compare-and-swap.
func swapRole(dir, _ string) error {
	s, err := file.New(dir, &file.Options{NoSync: true})
	if err != nil {
		return err
	}
	begin()
	for done := 0; done < swaps; {
		body, info, err := store.ReadAll(context.Background(), s, "counter", 100)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(body))
		if err != nil {
			return err
		}
		_, err = s.Put(context.Background(), "counter", []byte(strconv.Itoa(n+1)), store.Condition{IfMatch: info.ETag})
		switch {
		case err == nil:
			done++
		case !errors.Is(err, store.ErrPrecondition):
			return err
		}
	}
	return nil
}

func TestProcessesRaceIfMatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir, nil)
	put(t, s, "counter", "0")
	var cmds []*exec.Cmd
	for range processes {
		cmd, start, _ := child(t, "swap", dir, "")
		if err := errors.Join(cmd.Start(), start.Close()); err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, cmd)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	wantBody(t, s, "counter", strconv.Itoa(processes*swaps))
}

// sealed returns a body that tells whether it is whole.
func sealed(n int) []byte {
	body := make([]byte, n)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	return append(body, fmt.Sprintf("%08x", crc32.ChecksumIEEE(body))...)
}

func whole(body []byte) bool {
	n := len(body) - 8
	return n >= 0 && fmt.Sprintf("%08x", crc32.ChecksumIEEE(body[:n])) == string(body[n:])
}

// churnRole puts objects until it is killed, and says so at each.
func churnRole(dir, name string) error {
	s, err := file.New(dir, nil)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		key := fmt.Sprintf("dir%d/key%d", i%3, i%7)
		if i%5 == 4 {
			key += "/below"
		}
		cond := store.Condition{IfAbsent: i%2 == 0}
		_, err := s.Put(context.Background(), key, sealed(rand.IntN(300_000)), cond)
		if err != nil && !errors.Is(err, store.ErrPrecondition) {
			return err
		}
		if i%11 == 10 {
			if err := s.Delete(context.Background(), key); err != nil {
				return err
			}
		}
		fmt.Println(name, i)
	}
}

func TestKilledInTheMiddleOfPuts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	for round := range 12 {
		cmd, _, out := child(t, "churn", dir, strconv.Itoa(round))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 1 + rand.IntN(12) {
			if _, err := out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("it has ended by itself")
		}
		s := open(t, dir, nil)
		n := 0
		for info, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(info.Key, "dir") {
				t.Errorf("round %d: %q is listed", round, info.Key)
			}
			body, _, err := store.ReadAll(t.Context(), s, info.Key, 1<<20)
			if err != nil || !whole(body) || int64(len(body)) != info.Size {
				t.Errorf("round %d: %q has %d bytes of %d, whole = %v (%v)", round, info.Key, len(body), info.Size, whole(body), err)
			}
			n++
		}
		if n == 0 {
			t.Errorf("round %d: there are no objects", round)
		}
		put(t, s, "dir0/key0", string(sealed(10))) // the locks are free
	}
	// What the killed ones left goes by its age.
	put(t, open(t, dir, &file.Options{TempAge: time.Nanosecond}), "dir0/key0", string(sealed(10)))
	for _, name := range tree(t, dir) {
		if strings.HasPrefix(name, "~tmp/") {
			t.Errorf("%s is still there", name)
		}
	}
}

// denyRole uses a directory that belongs to somebody else.
func denyRole(dir, _ string) error {
	s, err := file.New(dir, nil)
	if err != nil {
		return err
	}
	_, putErr := s.Put(context.Background(), "key", nil, store.Condition{})
	_, getErr := s.Get(context.Background(), "key", nil)
	_, headErr := s.Head(context.Background(), "key")
	var listErr error
	for _, listErr = range s.List(context.Background(), "") {
	}
	for verb, err := range map[string]error{"put": putErr, "get": getErr, "head": headErr, "list": listErr} {
		if !errors.Is(err, store.ErrAccess) || !store.IsPermanent(err) {
			return fmt.Errorf("%s: got another error than a permanent %w: %w", verb, store.ErrAccess, err)
		}
	}
	return nil
}

func TestNoPermission(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	put(t, open(t, dir, nil), "key", "x")
	cmd, start, _ := child(t, "deny", dir, "")
	if os.Geteuid() == 0 {
		// Root may do everything: be somebody else, who can at least run the binary.
		bin := copyBinary(t, cmd.Path)
		for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
			if d != dir {
				if err := os.Chmod(d, 0o755); err != nil { //nolint:gosec // only of this test
					t.Fatal(err)
				}
			}
		}
		cmd.Path, cmd.Args[0] = bin, bin
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	} else if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cmd.Start(), start.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // so that it can be removed
		t.Fatal(err)
	}
}

func copyBinary(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "boule-file-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	out := filepath.Join(dir, "test")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(out, b, 0o755)); err != nil { //nolint:gosec // to be run by others
		t.Fatal(err)
	}
	return out
}
