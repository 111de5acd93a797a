package wasmvfs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

func TestWhatIsTracked(t *testing.T) {
	tests := []struct {
		name, params, sql, want string
	}{
		{"a database", "", "", "track test.db 0"},
		{"a read-only one", "mode=ro", "", "track test.db 0"},
		{"eagerly", "boule_eager=1", "", "track test.db 1"},
		{"not eagerly", "boule_eager=0", "", "track test.db 0"},
		{"immutable", "immutable=1", "", ""},
		{"immutable by another word", "immutable=yes", "", ""},
		{"not immutable", "immutable=0", "", "track test.db 0"},
		{"without locks", "nolock=1", "", ""},
		{"with locks", "nolock=off", "", "track test.db 0"},
		{"attached", "", "ATTACH 'file:DIR/other.db?vfs=VFS' AS x; CREATE TABLE x.t (a)", "track test.db 0\ntrack other.db 0"},
		{"attached eagerly", "", "ATTACH 'file:DIR/other.db?vfs=VFS&boule_eager=true' AS x; CREATE TABLE x.t (a)", "track test.db 0\ntrack other.db 1"},
		{"attached in memory", "", "ATTACH ':memory:' AS x; CREATE TABLE x.t (a)", "track test.db 0"},
		{"attached without a name", "", "ATTACH '' AS x; PRAGMA x.cache_size=2; CREATE TABLE x.t AS SELECT randomblob(10000) FROM generate_series(1, 100)", "track test.db 0"},
		{"temporary tables", "", "PRAGMA temp.cache_size=2; CREATE TEMP TABLE y AS SELECT randomblob(10000) FROM generate_series(1, 100)", "track test.db 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := tempPath(t)
			setUp(t, open(t, "os", path, ""), "DELETE")
			r := newRecorder()
			name, _ := recorded(t, r, nil)
			c := open(t, name, path, test.params)
			exec(t, c, strings.NewReplacer("DIR", filepath.Dir(path), "VFS", name).Replace(test.sql))
			if got := r.take("open", "lock", "unlock", "read", "write", "sync", "truncate", "delete", "close", "size", "tracker"); got != test.want {
				t.Errorf("tracks %q, want %q", got, test.want)
			}
		})
	}
	t.Run("nothing in memory", func(t *testing.T) {
		r := newRecorder()
		name, _ := recorded(t, r, nil)
		c, err := sqlite3.Open("file::memory:?vfs=" + name)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, c, "CREATE TABLE t (a)")
		c.Close()
		if got := r.take(); got != "" {
			t.Errorf("a database in memory does\n%s", got)
		}
	})
}

