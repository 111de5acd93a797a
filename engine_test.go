package boule_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
)

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
