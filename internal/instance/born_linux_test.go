package instance_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boule-db/boule/internal/instance"
)

func TestBorn(t *testing.T) {
	dir := t.TempDir()
	born := func(name string) (string, uint64) {
		t.Helper()
		path := filepath.Join(dir, name)
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		ino := fi.Sys().(*syscall.Stat_t).Ino
		return instance.Born(path, ino), ino
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "1")
	first, ino := born("a")
	if first == "" { // right, if the file system does not say when a file was made
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, filepath.Join(dir, "a"), 0, unix.STATX_BTIME, &st); err != nil || st.Mask&unix.STATX_BTIME != 0 {
			t.Errorf("nothing, but the file system says %+v, %v", st.Btime, err)
		}
		return
	}
	write("a", "2")
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if again, _ := born("b"); again != first {
		t.Errorf("written and renamed it is %s, was %s", again, first)
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // until the clock of the file system has gone on
		write("a", "3")
		if other, _ := born("a"); other != first {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("another file is %s, too", first)
		}
		if err := os.Remove(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
	}
	for path, ino := range map[string]uint64{filepath.Join(dir, "a"): ino, filepath.Join(dir, "b"): ino + 1, filepath.Join(dir, "c"): ino} {
		if got := instance.Born(path, ino); got != "" {
			t.Errorf("%s with inode %d: %s", path, ino, got)
		}
	}
}
