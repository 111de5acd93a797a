package boule_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

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