func TestTrackedByItsRealPath(t *testing.T) {
	path := tempPath(t)
	link := filepath.Join(filepath.Dir(path), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	var got []string
	name := register(t, wasmvfs.NewWith(nil, nil, wasmvfs.Seams{
		Track: func(path string, f tracker.File, mode tracker.Mode) wasmvfs.Tracked {
			got = append(got, path)
			return (&recorder{}).track(path, f, mode)
		},
	}))
	setUp(t, open(t, name, path, ""), "DELETE")
	setUp(t, open(t, name, link, ""), "DELETE")
	if len(got) != 2 || got[0] != path || got[1] != path {
		t.Errorf("tracks %q, want %q twice", got, path)
	}
	_, err := sqlite3.OpenFlags("file:"+link+"?vfs="+name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI|sqlite3.OPEN_NOFOLLOW)
	if !errors.Is(err, sqlite3.CANTOPEN_SYMLINK) {
		t.Errorf("open of a link that may not be followed: %v", err)
	}
}

// traced are the events of a commit that the tracker must see in order.
var traced = []string{"open", "close", "sync", "delete", "write journal", "truncate journal", "lock 1", "lock 2"}

func TestOrderOfACommit(t *testing.T) {
	r := newRecorder()
	name, _ := recorded(t, r, nil)
	path := tempPath(t)
	c := open(t, name, path, "")
	setUp(t, c, "DELETE")
	exec(t, c, "INSERT INTO t VALUES (1, 2, 3)")
	other := open(t, name, path, "")
	r.take()

	exec(t, c, "UPDATE t SET c = 4")
	want := strings.Join([]string{
		"lock 4", "tracker: locked",
		"tracker: will write", "write db", "tracker: will write", "write db",
		"tracker: claim", "unlock 1", "tracker: snapshot 0", "unlock 0",
	}, "\n")
	if got := r.take(traced...); got != want {
		t.Errorf("commit does\n%s\nwant\n%s", got, want)
	}

	wantRows(t, c, "SELECT c FROM t", "4")
	if got := r.take(traced...); got != "unlock 0" {
		t.Errorf("read does\n%s", got)
	}

	// Readers come in between.
	exec(t, other, "BEGIN; SELECT * FROM t")
	r.take()
	if err := c.BusyTimeout(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec("UPDATE t SET c = 5"); !errors.Is(err, sqlite3.BUSY) {
		t.Fatalf("write beside a reader: %v", err)
	}
	if got := r.take(traced...); strings.Contains(got, "tracker") {
		t.Errorf("a commit that did not come about does\n%s", got)
	}
	exec(t, other, "COMMIT")

	exec(t, c, "DELETE FROM t; PRAGMA user_version=1")
	r.take()
	exec(t, c, "VACUUM")
	got := r.take(traced...)
	if !strings.Contains(got, "tracker: will truncate 8192 to 4096\ntruncate db") && !strings.Contains(got, "tracker: will write\nwrite db") {
		t.Errorf("vacuum does\n%s", got)
	}
}

func TestTrackerHearsOfEverySize(t *testing.T) {
	r := newRecorder()
	name, _ := recorded(t, r, nil)
	path := tempPath(t)
	c := open(t, name, path, "")
	setUp(t, c, "DELETE")
	exec(t, c, fmt.Sprintf(fill, 1, 200))
	f := fileOf(t, c)
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	r.take()
	if err := f.Truncate(size - 4096); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("tracker: will truncate %d to %d\ntruncate db", size, size-4096)
	if got := r.take(); got != want {
		t.Errorf("truncate does\n%s\nwant\n%s", got, want)
	}
	// Growing by a hint may change the file; a hint below the size may not.
	if err := f.(vfs.FileSizeHint).SizeHint(size + 8192); err != nil {
		t.Fatal(err)
	}
	want = fmt.Sprintf("tracker: will truncate %d to %d\nsize hint", size-4096, size+8192)
	if got := r.take(); got != want {
		t.Errorf("hint does\n%s\nwant\n%s", got, want)
	}
	if err := f.(vfs.FileSizeHint).SizeHint(4096); err != nil {
		t.Fatal(err)
	}
	if got := r.take(); got != "size hint" {
		t.Errorf("small hint does\n%s", got)
	}
}

func TestExclusiveLockingMode(t *testing.T) {
	const insert = "INSERT INTO t VALUES (NULL, 2, 3)"
	snapshots := func(r *recorder) string {
		var got []string
		for _, e := range strings.Split(r.take(), "\n") {
			if e, ok := strings.CutPrefix(e, "tracker: snapshot "); ok {
				got = append(got, e)
			}
		}
		return strings.Join(got, "")
	}
	begin := func(t *testing.T) (*recorder, *sqlite3.Conn, string, string) {
		r := newRecorder()
		name, _ := recorded(t, r, nil)
		path := tempPath(t)
		c := open(t, name, path, "")
		setUp(t, c, "DELETE")
		r.take()
		return r, c, name, path
	}
	commits := func(t *testing.T, r *recorder, c *sqlite3.Conn, sql, want string) {
		t.Helper()
		exec(t, c, sql)
		if got := snapshots(r); got != want {
			t.Errorf("%s: snapshots under locks %q, want %q", sql, got, want)
		}
	}

	t.Run("Pragma", func(t *testing.T) {
		r, c, _, _ := begin(t)
		commits(t, r, c, insert, "0")
		exec(t, c, "PRAGMA locking_mode=EXCLUSIVE")
		for range 3 {
			commits(t, r, c, insert, "1")
		}
		commits(t, r, c, "BEGIN; DELETE FROM t; ROLLBACK", "")
		commits(t, r, c, "SELECT * FROM t", "")
		exec(t, c, "PRAGMA main.locking_mode=NORMAL")
		commits(t, r, c, "SELECT * FROM t", "")
		commits(t, r, c, insert, "0")
	})
	t.Run("QuestionIsNone", func(t *testing.T) {
		r, c, _, _ := begin(t)
		wantRows(t, c, "PRAGMA locking_mode", "normal")
		wantRows(t, c, "PRAGMA locking_mode=whatever", "normal")
		commits(t, r, c, insert, "0")
	})
	t.Run("Attached", func(t *testing.T) {
		r, c, _, path := begin(t)
		exec(t, c, "ATTACH '"+path+"2' AS x; CREATE TABLE x.t (a, b, c); PRAGMA locking_mode=EXCLUSIVE")
		exec(t, c, "ATTACH '"+path+"3' AS y")
		r.take()
		commits(t, r, c, "CREATE TABLE y.t (a, b, c)", "1")
		commits(t, r, c, "INSERT INTO x.t VALUES (1, 2, 3)", "1")
		commits(t, r, c, "INSERT INTO main.t VALUES (1, 2, 3)", "1")
		commits(t, r, c, "BEGIN; INSERT INTO x.t VALUES (1, 2, 3); INSERT INTO y.t VALUES (1, 2, 3); COMMIT", "11")
		exec(t, c, "PRAGMA x.locking_mode=NORMAL")
		commits(t, r, c, "INSERT INTO x.t VALUES (1, 2, 3)", "0")
		commits(t, r, c, "INSERT INTO y.t VALUES (1, 2, 3)", "1")
		exec(t, c, "DETACH y")
		commits(t, r, c, insert, "1")
	})
	t.Run("OnlyTheAttached", func(t *testing.T) {
		r, c, _, path := begin(t)
		exec(t, c, "ATTACH '"+path+"2' AS x; CREATE TABLE x.t (a, b, c); PRAGMA x.locking_mode=EXCLUSIVE")
		r.take()
		commits(t, r, c, "INSERT INTO x.t VALUES (1, 2, 3)", "1")
		commits(t, r, c, "INSERT INTO main.t VALUES (1, 2, 3)", "0")
	})
	t.Run("OnlyTheMain", func(t *testing.T) {
		// From here that looks like all; the attached one shows by unlocking.
		r, c, _, path := begin(t)
		exec(t, c, "ATTACH '"+path+"2' AS x; CREATE TABLE x.t (a, b, c); PRAGMA main.locking_mode=EXCLUSIVE")
		r.take()
		commits(t, r, c, "INSERT INTO x.t VALUES (1, 2, 3)", "1")
		commits(t, r, c, "INSERT INTO x.t VALUES (1, 2, 3)", "0")
		commits(t, r, c, "INSERT INTO main.t VALUES (1, 2, 3)", "1")
		commits(t, r, c, "INSERT INTO main.t VALUES (2, 2, 3)", "1")
	})
	t.Run("NoticedByWriting", func(t *testing.T) {
		// The mode is there before we know whose file it is.
		r, c, name, path := begin(t)
		c.Close()
		c = open(t, name, path, "_pragma=locking_mode(exclusive)")
		fileOf(t, c).(interface {
			Pragma(string, string) (string, error)
		}).Pragma("locking_mode", "normal")
		r.take()
		commits(t, r, c, insert, "")
		commits(t, r, c, insert, "1")
		commits(t, r, c, insert, "1")
	})
	t.Run("Close", func(t *testing.T) {
		r, c, name, path := begin(t)
		c.Close()
		c = open(t, name, path, "_pragma=locking_mode(exclusive)")
		fileOf(t, c).(interface {
			Pragma(string, string) (string, error)
		}).Pragma("locking_mode", "normal")
		r.take()
		commits(t, r, c, insert, "")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if got := snapshots(r); got != "0" {
			t.Errorf("close: snapshots under locks %q, want one", got)
		}
	})
}

func TestLostConnection(t *testing.T) {
	// A connection that dies is closed file by file, without unlocking. What it
	// had committed is staged; what it had only written is not.
	for _, committed := range []bool{true, false} {
		t.Run(fmt.Sprint(committed), func(t *testing.T) {
			r := newRecorder()
			name, _ := recorded(t, r, nil)
			c := open(t, name, tempPath(t), "_pragma=locking_mode(exclusive)")
			setUp(t, c, "MEMORY")
			exec(t, c, fmt.Sprintf(fill, 1, 100))
			f := fileOf(t, c)
			forgetLockingMode(t, f)
			r.take()
			exec(t, c, "INSERT INTO t VALUES (1000, 2, 3)")
			if !committed {
				exec(t, c, "PRAGMA cache_size=2; BEGIN; UPDATE t SET b = b || 'x'")
			}
			if got := r.take(); strings.Contains(got, "snapshot") || !strings.Contains(got, "write db") {
				t.Fatalf("before the end:\n%s", got)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if got := r.take(); strings.Contains(got, "tracker: snapshot 1") != committed {
				t.Errorf("close does\n%s", got)
			}
		})
	}
}

// forgetLockingMode makes the file believe that the mode is normal.
func forgetLockingMode(t testing.TB, f vfs.File) {
	t.Helper()
	if _, err := f.(vfs.FilePragma).Pragma("locking_mode", "normal"); !errors.Is(err, sqlite3.NOTFOUND) {
		t.Fatalf("a pragma of SQLite's: %v", err)
	}
}

func TestTrackerOf(t *testing.T) {
	path := tempPath(t)
	pointer := func(c *sqlite3.Conn) vfs.File {
		f, err := c.FileControl("main", sqlite3.FCNTL_FILE_POINTER)
		if err != nil {
			t.Fatal(err)
		}
		return f.(vfs.File)
	}
	if got := wasmvfs.TrackerOf(pointer(open(t, wasmvfs.Name, path, ""))); got == nil || got.Untracked() != nil {
		t.Errorf("tracker of a tracked database: %v", got)
	}
	if got := wasmvfs.TrackerOf(pointer(open(t, "os", path, ""))); got != nil {
		t.Errorf("tracker of a file of the os VFS: %v", got)
	}
	if got := wasmvfs.TrackerOf(pointer(open(t, wasmvfs.Name, path, "nolock=1"))); got != nil {
		t.Errorf("tracker of an untracked database: %v", got)
	}
}
