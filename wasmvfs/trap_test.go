package wasmvfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/wasmvfs"
)

// recorded registers a VFS that tells what it does.
func recorded(t testing.TB, r *recorder, opts *wasmvfs.Options) (name string, v vfs.VFS) {
	v = wasmvfs.NewWith(nil, opts, wasmvfs.Seams{Inner: r, System: r.system(), SyncDir: r.syncDir, Track: r.track})
	return register(t, v), v
}

// quiet are the events that say nothing of durability.
var quiet = []string{"lock", "unlock", "tracker", "track", "size hint", "write journal", "write wal", "open shm", "close shm"}

func TestNewJournalIsDurable(t *testing.T) {
	if !syncsDirectories {
		return
	}
	commit := "INSERT INTO t VALUES (NULL, 2, 3)"
	tests := []struct {
		mode, sync string
		events     []string // of one commit
	}{
		{"DELETE", "FULL", []string{
			"open journal", "sync journal", "sync directory", "sync journal",
			"write db", "sync db", "close journal", "delete journal false",
		}},
		{"DELETE", "EXTRA", []string{
			"open journal", "sync journal", "sync directory", "sync journal",
			"write db", "sync db", "close journal", "delete journal false", "sync directory",
		}},
		{"DELETE", "NORMAL", []string{
			"open journal", "sync journal", "sync directory",
			"write db", "sync db", "close journal", "delete journal false",
		}},
		{"DELETE", "OFF", []string{"open journal", "write db", "close journal", "delete journal false"}},
		{"TRUNCATE", "FULL", []string{
			"open journal", "sync journal", "sync directory", "sync journal",
			"write db", "sync db", "truncate journal", "sync journal", "close journal",
		}},
	}
	for _, test := range tests {
		t.Run(test.mode+"/"+test.sync, func(t *testing.T) {
			r := newRecorder()
			name, _ := recorded(t, r, nil)
			c := open(t, name, tempPath(t), "")
			exec(t, c, "PRAGMA synchronous="+test.sync)
			setUp(t, c, test.mode)
			exec(t, c, commit)
			r.take()
			exec(t, c, commit)
			if got, want := squeeze(r.take(quiet...)), strings.Join(test.events, "\n"); got != want {
				t.Errorf("commit does\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// squeeze makes one of equal neighbours among writes.
func squeeze(events string) string {
	var out []string
	for _, e := range strings.Split(events, "\n") {
		if len(out) > 0 && out[len(out)-1] == e && strings.HasPrefix(e, "write") {
			continue
		}
		out = append(out, e)
	}
	return strings.Join(out, "\n")
}

func TestNewWALIsDurable(t *testing.T) {
	if !syncsDirectories || !vfs.SupportsSharedMemory {
		return
	}
	r := newRecorder()
	name, _ := recorded(t, r, nil)
	c := open(t, name, tempPath(t), "")
	exec(t, c, "PRAGMA synchronous=FULL")
	setUp(t, c, "WAL")
	r.take()
	exec(t, c, "INSERT INTO t VALUES (1, 2, 3)")
	exec(t, c, "INSERT INTO t VALUES (2, 2, 3)")
	if got := r.take(quiet...); got != "sync wal\nsync wal" {
		t.Errorf("commits do\n%s", got)
	}
	c.Close()
	r.take()

	c = open(t, name, tempPath(t), "")
	exec(t, c, "PRAGMA synchronous=FULL; PRAGMA journal_mode=WAL; CREATE TABLE t (a)")
	got := r.take(quiet...)
	if _, after, ok := strings.Cut(got, "open wal"); !ok || strings.Count(after, "sync directory") != 1 || !strings.HasPrefix(strings.TrimSpace(after), "sync wal\nsync directory") {
		t.Errorf("a new WAL does\n%s", got)
	}
}

func TestNewSuperJournalIsDurable(t *testing.T) {
	if !syncsDirectories {
		return
	}
	r := newRecorder()
	name, _ := recorded(t, r, nil)
	path := tempPath(t)
	c := open(t, name, path, "")
	setUp(t, c, "DELETE")
	exec(t, c, "ATTACH '"+path+"2' AS x; CREATE TABLE x.t (a, b, c)")
	r.take()
	exec(t, c, "BEGIN; INSERT INTO main.t VALUES (1, 2, 3); INSERT INTO x.t VALUES (1, 2, 3); COMMIT")
	got := r.take(append([]string{"sync journal", "write"}, quiet...)...)
	want := strings.Join([]string{
		"open journal", "open journal",
		"open super", "sync super", "sync directory",
		"sync directory", "sync db", // of the first journal, before its database
		"sync directory", "sync db",
		"close super", "delete super true", "sync directory",
		"close journal", "delete journal false", "close journal", "delete journal false",
	}, "\n")
	// The super-journal is deleted by us without a sync, then the directory is
	// synced: the os VFS sees false.
	want = strings.Replace(want, "delete super true", "delete super false", 1)
	if got != want {
		t.Errorf("commit does\n%s\nwant\n%s", got, want)
	}
}

func TestSyncOfDirectoryFails(t *testing.T) {
	if !syncsDirectories {
		return
	}
	r := newRecorder()
	fail := false
	v := wasmvfs.NewWith(nil, nil, wasmvfs.Seams{Inner: r, SyncDir: func(string) error {
		if fail {
			return syscall.EIO
		}
		return nil
	}})
	name := register(t, v)
	c := open(t, name, tempPath(t), "")
	setUp(t, c, "DELETE")
	fail = true
	err := c.Exec("INSERT INTO t VALUES (1, 2, 3)")
	if !errors.Is(err, sqlite3.IOERR_DIR_FSYNC) {
		t.Errorf("commit without a durable journal: %v, want %v", err, sqlite3.IOERR_DIR_FSYNC)
	}
	fail = false
	wantRows(t, c, "SELECT count(*) FROM t", "0")
	exec(t, c, "INSERT INTO t VALUES (1, 2, 3)")

	if err := wasmvfs.OSSystem.SyncDir(t.TempDir()); err != nil {
		t.Errorf("sync of a directory: %v", err)
	}
	if err := wasmvfs.OSSystem.SyncDir(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("sync of no directory: %v", err)
	}
}

func TestJournalNotOpenedIsNotLeft(t *testing.T) {
	r := newRecorder()
	name, _ := recorded(t, r, nil)
	path := tempPath(t)
	c := open(t, name, path, "")
	setUp(t, c, "DELETE")
	r.openErr = func(name string, flags vfs.OpenFlag) error {
		if kind(name) == "journal" {
			return syscall.EMFILE
		}
		return nil
	}
	if err := c.Exec("INSERT INTO t VALUES (1, 2, 3)"); !errors.Is(err, sqlite3.CANTOPEN) {
		t.Errorf("no more files: %v", err)
	}
	if _, err := os.Stat(path + "-journal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a journal is left: %v", err)
	}
	r.openErr = nil
	exec(t, c, "INSERT INTO t VALUES (1, 2, 3)")
}

func TestReadOnlyFallback(t *testing.T) {
	for _, errno := range []error{syscall.EACCES, syscall.EPERM, syscall.EROFS} {
		t.Run(errno.Error(), func(t *testing.T) {
			path := tempPath(t)
			setUp(t, open(t, "os", path, ""), "DELETE")
			r := newRecorder()
			r.openErr = func(name string, flags vfs.OpenFlag) error {
				if flags&vfs.OPEN_READWRITE != 0 {
					return &fs.PathError{Op: "open", Path: name, Err: errno}
				}
				return nil
			}
			name, _ := recorded(t, r, nil)
			c := open(t, name, path, "")
			wantRows(t, c, "SELECT count(*) FROM t", "0")
			if ro, _ := c.ReadOnly("main"); !ro {
				t.Error("SQLite does not know that the database is read-only")
			}
			if err := c.Exec("INSERT INTO t VALUES (1, 2, 3)"); !errors.Is(err, sqlite3.READONLY) {
				t.Errorf("write: %v, want READONLY", err)
			}
			if got := r.take("lock", "unlock", "tracker", "track"); got != "open db+create\nopen db" {
				t.Errorf("opens\n%s", got)
			}
			_, err := os.Stat(path + "x")
			if _, err2 := sqlite3.Open("file:" + path + "x?vfs=" + name); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err2, sqlite3.CANTOPEN) || !errors.Is(err2, errno) {
				t.Errorf("open of what can't be made: %v, want CANTOPEN for %v", err2, errno)
			}
		})
	}
	t.Run("not for other errors", func(t *testing.T) {
		r := newRecorder()
		r.openErr = func(string, vfs.OpenFlag) error { return syscall.EIO }
		name, _ := recorded(t, r, nil)
		if _, err := sqlite3.Open("file:" + tempPath(t) + "?vfs=" + name); !errors.Is(err, syscall.EIO) {
			t.Errorf("open: %v, want %v", err, syscall.EIO)
		}
		if got := r.take(); got != "open db+create" {
			t.Errorf("opens\n%s", got)
		}
	})
}

func TestBatchAtomicWriteIsHidden(t *testing.T) {
	r := newRecorder()
	r.extra = vfs.IOCAP_BATCH_ATOMIC
	name, _ := recorded(t, r, nil)
	path := tempPath(t)
	c, other := open(t, name, path, ""), open(t, name, path, "")
	setUp(t, c, "DELETE")
	exec(t, c, "INSERT INTO t VALUES (1, 2, 0)")
	f := fileOf(t, c)
	if f.DeviceCharacteristics()&vfs.IOCAP_BATCH_ATOMIC != 0 {
		t.Error("the file says that it has SQLITE_IOCAP_BATCH_ATOMIC")
	}
	if _, ok := f.(vfs.FileBatchAtomicWrite); ok {
		t.Error("the file has the methods of a batch atomic write")
	}
	for i := range 3 { // the recorder panics if SQLite uses it
		wantRows(t, other, "SELECT c FROM t", fmt.Sprint(i))
		exec(t, c, "UPDATE t SET c = c + 1")
	}
}

// fileOf returns our file of the main database.
func fileOf(t testing.TB, c *sqlite3.Conn) vfs.File {
	t.Helper()
	f, err := c.FileControl("main", sqlite3.FCNTL_FILE_POINTER)
	if err != nil {
		t.Fatal(err)
	}
	// go-sqlite3 has one of its own around it.
	return f.(vfs.FileUnwrap).Unwrap()
}

func TestEmptyJournalIsNone(t *testing.T) {
	v := wasmvfs.New(nil, nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	want := func(path string, want bool) {
		t.Helper()
		if got, err := v.Access(path, vfs.ACCESS_EXISTS); got != want || err != nil {
			t.Errorf("access of %s: %v, %v; want %v", path, got, err, want)
		}
	}
	want(path, false)
	writeFile(t, path, nil)
	want(path, false)
	writeFile(t, path, []byte("x"))
	want(path, true)
	want(filepath.Join(path, "below"), false)
	want(dir, true)

	// So a read opens no journal in journal_mode=TRUNCATE.
	r := newRecorder()
	name, _ := recorded(t, r, nil)
	c := open(t, name, tempPath(t), "")
	setUp(t, c, "TRUNCATE")
	r.take()
	wantRows(t, c, "SELECT count(*) FROM t", "0")
	if got := r.take("lock", "unlock"); got != "" {
		t.Errorf("read does\n%s", got)
	}
}

func TestNullIO(t *testing.T) {
	r := newRecorder()
	name, v := recorded(t, r, nil)
	c := open(t, name, tempPath(t), "")
	setUp(t, c, "DELETE")
	if got := wasmvfs.Connections(v); got != 1 {
		t.Errorf("%d connections are known, want 1", got)
	}
	r.take()
	if _, err := c.FileControl("main", sqlite3.FCNTL_NULL_IO); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.take(); got != "tracker: close\nclose db\nunlock 0" {
		t.Errorf("close does\n%s", got)
	}
	if got := wasmvfs.Connections(v); got != 0 {
		t.Errorf("%d connections are known, want none", got)
	}
}

// In WAL mode the write lock is gone when CommitPhaseTwo is called, so that others
// may have committed since, and a commit refused after its last frame was written
// comes back after a crash. So a commit is neither staged there, nor refused
// whatever happens to the spool.
func TestWALCommitIsNeitherStagedNorRefused(t *testing.T) {
	if !vfs.SupportsSharedMemory {
		return
	}
	path := tempPath(t)
	c := open(t, wasmvfs.Name, path, "")
	setUp(t, c, "DELETE")
	exec(t, c, fmt.Sprintf(fill, 1, 100))
	wantStaged(t, path)
	before, err := manager.StagedFor(path)
	if err != nil || len(before) == 0 {
		t.Fatalf("staged: %v, %v", before, err)
	}
	wantRows(t, c, "PRAGMA journal_mode=WAL", "wal")
	other := open(t, wasmvfs.Name, path, "")
	for i := range 20 {
		exec(t, c, fmt.Sprintf("INSERT INTO t VALUES (%d, 2, 3)", 1000+2*i))
		exec(t, other, fmt.Sprintf("INSERT INTO t VALUES (%d, 2, 3)", 1001+2*i))
	}
	after, err := manager.StagedFor(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range before {
		if after[i].Sequence != before[i].Sequence {
			t.Errorf("target %d: a commit in WAL mode was staged", i)
		}
	}
	dirs, err := filepath.Glob(filepath.Join(spoolDir, "boule-*", spool.Mangle(path)))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("spools %v, %v", dirs, err)
	}
	if err := os.RemoveAll(dirs[0]); err != nil {
		t.Fatal(err)
	}
	exec(t, c, "INSERT INTO t VALUES (9000, 2, 3)")
	wantRows(t, other, "SELECT count(*) FROM t", "141")
}
