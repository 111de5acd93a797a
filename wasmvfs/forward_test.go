package wasmvfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/wasmvfs"
)

// TestEveryInterfaceIsForwarded fails when go-sqlite3's file learns something
// that ours does not forward.
func TestEveryInterfaceIsForwarded(t *testing.T) {
	c := open(t, wasmvfs.Name, tempPath(t), "")
	ours := fileOf(t, c)
	theirs := ours.(vfs.FileUnwrap).Unwrap()
	has := []struct {
		name string
		in   func(vfs.File) bool
	}{
		{"FileLockState", is[vfs.FileLockState]},
		{"FilePersistWAL", is[vfs.FilePersistWAL]},
		{"FilePowersafeOverwrite", is[vfs.FilePowersafeOverwrite]},
		{"FileChunkSize", is[vfs.FileChunkSize]},
		{"FileSizeHint", is[vfs.FileSizeHint]},
		{"FileHasMoved", is[vfs.FileHasMoved]},
		{"FileOverwrite", is[vfs.FileOverwrite]},
		{"FileSync", is[vfs.FileSync]},
		{"FileCommitPhaseTwo", is[vfs.FileCommitPhaseTwo]},
		{"FileCheckpoint", is[vfs.FileCheckpoint]},
		{"FilePragma", is[vfs.FilePragma]},
		{"FileBusyHandler", is[vfs.FileBusyHandler]},
		{"FileSharedMemory", is[vfs.FileSharedMemory]},
	}
	forwarded := 0
	for _, h := range has {
		if h.in(theirs) {
			forwarded++
			if !h.in(ours) {
				t.Errorf("%s is not forwarded", h.name)
			}
		}
	}
	if forwarded < 5 {
		t.Errorf("only %d interfaces are found in the file of the os VFS", forwarded)
	}
	if vfsutil.WrapSharedMemory(ours) != vfsutil.WrapSharedMemory(theirs) {
		t.Error("the shared memory is another")
	}

	for _, on := range []bool{true, false} {
		for _, op := range []sqlite3.FcntlOpcode{sqlite3.FCNTL_PERSIST_WAL, sqlite3.FCNTL_POWERSAFE_OVERWRITE} {
			if _, err := c.FileControl("main", op, on); err != nil {
				t.Fatal(err)
			}
			if got, err := c.FileControl("main", op); got != on || err != nil {
				t.Errorf("file control %d after setting it to %v: %v, %v", op, on, got, err)
			}
		}
	}
	if got, err := c.FileControl("main", sqlite3.FCNTL_LOCKSTATE); got != vfs.LOCK_NONE || err != nil {
		t.Errorf("lock state: %v, %v", got, err)
	}
	exec(t, c, "BEGIN IMMEDIATE")
	if got, err := c.FileControl("main", sqlite3.FCNTL_LOCKSTATE); got != vfs.LOCK_RESERVED || err != nil {
		t.Errorf("lock state: %v, %v", got, err)
	}
	exec(t, c, "CREATE TABLE t (a); COMMIT")
	path := c.Filename("main").String()
	if err := os.Rename(path, path+"-moved"); err != nil {
		t.Fatal(err)
	}
	if moved, err := ours.(vfs.FileHasMoved).HasMoved(); !moved || err != nil {
		t.Errorf("moved: %v, %v", moved, err)
	}
}

// TestChunkSize has a database grow and shrink by chunks.
func TestChunkSize(t *testing.T) {
	path := tempPath(t)
	c := open(t, wasmvfs.Name, path, "")
	if _, err := c.FileControl("main", sqlite3.FCNTL_CHUNK_SIZE, 32<<10); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	exec(t, c, "PRAGMA auto_vacuum = full; CREATE TABLE t (a)")
	if n := size(); n != 32<<10 {
		t.Errorf("new database has %d bytes", n)
	}
	wantStaged(t, path)
	exec(t, c, "INSERT INTO t VALUES (randomblob(100000))")
	if n := size(); n != 128<<10 {
		t.Errorf("grown database has %d bytes", n)
	}
	wantStaged(t, path)
	exec(t, c, "DELETE FROM t")
	if n := size(); n != 32<<10 {
		t.Errorf("database has %d bytes after the deletion", n)
	}
	wantStaged(t, path)
}

// TestFullPathname names a database in a directory that does not exist.
func TestFullPathname(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "c")
	full, err := vfs.Find(wasmvfs.Name).FullPathname(filepath.Dir(path) + "/x/../c")
	if full != path || err != nil {
		t.Errorf("%q, %v, want %q", full, err, path)
	}
}

func is[T vfs.File](f vfs.File) bool {
	_, ok := f.(T)
	return ok
}
