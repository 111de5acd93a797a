//go:build unix

package wasmvfs_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/wasmvfs"
)

// TestJournalFile looks at the answers that a journal gives to SQLite.
func TestJournalFile(t *testing.T) {
	const write = vfs.OPEN_READWRITE | vfs.OPEN_MAIN_JOURNAL
	path := filepath.Join(t.TempDir(), "journal")
	perm := wasmvfs.Permissions{Mode: 0o600}
	if _, err := wasmvfs.OSSystem.OpenFile(path, write, perm); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open of nothing: %v", err)
	}
	f, err := wasmvfs.OSSystem.OpenFile(path, write|vfs.OPEN_CREATE, perm)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.WriteAt([]byte("0123456789"), 5); n != 10 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	if err := errors.Join(f.Truncate(12), f.Sync(vfs.SYNC_NORMAL), f.Sync(vfs.SYNC_FULL)); err != nil {
		t.Error(err)
	}
	if n, err := f.Size(); n != 12 || err != nil {
		t.Errorf("size: %d, %v", n, err)
	}
	buf := make([]byte, 10)
	if n, err := f.ReadAt(buf, 5); n != 7 || !errors.Is(err, io.EOF) || string(buf[:7]) != "0123456" {
		t.Errorf("read across the end: %d, %v, %q", n, err, buf[:n])
	}
	if n, err := f.ReadAt(buf[:7], 5); n != 7 || err != nil {
		t.Errorf("read up to the end: %d, %v", n, err)
	}
	if _, err := wasmvfs.OSSystem.OpenFile(path, write|vfs.OPEN_CREATE|vfs.OPEN_EXCLUSIVE, perm); !errors.Is(err, os.ErrExist) {
		t.Errorf("exclusive open: %v", err)
	}

	// Whoever gets the descriptor next must not be written to.
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := f.WriteAt(buf, 0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("write after the close: %v", err)
	}
	if _, err := f.ReadAt(buf, 0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("read after the close: %v", err)
	}

	f, err = wasmvfs.OSSystem.OpenFile(path, vfs.OPEN_READONLY|vfs.OPEN_MAIN_JOURNAL, perm)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(buf, 0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("write to what is open for reading: %v", err)
	}
	if _, err := wasmvfs.OSSystem.OpenFile(filepath.Dir(path), write, perm); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("open of a directory: %v", err)
	}
}

// TestFullDisk has SQLite hear of it by its own code.
func TestFullDisk(t *testing.T) {
	y := newTally()
	y.writeErr = func(name string) error {
		if kind(name) != "journal" {
			return nil
		}
		full, err := wasmvfs.OSSystem.OpenFile("/dev/full", vfs.OPEN_READWRITE, wasmvfs.Permissions{})
		if err != nil {
			return vfs.SystemError(syscall.ENOSPC, sqlite3.FULL) // there is no such device here
		}
		defer full.Close()
		_, err = full.WriteAt([]byte("x"), 0)
		return err
	}
	name := register(t, wasmvfs.NewWith(nil, nil, wasmvfs.Seams{Inner: y, System: y}))
	c := open(t, name, tempPath(t), "")
	if err := c.Exec("CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1); COMMIT"); !errors.Is(err, sqlite3.FULL) {
		t.Errorf("commit: %v, want %v", err, sqlite3.FULL)
	}
}

// TestReadOnlyWAL reads a database whose WAL may not be written.
func TestReadOnlyWAL(t *testing.T) {
	if !vfs.SupportsSharedMemory {
		return
	}
	path := tempPath(t)
	writer := open(t, wasmvfs.Name, path, "")
	setUp(t, writer, "WAL")
	exec(t, writer, "INSERT INTO t VALUES (1, 2, 3)")
	r := newRecorder()
	name, _ := recorded(t, r, nil)
	r.openErr = func(name string, flags vfs.OpenFlag) error {
		if kind(name) == "wal" && flags&vfs.OPEN_READWRITE != 0 {
			return syscall.EACCES
		}
		return nil
	}
	c := open(t, name, path, "")
	wantRows(t, c, "SELECT count(*) FROM t", "1")
	if err := c.Exec("INSERT INTO t VALUES (2, 2, 3)"); err == nil {
		t.Error("it was written")
	}
	wantRows(t, writer, "SELECT count(*) FROM t", "1")
}
