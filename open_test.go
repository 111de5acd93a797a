package boule_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
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

// Users of one configuration share its engine; the last one ends what runs.
func TestSharedEngines(t *testing.T) {
	s := newSite(t, 1)
	one := newReplicator(t, s.cfg)
	logged := slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))
	t.Chdir(s.dir)
	tests := []struct {
		name   string
		cfg    *boule.Config
		shares bool
	}{
		{"same", s.cfg, true},
		{"relative spool", s.with(func(c *boule.Config) { c.SpoolDir = "./spool" }), true},
		{"make_default", s.with(func(c *boule.Config) { c.MakeDefault = true }), true},
		{"drain timeout", s.with(func(c *boule.Config) { c.DrainTimeout = -1 }), true},
		{"logger", s.with(func(c *boule.Config) { c.Logger = logged }), false},
		{"host name", s.with(func(c *boule.Config) { c.Hostname = "other" }), false},
		{"policy", s.with(func(c *boule.Config) { c.LoadingPolicy.Eager = true }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := newReplicator(t, tt.cfg)
			if got := one.SharesEngine(other); got != tt.shares {
				t.Errorf("shares: got %v, want %v", got, tt.shares)
			}
			if err := other.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if users, copying := boule.InUse(); users != 1 || !copying {
		t.Errorf("%d in use, copier running: %v; want one that goes on", users, copying)
	}
	if err := one.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wantIdle(t)
	if err := one.Close(t.Context()); err != nil {
		t.Errorf("once more: %v", err)
	}
	wantIdle(t)
}

// What a caller does with its configuration afterwards changes nothing.
func TestConfigurationIsCopied(t *testing.T) {
	s := newSite(t, 1)
	r := newReplicator(t, s.cfg)
	want := s.store(0)
	s.cfg.Targets[0].File.Directory = s.path("elsewhere")
	db, err := r.OpenDB(t.Context(), s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	execSQL(t, db, createAndFill)
	if err := r.Flush(t.Context(), s.path("app.db")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(want, "manifests")); err != nil {
		t.Error(err)
	}
}

// Closing one configuration uploads what it spooled, while another goes on.
func TestCloseDrainsOneOfTwo(t *testing.T) {
	s := newSite(t, 2)
	a, b := newReplicator(t, s.only(0)), newReplicator(t, s.only(1))
	dbs := map[*boule.Replicator]*sql.DB{}
	for r, name := range map[*boule.Replicator]string{a: "a.db", b: "b.db"} {
		db, err := r.OpenDB(t.Context(), s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		execSQL(t, db, createAndFill)
		dbs[r] = db
	}
	for i := range 3 {
		execSQL(t, dbs[a], fmt.Sprintf(`UPDATE t SET x = %d`, 10+i))
	}
	closeDB(t, dbs[a])
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := inReplica(t, s.ref(s.path("a.db")), s.only(0), `SELECT x FROM t`); got != "12" {
		t.Errorf("after close the store has %s, want 12", got)
	}
	// The other one still has a copier that works.
	execSQL(t, dbs[b], `UPDATE t SET x = 20`)
	if err := b.Flush(t.Context(), s.path("b.db")); err != nil {
		t.Fatal(err)
	}
	if got := inReplica(t, s.ref(s.path("b.db")), s.only(1), `SELECT x FROM t`); got != "20" {
		t.Errorf("the other store has %s, want 20", got)
	}
}

// Engines come and go in several goroutines; each close is a drain.
func TestEnginesComeAndGo(t *testing.T) {
	s := newSite(t, 2)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			cfg, path := s.only(i%2), s.path(fmt.Sprintf("db%d", i))
			for n := range 4 {
				db, err := boule.Open(t.Context(), path, cfg)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = db.Exec(fmt.Sprintf(`CREATE TABLE IF NOT EXISTS t(x); DELETE FROM t; INSERT INTO t VALUES (%d)`, n))
				if err := errors.Join(err, db.Close()); err != nil {
					t.Errorf("%s, round %d: %v", path, n, err)
					return
				}
				if got := inReplica(t, s.ref(path), cfg, `SELECT x FROM t`); got != fmt.Sprint(n) {
					t.Errorf("%s: after close the store has %s, want %d", path, got, n)
				}
			}
		})
	}
	wg.Wait()
	wantIdle(t)
}

// blocked makes a store fail, until the result is called.
func (s *site) blocked(t *testing.T, i int) (unblock func()) {
	t.Helper()
	if err := os.WriteFile(s.store(i), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(s.store(i)); err != nil {
			t.Error(err)
		}
	}
}

func TestCloseSaysWhatIsBehind(t *testing.T) {
	s := newSite(t, 2)
	s.blocked(t, 1)
	s.cfg.DrainTimeout = 500 * time.Millisecond
	db := open(t, s.path("app.db"), s.cfg)
	execSQL(t, db, createAndFill)
	if err := db.Close(); !errors.Is(err, boule.ErrBehind) || !strings.Contains(err.Error(), "store1") {
		t.Errorf("got %v, want ErrBehind that names the store", err)
	}
	if got := inReplica(t, s.ref(s.path("app.db")), s.only(0), `SELECT x FROM t`); got != "1" {
		t.Errorf("the other store has %s, want 1", got)
	}
	wantIdle(t)
}

// What is left in the spool is uploaded when the database is opened again, in the
// same process too, and without a write.
func TestReopenUploadsWhatIsLeft(t *testing.T) {
	s := newSite(t, 1)
	unblock := s.blocked(t, 0)
	s.cfg.DrainTimeout = -1
	db := open(t, s.path("app.db"), s.cfg)
	execSQL(t, db, createAndFill)
	closeDB(t, db)
	wantIdle(t)
	unblock()
	r := newReplicator(t, s.cfg)
	again, err := r.OpenDB(t.Context(), s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	eventually(t, "the replica is there", func() bool {
		_, err := boule.Fetch(t.Context(), s.ref(s.path("app.db")), s.cfg)
		return err == nil
	})
}

// Those who know nothing of Boule wrote meanwhile.
func TestReopenSeesForeignWrites(t *testing.T) {
	for _, how := range []string{"OpenDB", "OpenConn"} {
		t.Run(how, func(t *testing.T) {
			s := newSite(t, 1)
			db := open(t, s.path("app.db"), s.cfg)
			execSQL(t, db, createAndFill)
			closeDB(t, db)
			foreign, err := sqlite3.Open("file:" + s.path("app.db"))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(foreign.Exec(`UPDATE t SET x = 2`), foreign.Close()); err != nil {
				t.Fatal(err)
			}
			r := newReplicator(t, s.cfg)
			if how == "OpenDB" {
				db, err := r.OpenDB(t.Context(), s.path("app.db"))
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
			} else {
				conn, err := r.OpenConn(t.Context(), s.path("app.db"), 0)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
			}
			eventually(t, "the replica has it", func() bool {
				return inReplica(t, s.ref(s.path("app.db")), s.cfg, `SELECT x FROM t`) == "2"
			})
		})
	}
}

// A database that is locked when it is seen for the first time is looked at later.
func TestFirstSightWaitsForALock(t *testing.T) {
	s := newSite(t, 1)
	foreign, err := sqlite3.Open("file:" + s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if err := foreign.Exec(createAndFill + `; PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE`); err != nil {
		t.Fatal(err)
	}
	var logs logBuffer
	r := newReplicator(t, s.with(func(c *boule.Config) { c.Logger = logs.logger(slog.LevelDebug) }))
	conn, err := r.OpenConn(t.Context(), s.path("app.db"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "the repair met the lock", func() bool { return strings.Contains(logs.String(), "repair snapshot") })
	if err := errors.Join(foreign.Exec(`COMMIT`), foreign.Close()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica is there", func() bool {
		_, err := boule.Fetch(t.Context(), s.ref(s.path("app.db")), s.cfg)
		return err == nil
	})
}

// logBuffer collects what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

// Each configuration that replicates hears of uploads that fail, although they
// share the copier, and the first has no logger.
func TestLoggersHearOfUploads(t *testing.T) {
	s := newSite(t, 1)
	s.blocked(t, 0)
	newReplicator(t, s.cfg)
	var logs logBuffer
	r := newReplicator(t, s.with(func(c *boule.Config) { c.Logger = logs.logger(slog.LevelWarn).With("app", "mine") }))
	db, err := r.OpenDB(t.Context(), s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	execSQL(t, db, createAndFill)
	eventually(t, "the failure is logged", func() bool {
		return strings.Contains(logs.String(), "replication fails") && strings.Contains(logs.String(), "app=mine")
	})
}

// deadServer is an S3 service that answers nothing until the test ends.
func deadServer(t *testing.T) target.Target {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	over := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(over) })
	return target.Target{S3: &target.S3{Region: "us-east-1", Endpoint: srv.URL, Bucket: "b"}}
}

func TestDrainTimeout(t *testing.T) {
	for timeout, wantErr := range map[time.Duration]error{-1: nil, 300 * time.Millisecond: boule.ErrBehind} {
		t.Run(timeout.String(), func(t *testing.T) {
			s := newSite(t, 0)
			s.cfg.Targets = []target.Target{deadServer(t)}
			s.cfg.DrainTimeout = timeout
			db := open(t, s.path("app.db"), s.cfg)
			execSQL(t, db, createAndFill)
			start := time.Now()
			err := db.Close()
			if d := time.Since(start); d > 8*time.Second {
				t.Errorf("close took %v", d)
			}
			if !errors.Is(err, wantErr) || (wantErr == nil) != (err == nil) {
				t.Errorf("got %v, want %v", err, wantErr)
			}
			wantIdle(t)
		})
	}
}

func TestFlush(t *testing.T) {
	s := newSite(t, 2)
	fill := func(name, sql string) {
		conn, err := sqlite3.Open("file:" + s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(conn.Exec(sql), conn.Close()); err != nil {
			t.Fatal(err)
		}
	}
	fill("rollback.db", createAndFill)
	fill("wal.db", `PRAGMA journal_mode=WAL; `+createAndFill)
	fill("deleted.db", createAndFill)
	for name, text := range map[string]string{"empty.db": "", "garbage.db": strings.Repeat("no database ", 1000)} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := newReplicator(t, s.cfg)
	if err := r.Flush(t.Context(), s.path("deleted.db")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path("deleted.db")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		want error // errAny stands for any
	}{
		{s.path("rollback.db"), nil},
		{"file:" + s.path("rollback.db") + "?mode=ro", nil},
		{s.path("wal.db"), boule.ErrWAL},
		{s.path("empty.db"), boule.ErrBehind},
		{s.path("garbage.db"), boule.ErrBehind},
		{s.path("absent.db"), fs.ErrNotExist},
		{s.path("deleted.db"), fs.ErrNotExist},
		{"", errAny},
		{":memory:", errAny},
		{s.dir, errAny},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.name, s.dir, "DIR"), func(t *testing.T) {
			if err := r.Flush(t.Context(), tt.name); !isError(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	for i := range 2 {
		if got := inReplica(t, s.ref(s.path("rollback.db")), s.only(i), `SELECT x FROM t`); got != "1" {
			t.Errorf("store %d has %s", i, got)
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := r.Flush(t.Context(), s.path("rollback.db")); !errors.Is(err, boule.ErrClosed) {
		t.Errorf("after Close: flush gives %v, want ErrClosed", err)
	}
	if _, err := r.OpenConn(t.Context(), s.path("rollback.db"), 0); !errors.Is(err, boule.ErrClosed) {
		t.Errorf("after Close: OpenConn gives %v, want ErrClosed", err)
	}
	if _, err := r.OpenDB(t.Context(), s.path("rollback.db")); !errors.Is(err, boule.ErrClosed) {
		t.Errorf("after Close: OpenDB gives %v, want ErrClosed", err)
	}
}

var errAny = errors.New("any error")

func isError(got, want error) bool {
	if errors.Is(want, errAny) {
		return got != nil
	}
	return errors.Is(got, want)
}

func TestFlushWithoutTarget(t *testing.T) {
	s := newSite(t, 0)
	r := newReplicator(t, s.cfg)
	db, err := r.OpenDB(t.Context(), s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	execSQL(t, db, createAndFill)
	if err := r.Flush(t.Context(), s.path("app.db")); !errors.Is(err, boule.ErrNoTarget) {
		t.Errorf("got %v, want ErrNoTarget", err)
	}
	if r.Replicating() || r.WhyNot() == "" {
		t.Errorf("replicating: %v, because %q", r.Replicating(), r.WhyNot())
	}
}

func TestFlushOfALockedDatabase(t *testing.T) {
	s := newSite(t, 1)
	r := newReplicator(t, s.cfg)
	foreign, err := sqlite3.Open("file:" + s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if err := foreign.Exec(createAndFill + `; BEGIN EXCLUSIVE`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := r.Flush(ctx, s.path("app.db")); !errors.Is(err, boule.ErrBehind) {
		t.Errorf("got %v, want ErrBehind", err)
	}
	if err := foreign.Exec(`COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := r.Flush(t.Context(), s.path("app.db")); err != nil {
		t.Error(err)
	}
}

// A flush during writes stores something at least as new as when it began.
func TestFlushOfABusyDatabase(t *testing.T) {
	s := newSite(t, 1)
	r := newReplicator(t, s.cfg)
	db, err := r.OpenDB(t.Context(), s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	execSQL(t, db, `CREATE TABLE t(x); INSERT INTO t VALUES (0)`)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if _, err := db.Exec(`UPDATE t SET x = x + 1`); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 5 {
		var before, got int
		if _, err := fmt.Sscan(query(t, db, `SELECT x FROM t`), &before); err != nil {
			t.Error(err)
		}
		if err := r.Flush(t.Context(), s.path("app.db")); err != nil {
			t.Error(err)
		}
		if _, err := fmt.Sscan(inReplica(t, s.ref(s.path("app.db")), s.cfg, `SELECT x FROM t`), &got); err != nil || got < before {
			t.Errorf("the store has %d (%v), want at least %d", got, err, before)
		}
	}
	stop()
	wg.Wait()
}

func TestOptimizeAndProgress(t *testing.T) {
	s := newSite(t, 1)
	r := newReplicator(t, s.cfg)
	db, err := r.OpenDB(t.Context(), s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	execSQL(t, db, `CREATE TABLE t(x); INSERT INTO t VALUES (randomblob(200000))`)
	closeDB(t, db)
	if err := r.Optimize(t.Context(), s.path("app.db")); err != nil {
		t.Fatal(err)
	}
	if err := r.Flush(t.Context(), s.path("app.db")); err != nil {
		t.Fatal(err)
	}
	if got := inReplica(t, s.ref(s.path("app.db")), s.cfg, `PRAGMA page_size`); got != "65536" {
		t.Errorf("page size %s", got)
	}
	if sent, waiting := r.Progress(s.path("app.db")); sent < 100000 || waiting != 0 {
		t.Errorf("sent %d, waiting %d", sent, waiting)
	}
	if err := r.Optimize(t.Context(), s.path("absent.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: got %v", err)
	}
}
