package boule_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/boule-db/boule"
)

// Whoever closes the Replicator before the connection loses nothing of a burst.
func TestBurstOfAConnectionThatIsLeftOpen(t *testing.T) {
	s := newSite(t, 1)
	r, err := boule.New(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := r.OpenConn(t.Context(), s.path("app.db"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 30 {
		if err := conn.Exec(fmt.Sprintf(`CREATE TABLE IF NOT EXISTS t (x); DELETE FROM t; INSERT INTO t VALUES (%d)`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := inReplica(t, s.ref(s.path("app.db")), s.cfg, `SELECT x FROM t`); got != "29" {
		t.Errorf("the replica ends with %s", got)
	}
}

// Transactions in a burst reach the store although no snapshot was taken at each: without
// another commit, and at the latest by Close.
func TestBurstReachesTheStore(t *testing.T) {
	for _, end := range []string{"wait", "flush", "close"} {
		t.Run(end, func(t *testing.T) {
			s := newSite(t, 2)
			db := open(t, s.path("app.db"), s.cfg)
			flush := func() {
				var ok int
				if err := db.QueryRow(`PRAGMA boule_flush_replication_data`).Scan(&ok); err != nil || ok != 1 {
					t.Fatalf("flush says %d, %v", ok, err)
				}
			}
			execSQL(t, db, createAndFill)
			flush()
			for i := range 50 {
				execSQL(t, db, fmt.Sprintf(`UPDATE t SET x = %d`, i))
			}
			switch end {
			case "flush":
				flush()
			case "close":
				closeDB(t, db)
			}
			for i := range 2 {
				there := func() bool {
					return inReplica(t, s.ref(s.path("app.db")), s.only(i), `SELECT x FROM t LIMIT 1`) == "49"
				}
				if end == "wait" {
					eventually(t, "the replica has the last of the burst", there)
				} else if !there() {
					t.Errorf("store %d lacks the end of the burst", i)
				}
			}
			if end != "close" {
				closeDB(t, db)
			}
		})
	}
}

// A snapshot that is too large for a commit is taken by Boule itself, also while the application commits all the time.
func TestLargeSnapshotAmongCommits(t *testing.T) {
	s := newSite(t, 1)
	path := s.path("app.db")
	db := open(t, path, s.cfg)
	db.SetMaxOpenConns(1)
	execSQL(t, db, `PRAGMA synchronous=OFF; CREATE TABLE t(x); INSERT INTO t VALUES (0); CREATE TABLE big(b);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<250) INSERT INTO big SELECT randomblob(60000) FROM n`)
	var ok int
	if err := db.QueryRow(`PRAGMA boule_flush_replication_data`).Scan(&ok); err != nil || ok != 1 {
		t.Fatalf("flush says %d, %v", ok, err)
	}
	execSQL(t, db, `UPDATE big SET b = randomblob(60000); UPDATE t SET x = 1`) // 230 chunks
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		for ctx.Err() == nil {
			if _, err := db.ExecContext(t.Context(), `UPDATE t SET x = x + 1`); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	eventually(t, "the large transaction is in the store", func() bool {
		return inReplica(t, s.ref(path), s.cfg, `SELECT x FROM t`) != "0"
	})
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
