//go:build unix

package wasmvfs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/wasmvfs"
)

const syncsDirectories = true

// TestJournalHasThePermissionsOfTheDatabase, whatever the umask.
func TestJournalHasThePermissionsOfTheDatabase(t *testing.T) {
	modes := []string{"PERSIST"}
	if vfs.SupportsSharedMemory {
		modes = append(modes, "WAL")
	}
	for _, umask := range []int{0o022, 0o077, 0o000} {
		for _, perm := range []fs.FileMode{0o600, 0o640, 0o644, 0o666, 0o460} {
			for _, mode := range modes {
				t.Run(fmt.Sprintf("%s/%o/umask %o", mode, perm, umask), func(t *testing.T) {
					defer syscall.Umask(syscall.Umask(umask))
					path := tempPath(t)
					c := open(t, wasmvfs.Name, path, "")
					exec(t, c, "CREATE TABLE s (a)")
					if err := os.Chmod(path, perm); err != nil {
						t.Fatal(err)
					}
					setUp(t, c, mode)
					exec(t, c, "INSERT INTO t VALUES (1, 2, 3)")
					files, err := filepath.Glob(path + "-*")
					if want := map[string]int{"PERSIST": 1, "WAL": 2}[mode]; err != nil || len(files) != want {
						t.Fatalf("files beside the database: %v, %v, want %d", files, err, want)
					}
					for _, file := range files {
						info, err := os.Stat(file)
						if err != nil {
							t.Fatal(err)
						}
						if got := info.Mode().Perm(); got != perm {
							t.Errorf("%s has mode %o, want %o", filepath.Base(file), got, perm)
						}
					}
				})
			}
		}
	}
}

func TestJournalOfRootBelongsToTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can give files away
	}
	for _, mode := range []string{"PERSIST", "WAL"} {
		path := tempPath(t)
		c := open(t, wasmvfs.Name, path, "")
		exec(t, c, "CREATE TABLE s (a)")
		if err := errors.Join(os.Chown(path, 1234, 2345), os.Chmod(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		setUp(t, c, mode)
		files, err := filepath.Glob(path + "-*")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: files beside the database: %v, %v", mode, files, err)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if st := info.Sys().(*syscall.Stat_t); st.Uid != 1234 || st.Gid != 2345 {
				t.Errorf("%s belongs to %d:%d, want 1234:2345", filepath.Base(file), st.Uid, st.Gid)
			}
		}
	}
}

// asNobody makes a command run without privileges.
func asNobody(cmd *osexec.Cmd) *osexec.Cmd {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

// TestWithoutPermission compares with what SQLite in C does, where that is
// installed.
func TestWithoutPermission(t *testing.T) {
	const (
		read   = "SELECT count(*) FROM t"
		insert = "INSERT INTO t VALUES (NULL, 2, 3)"
	)
	tests := []struct {
		name               string
		dir, file, journal fs.FileMode // permissions; zero: there is no such file
		sql                string
		want               int
		path               string
	}{
		{"read of a read-only database", 0o777, 0o444, 0, read, 0, ""},
		{"write to a read-only database", 0o777, 0o444, 0, insert, 8, ""},
		{"read in a read-only directory", 0o555, 0o666, 0, read, 0, ""},
		{"write in a read-only directory", 0o555, 0o666, 0, insert, 1544, ""},
		{"write in a read-only directory with a journal", 0o555, 0o666, 0o666, insert, 0, ""},
		// In C this is SQLITE_IOERR: it finds out when it writes.
		{"write with a read-only journal", 0o777, 0o666, 0o444, insert, 14, ""},
		{"read of what nobody may read", 0o777, 0o200, 0, read, 14, ""},
		{"creation in a read-only directory", 0o555, 0, 0, "CREATE TABLE t (a)", 14, ""},
	}
	args := []string{"exec"}
	for i := range tests {
		test := &tests[i]
		dir := t.TempDir()
		test.path = filepath.Join(dir, "test.db")
		var errs []error
		if test.file != 0 {
			c := open(t, "os", test.path, "")
			mode := "DELETE"
			if test.journal != 0 {
				mode = "PERSIST"
			}
			setUp(t, c, mode)
			exec(t, c, insert)
			errs = append(errs, c.Close(), os.Chmod(test.path, test.file))
			if test.journal != 0 {
				errs = append(errs, os.Chmod(test.path+"-journal", test.journal))
			}
		}
		errs = append(errs, os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, test.dir))
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(dir, 0o700) })
		args = append(args, test.path, journalPragma(test.journal), test.sql)
	}
	cmd := asNobody(childCommand(t, args...))
	if self := "/proc/self/exe"; os.Geteuid() == 0 {
		if _, err := os.Stat(self); err != nil {
			return // others can't run this program
		}
		cmd.Path = self
	}
	// Nobody can use our spool and cache.
	cmd.Env = append(cmd.Env, spoolEnv+"=", "BOULE_VFSTEST_CACHE=off")
	out, err := cmd.CombinedOutput()
	var got []int
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	if err != nil || len(got) != len(tests) {
		t.Fatalf("child: %v\n%s", err, out)
	}
	shell, err := osexec.LookPath("sqlite3")
	haveShell := err == nil
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got[i] != test.want {
				t.Errorf("%s: code %d, want %d", test.sql, got[i], test.want)
			}
			if !haveShell {
				return
			}
			stock := asNobody(osexec.Command(shell, test.path, journalPragma(test.journal)+";"+test.sql))
			out, err := stock.CombinedOutput()
			text := map[int]string{0: "", 8: "readonly", 1544: "readonly", 14: "unable to open"}[test.want]
			if test.journal == 0o444 {
				text = "disk I/O error"
			}
			if (err == nil) != (test.want == 0) || !strings.Contains(string(out), text) {
				t.Errorf("%s: stock sqlite3 says %v, %s", test.sql, err, out)
			}
		})
	}
}

func journalPragma(journal fs.FileMode) string {
	if journal != 0 {
		return "PRAGMA journal_mode=PERSIST"
	}
	return "SELECT 1"
}

func TestSymbolicLinkIsNoJournal(t *testing.T) {
	path := tempPath(t)
	c := open(t, wasmvfs.Name, path, "")
	setUp(t, c, "DELETE")
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.Symlink(victim, path+"-journal"); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("INSERT INTO t VALUES (1, 2, 3)"); err == nil {
		t.Error("a symbolic link was taken for a journal")
	}
	if _, err := os.Stat(victim); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what it points to was made: %v", err)
	}
}

// TestDanglingLinks opens a database by links, of which the last leads to nothing.
func TestDanglingLinks(t *testing.T) {
	const okSymlink = sqlite3.ExtendedErrorCode(2 << 8) // no error
	dir := filepath.Dir(tempPath(t))
	for link, to := range map[string]string{"a": "sub/../b", "b": filepath.Join(dir, "c", "db"), "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"c", "sub"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	full, err := vfs.Find(wasmvfs.Name).FullPathname(filepath.Join(dir, "a"))
	if want := filepath.Join(dir, "c", "db"); full != want || !errors.Is(err, okSymlink) {
		t.Errorf("%q, %v, want %q", full, err, want)
	}
	c := open(t, wasmvfs.Name, filepath.Join(dir, "a"), "")
	exec(t, c, "CREATE TABLE t (a)")
	wantStaged(t, filepath.Join(dir, "c", "db"))
	if full, err := vfs.Find(wasmvfs.Name).FullPathname(filepath.Join(dir, "loop")); err == nil || errors.Is(err, okSymlink) {
		t.Errorf("a link to itself is %q, %v", full, err)
	}
}
