package wasmvfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/wasmvfs"
)

func TestSnapshotRefresh(t *testing.T) {
	const refresh = "PRAGMA " + wasmvfs.PragmaRefresh
	o := newOrigin(t, "")
	s := &source{}
	name := replica(t, s)
	first := s.store(o.after("INSERT INTO t VALUES (1, 2, 3)"))
	c, other := open(t, name, "boule://h/x", ""), open(t, name, "boule://h/x", "")
	wantRows(t, c, "SELECT a FROM t", "1")
	wantRows(t, other, "SELECT a FROM t", "1")
	stamp := func(at time.Time) string { return fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond()) }
	wantRows(t, c, "PRAGMA "+wasmvfs.PragmaCtime, stamp(first.ctime))
	wantRows(t, c, "PRAGMA "+wasmvfs.PragmaUpdated, stamp(first.updated))

	second := s.store(o.after("INSERT INTO t VALUES (2, 2, 3)"))
	wantRows(t, c, refresh+"=0", stamp(first.updated)) // it is not loaded
	wantRows(t, c, "SELECT a FROM t", "1")
	wantRows(t, c, refresh+"=1", stamp(second.updated))
	wantRows(t, c, "SELECT a FROM t", "1,2")
	wantRows(t, c, "PRAGMA "+wasmvfs.PragmaCtime, stamp(second.ctime))
	wantRows(t, other, "SELECT a FROM t", "1") // on its own
	wantRows(t, other, refresh+"=0", stamp(second.updated))
	wantRows(t, other, "SELECT a FROM t", "1,2")

	for _, arg := range []string{"=0", "=false", "=2", "=force", "=true", "=1", ""} {
		query(t, c, refresh+arg)
	}
	if got, want := fmt.Sprint(s.fetches), fmt.Sprint([]wasmvfs.Level{
		wasmvfs.Fetch, wasmvfs.Force, wasmvfs.Force, wasmvfs.Fetch, wasmvfs.Fetch, wasmvfs.Fetch,
	}); got != want {
		t.Errorf("fetches at levels %s, want %s", got, want)
	}

	// A failure changes nothing.
	s.err = errors.New("the store is away")
	if _, err := rows(c, refresh+"=1"); !errors.Is(err, sqlite3.ERROR) || !strings.Contains(err.Error(), "the store is away") {
		t.Errorf("refresh without a store: %v", err)
	}
	s.err = nil
	wantRows(t, c, "SELECT a FROM t", "1,2")

	// The schema and the page size may change.
	third := s.store(o.after("CREATE TABLE u (x); INSERT INTO u VALUES ('new'); PRAGMA page_size=8192; VACUUM"))
	wantRows(t, c, refresh+"=1", stamp(third.updated))
	wantRows(t, c, "SELECT x FROM u", "new")
	wantRows(t, c, "PRAGMA page_size", "8192")
	wantRows(t, c, "PRAGMA integrity_check", "ok")
}

func TestSnapshotStaysWithinATransaction(t *testing.T) {
	o := newOrigin(t, "")
	s := &source{}
	s.store(o.after(fmt.Sprintf(fill, 1, 500)))
	c := open(t, replica(t, s), "boule://h/x", "")
	wantRows(t, c, "PRAGMA "+wasmvfs.PragmaAutoRefresh+"=1", "0")
	exec(t, c, "PRAGMA cache_size=1")
	refused := func() {
		t.Helper()
		if _, err := rows(c, "PRAGMA "+wasmvfs.PragmaRefresh+"=2"); !errors.Is(err, sqlite3.LOCKED) {
			t.Errorf("refresh in a transaction: %v, want LOCKED", err)
		}
		wantRows(t, c, "PRAGMA "+wasmvfs.PragmaAsyncReload, "0")
	}
	exec(t, c, "BEGIN; SELECT * FROM t LIMIT 1")
	s.loaded = s.store(o.after("DELETE FROM t"))
	refused()
	wantRows(t, c, "SELECT count(*) FROM t", "500")
	wantRows(t, c, "PRAGMA integrity_check", "ok")
	exec(t, c, "COMMIT")
	wantRows(t, c, "SELECT count(*) FROM t", "0")

	// A statement is a transaction too.
	s.loaded = s.store(o.after(fmt.Sprintf(fill, 1, 300)))
	stmt, _, err := c.Prepare("SELECT b FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	n := 0
	for stmt.Step() {
		n++
		if n == 100 {
			s.loaded = s.store(o.after("DELETE FROM t"))
			refused()
		}
	}
	if err := stmt.Err(); err != nil || n != 300 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestSnapshotOfAnotherHistory: two states that SQLite's change counter does
// not tell apart.
func TestSnapshotOfAnotherHistory(t *testing.T) {
	o := newOrigin(t, "")
	base := o.after("INSERT INTO t VALUES (1, 2, 'base')")
	state := func(what string) []byte {
		path := tempPath(t)
		writeFile(t, path, base)
		fork := &origin{t, open(t, "os", path, ""), path}
		return fork.after("UPDATE t SET c = '" + what + "'")
	}
	one, two := state("one"), state("two")
	if len(one) != len(two) || !bytes.Equal(one[:96], two[:96]) {
		t.Fatal("the headers of the databases differ")
	}
	s := &source{}
	s.store(one)
	c := open(t, replica(t, s), "boule://h/x", "")
	wantRows(t, c, "SELECT c FROM t", "one")
	s.store(two)
	query(t, c, "PRAGMA "+wasmvfs.PragmaRefresh+"=1")
	wantRows(t, c, "SELECT c FROM t", "two")
	wantRows(t, c, "SELECT c FROM t", "two")

	// What was only looked at again leaves the cache alone.
	again := *s.stored
	again.updated = again.updated.Add(time.Minute)
	reads := 0
	again.broken = func(context.Context) error { reads++; return nil }
	s.stored = &again
	query(t, c, "PRAGMA "+wasmvfs.PragmaRefresh+"=1")
	wantRows(t, c, "SELECT c FROM t", "two")
	if reads > 1 {
		t.Errorf("%d reads of what SQLite has in its cache", reads)
	}
}

func TestSnapshotMovesByItself(t *testing.T) {
	const auto, async = "PRAGMA " + wasmvfs.PragmaAutoRefresh, "PRAGMA " + wasmvfs.PragmaAsyncReload
	o := newOrigin(t, "")
	s := &source{}
	s.store(o.after("INSERT INTO t VALUES (1, 2, 3)"))
	c := open(t, replica(t, s), "boule://h/x", "")
	wantRows(t, c, auto, "0")
	wantRows(t, c, async, "0")
	if s.prefetches != 1 {
		t.Errorf("%d prefetches, want 1", s.prefetches)
	}
	s.loaded = s.store(o.after("INSERT INTO t VALUES (2, 2, 3)"))
	wantRows(t, c, "SELECT a FROM t", "1")
	wantRows(t, c, async, "1")
	wantRows(t, c, "SELECT a FROM t", "1,2")
	wantRows(t, c, async, "0")

	wantRows(t, c, auto+"=on", "0")
	wantRows(t, c, auto, "1")
	s.loaded = s.store(o.after("INSERT INTO t VALUES (3, 2, 3)"))
	wantRows(t, c, "SELECT a FROM t", "1,2,3")
	wantRows(t, c, auto+"=off", "1")
	s.loaded = s.store(o.after("INSERT INTO t VALUES (4, 2, 3)"))
	wantRows(t, c, "SELECT a FROM t", "1,2,3")
	if len(s.fetches) != 0 {
		t.Errorf("fetches %v", s.fetches)
	}
}
