package boule_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
)

const createAndFill = `CREATE TABLE t(x); INSERT INTO t VALUES (1)`

// wantIdle checks that nothing runs any more.
func wantIdle(t *testing.T) {
	t.Helper()
	if users, copying := boule.InUse(); users != 0 || copying {
		t.Errorf("%d configurations in use, copier running: %v; want nothing", users, copying)
	}
}

// Whatever a database is called, it is the file that SQLite would open, it
// replicates, and closing drains it.
func TestNamesOfDatabases(t *testing.T) {
	tests := []struct{ name, file string }{ // DIR stands for the directory
		{"DIR/plain.db", "plain.db"},
		{"DIR/with space.db", "with space.db"},
		{"DIR/a#b.db", "a#b.db"},
		{"DIR/a?b=c&d.db", "a?b=c&d.db"},
		{"DIR/100%.db", "100%.db"},
		{"DIR/%41.db", "%41.db"},
		{"DIR/a+b.db", "a+b.db"},
		{"DIR/å;b.db", "å;b.db"},
		{"DIR/:memory:", ":memory:"},
		{"/DIR/two-slashes.db", "two-slashes.db"},
		{"file:DIR/uri.db", "uri.db"},
		{"file://DIR/uri2.db", "uri2.db"},
		{"file://localhostDIR/uri3.db", "uri3.db"},
		{"file:DIR/%41b%20c.db", "Ab c.db"},
		{"file:DIR/half%4.db", "half%4.db"},
		{"file:DIR/plus+.db", "plus+.db"},
		{"file:DIR/fragment.db#there", "fragment.db"},
		{"file:DIR/fragment2.db#there?mode=ro", "fragment2.db"},
		{"file:DIR/param.db?_pragma=busy_timeout(5)&cache=private", "param.db"},
		{"file:DIR/param2.db?mode=rwc#there", "param2.db"},
		{"relative.db", "relative.db"},
		{"file:relative2.db?mode=rwc", "relative2.db"},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) { // the name would be in the directory's
			s := newSite(t, 1)
			t.Chdir(s.dir)
			db, err := boule.Open(t.Context(), strings.ReplaceAll(tt.name, "DIR", s.dir), s.cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(tt.name)
			execSQL(t, db, createAndFill)
			t.Chdir(t.TempDir()) // what was opened stays what is uploaded
			closeDB(t, db)
			if _, err := os.Stat(s.path(tt.file)); err != nil {
				t.Error(err)
			}
			if got := inReplica(t, s.ref(s.path(tt.file)), s.cfg, `SELECT x FROM t`); got != "1" {
				t.Errorf("replica has %s, want 1", got)
			}
		})
	}
	wantIdle(t)
}

func TestDatabasesWithoutFile(t *testing.T) {
	for _, name := range []string{"", ":memory:", "file::memory:", "file:", "file:x.db?mode=memory", "file::memory:?cache=private"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 1)
			t.Chdir(s.dir)
			db := open(t, name, s.cfg)
			db.SetMaxOpenConns(1)
			execSQL(t, db, createAndFill)
			closeDB(t, db)
			if names, err := os.ReadDir(s.dir); err != nil || len(names) > 0 {
				t.Errorf("the directory has %v (%v), want nothing", names, err)
			}
			r := newReplicator(t, s.cfg)
			if err := r.Flush(t.Context(), name); err == nil {
				t.Error("flush: no error")
			}
		})
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	s := newSite(t, 1)
	if err := os.Mkdir(s.path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, want string }{
		{"file:" + s.path("x.db") + "?vfs=memdb", "vfs=memdb"},
		{"file:" + s.path("x.db") + "?%76fs=os", "vfs=os"},
		{"file://elsewhere/x.db", "elsewhere"},
		{s.path("x\x00y.db"), "NUL"},
		{"file:" + s.path("x%00y.db"), "NUL"},
		{"file:" + s.path("absent.db") + "?mode=rw", "absent.db"},
		{s.path("dir"), "dir"},
		{s.path("no/such/dir.db"), "dir.db"},
		{"file:" + s.path("x.db") + "?_txlock=never", "_txlock"},
		{"file:" + s.path("x.db") + "?_pragma=nonsense(", "_pragma"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			db, err := boule.Open(t.Context(), tt.name, s.cfg)
			if err == nil {
				db.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			wantIdle(t)
		})
	}
}

// What DSN gives is a name as well.
func TestNameOfTheName(t *testing.T) {
	s := newSite(t, 1)
	r := newReplicator(t, s.cfg)
	once, err := r.DSN(s.path("a b.db"))
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := r.DSN(once); err != nil || twice != once {
		t.Errorf("of %s: got %s, %v", once, twice, err)
	}
}

// An open that fails does not wait for a drain of what is there.
func TestOpenFailsAtOnce(t *testing.T) {
	s := newSite(t, 1)
	db := open(t, s.path("app.db"), s.cfg)
	execSQL(t, db, createAndFill)
	closeDB(t, db)
	before := boule.ReadMetrics()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if db, err := boule.Open(ctx, s.path("app.db"), s.cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v, want a context that is done", db, err)
	}
	if after := boule.ReadMetrics(); after.Requests["head"]+after.Requests["HEAD"] != before.Requests["head"]+before.Requests["HEAD"] {
		t.Error("the store was asked")
	}
	wantIdle(t)
}

func TestReadOnly(t *testing.T) {
	s := newSite(t, 1)
	db := open(t, s.path("app.db"), s.cfg)
	execSQL(t, db, createAndFill)
	closeDB(t, db)
	ro := open(t, "file:"+s.path("app.db")+"?mode=ro", s.cfg)
	if got := query(t, ro, `SELECT x FROM t`); got != "1" {
		t.Errorf("got %s", got)
	}
	if _, err := ro.Exec(`INSERT INTO t VALUES (2)`); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("insert: got %v, want READONLY", err)
	}
	closeDB(t, ro)
}

func TestPragmasOfTheNameHold(t *testing.T) {
	s := newSite(t, 1)
	r := newReplicator(t, s.cfg)
	for name, want := range map[string]int64{
		s.path("a.db"): 60000, "file:" + s.path("b.db") + "?_pragma=busy_timeout(5)": 5,
	} {
		conn, err := r.OpenConn(t.Context(), name, 0)
		if err != nil {
			t.Fatal(err)
		}
		stmt, _, err := conn.Prepare(`PRAGMA busy_timeout`)
		if err != nil {
			t.Fatal(err)
		}
		if stmt.Step(); stmt.ColumnInt64(0) != want {
			t.Errorf("%s: busy timeout %d, want %d", name, stmt.ColumnInt64(0), want)
		}
		stmt.Close()
		conn.Close()
	}
}
