package boule_test

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/boule-db/boule"
)

// setEnv puts the configuration into the environment.
func (s *site) setEnv(t *testing.T) {
	t.Helper()
	b, err := json.Marshal(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(boule.EnvConfig, string(b))
}

func TestDriver(t *testing.T) {
	if !slices.Contains(sql.Drivers(), boule.DriverName) {
		t.Fatalf("drivers are %q", sql.Drivers())
	}
	s := newSite(t, 1)
	s.setEnv(t)
	db, err := sql.Open("boule", s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := db.Driver().(boule.Driver); !ok {
		t.Errorf("its driver is a %T", db.Driver())
	}
	execSQL(t, db, createAndFill)
	closeDB(t, db)
	if got := inReplica(t, s.ref(s.path("app.db")), s.cfg, `SELECT x FROM t`); got != "1" {
		t.Errorf("after close the store has %s", got)
	}
	wantIdle(t)
}

func TestDriverNeverUsed(t *testing.T) {
	s := newSite(t, 1)
	s.setEnv(t)
	db, err := sql.Open("boule", s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)
	wantIdle(t)
}

func TestDriverRefuses(t *testing.T) {
	s := newSite(t, 1)
	s.setEnv(t)
	if _, err := sql.Open("boule", "file:x.db?vfs=memdb"); err == nil || !strings.Contains(err.Error(), "vfs=memdb") {
		t.Errorf("another VFS: got %v", err)
	}
	t.Setenv(boule.EnvConfig, "{")
	if _, err := sql.Open("boule", s.path("app.db")); err == nil || !strings.Contains(err.Error(), boule.EnvConfig) {
		t.Errorf("wrong configuration: got %v", err)
	}
	wantIdle(t)
}

// Those who call the driver themselves get one connection that drains.
func TestDriverConnection(t *testing.T) {
	s := newSite(t, 1)
	s.setEnv(t)
	conn, err := boule.Driver{}.Open(s.path("app.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range strings.Split(createAndFill, ";") {
		stmt, err := conn.Prepare(q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stmt.(driver.StmtExecContext).ExecContext(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		stmt.Close()
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := inReplica(t, s.ref(s.path("app.db")), s.cfg, `SELECT x FROM t`); got != "1" {
		t.Errorf("after close the store has %s", got)
	}
	if _, err := (boule.Driver{}).Open(s.path("no/such/dir.db")); err == nil {
		t.Error("no such directory: no error")
	}
	wantIdle(t)
}
