package vfstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// content is a digest of the table.
const content = "SELECT count(*) || ' ' || ifnull(sum(a), 0) || ' ' || ifnull(sum(length(b)), 0) || ' ' || ifnull(sum(c), 0) FROM t"

const fill = "INSERT INTO t SELECT value, hex(zeroblob(value %% 700)), value %% 13 FROM generate_series(%d, %d)"

// works does a bit of everything with one page size.
func (s *suite) works(t *testing.T, mode string, pageSize int) {
	path := tempPath(t)
	c := s.conn(t, path, "")
	execute(t, c, "PRAGMA synchronous=OFF; PRAGMA page_size="+strconv.Itoa(pageSize))
	setUp(t, c, mode)
	execute(t, c, "CREATE INDEX i ON t (c, b)")
	execute(t, c, fmt.Sprintf(fill, 1, 1000))
	execute(t, c, "DELETE FROM t WHERE a % 3 = 0")
	execute(t, c, "UPDATE t SET c = c + 1, b = b || b WHERE a % 5 = 0")
	before := query(t, c, content)

	execute(t, c, "BEGIN; DELETE FROM t; ROLLBACK")
	wantRows(t, c, content, before)

	// More than the cache holds goes to the file before its time.
	execute(t, c, "PRAGMA cache_size=5; PRAGMA cache_spill=1")
	execute(t, c, "BEGIN; UPDATE t SET c = -c, b = b || 'x'; DELETE FROM t WHERE a < 100; ROLLBACK")
	wantRows(t, c, content, before)

	execute(t, c, "BEGIN; SAVEPOINT s; "+fmt.Sprintf(fill, 2001, 2500)+"; SAVEPOINT u; DELETE FROM t; ROLLBACK TO u; RELEASE s; COMMIT")
	intact(t, c)
	execute(t, c, "DELETE FROM t WHERE a > 300; VACUUM")
	intact(t, c)
	after := query(t, c, content)

	other := s.conn(t, path, "")
	wantRows(t, other, content, after)
	wantRows(t, other, "PRAGMA page_size", strconv.Itoa(pageSize))
	intact(t, other)
}

// isAtomic fails a transaction half way, in each way that SQL has.
func (s *suite) isAtomic(t *testing.T, mode string) {
	c := s.conn(t, tempPath(t), "")
	setUp(t, c, mode)
	execute(t, c, fmt.Sprintf(fill, 1, 100))
	before := query(t, c, content)
	if err := c.Exec("INSERT INTO t SELECT value, '', 0 FROM generate_series(300, 50, -1)"); !errors.Is(err, sqlite3.CONSTRAINT) {
		t.Errorf("insert of what exists: %v", err)
	}
	wantRows(t, c, content, before)
	if err := c.Exec("BEGIN; DELETE FROM t WHERE a < 50; INSERT OR ROLLBACK INTO t VALUES (99, 0, 0)"); !errors.Is(err, sqlite3.CONSTRAINT) {
		t.Errorf("insert of what exists: %v", err)
	}
	wantRows(t, c, content, before)
	intact(t, c)
}

// attaches changes three databases in one transaction.
func (s *suite) attaches(t *testing.T, mode string) {
	path := tempPath(t)
	c := s.conn(t, path, "")
	setUp(t, c, mode)
	execute(t, c, "ATTACH '"+path+"2' AS x; ATTACH '"+path+"3' AS y")
	for _, db := range []string{"x", "y"} {
		wantRows(t, c, "PRAGMA "+db+".journal_mode="+mode, strings.ToLower(mode))
		execute(t, c, "CREATE TABLE "+db+".t (a, b, c)")
	}
	for i := range 3 {
		sql := ""
		for _, db := range []string{"main", "x", "y"} {
			sql += fmt.Sprintf("INSERT INTO %s.t VALUES (%d, 2, 3);", db, i)
		}
		execute(t, c, "BEGIN;"+sql+"COMMIT")
		execute(t, c, "BEGIN;"+strings.ReplaceAll(sql, fmt.Sprintf("(%d,", i), fmt.Sprintf("(%d,", 10+i))+"ROLLBACK")
	}
	for _, p := range []string{path, path + "2", path + "3"} {
		other := s.conn(t, p, "")
		wantRows(t, other, "SELECT a FROM t ORDER BY a", "0,1,2")
		intact(t, other)
	}
	execute(t, c, "DETACH x; DETACH y")
	if left, err := os.ReadDir(strings.TrimSuffix(path, "/test.db")); err != nil || countSuper(left) > 0 {
		t.Errorf("super-journals are left: %v, %v", left, err)
	}
}

func countSuper(entries []os.DirEntry) (n int) {
	for _, e := range entries {
		if strings.Contains(e.Name(), "-mj") {
			n++
		}
	}
	return n
}

// locksForLong keeps locks between transactions.
func (s *suite) locksForLong(t *testing.T, mode string) {
	path := tempPath(t)
	c, other := s.conn(t, path, ""), s.conn(t, path, "")
	setUp(t, c, mode)
	if err := other.BusyTimeout(0); err != nil {
		t.Fatal(err)
	}
	wantRows(t, c, "PRAGMA locking_mode=EXCLUSIVE", "exclusive")
	for i := range 5 {
		execute(t, c, fmt.Sprintf("INSERT INTO t VALUES (%d, 2, 3)", i))
		if _, err := rows(other, "SELECT a FROM t"); mode != "WAL" && !errors.Is(err, sqlite3.BUSY) {
			t.Errorf("read of what is locked: %v", err)
		}
	}
	execute(t, c, "BEGIN; DELETE FROM t; ROLLBACK")
	wantRows(t, c, "PRAGMA locking_mode=NORMAL", "normal")
	wantRows(t, c, "SELECT count(*) FROM t", "5")
	wantRows(t, other, "SELECT count(*) FROM t", "5")
	intact(t, other)
}

// showsCommits: a connection with a warm cache sees what others commit.
func (s *suite) showsCommits(t *testing.T, mode string) {
	path := tempPath(t)
	c, other := s.conn(t, path, ""), s.conn(t, path, "")
	setUp(t, c, mode)
	execute(t, c, "INSERT INTO t VALUES (1, 2, 0)")
	p := start(t, path, "")
	for i := range 5 {
		want := strconv.Itoa(i)
		wantRows(t, other, "SELECT c FROM t", want)
		p.wantRows("SELECT c FROM t", want)
		execute(t, c, "UPDATE t SET c = c + 1")
	}
}

// survivesCrash kills a process within a transaction that is in the file partly.
func (s *suite) survivesCrash(t *testing.T, mode string) {
	if mode == "MEMORY" {
		return // this journal dies with the process, and SQLite says so
	}
	path := tempPath(t)
	c := s.conn(t, path, "")
	setUp(t, c, mode)
	execute(t, c, fmt.Sprintf(fill, 1, 500))
	before := query(t, c, content)
	p := start(t, path, "")
	p.exec("PRAGMA journal_mode=" + mode + "; PRAGMA cache_size=3; PRAGMA cache_spill=1; PRAGMA synchronous=OFF")
	p.exec("BEGIN IMMEDIATE; UPDATE t SET c = -c, b = b || 'x'; " + fmt.Sprintf(fill, 1001, 1500))
	p.kill()
	wantRows(t, c, content, before)
	intact(t, c)
	execute(t, c, "INSERT INTO t VALUES (9999, 2, 3)")
	again := start(t, path, "")
	again.wantRows("SELECT count(*) FROM t", "501")
	again.wantRows("PRAGMA integrity_check", "ok")
}

const (
	sharers = 3  // processes
	inserts = 40 // of each
)

// shares has several processes and connections write at the same time.
func (s *suite) shares(t *testing.T, mode string) {
	path := tempPath(t)
	c := s.conn(t, path, "")
	setUp(t, c, mode)
	s.share(t, mode, path, c)
	wantRows(t, c, "SELECT count(*) FROM t", strconv.Itoa((sharers+1)*inserts))
	intact(t, c)
}

func (s *suite) share(t *testing.T, mode, path string, c *sqlite3.Conn) {
	const insert = "INSERT INTO t (b, c) VALUES (hex(randomblob(100)), 0)"
	var ps [sharers]*process
	for i := range ps {
		ps[i] = start(t, path, "")
		ps[i].exec("PRAGMA journal_mode=" + mode + "; PRAGMA synchronous=OFF")
	}
	var wg sync.WaitGroup
	for _, p := range ps {
		wg.Go(func() {
			if err := p.ask(request{Op: "exec", SQL: insert, Times: inserts}).err(); err != nil {
				t.Errorf("helper: %v", err)
			}
		})
	}
	for range inserts {
		if err := c.Exec(insert); err != nil {
			t.Errorf("insert: %v", err)
		}
	}
	wg.Wait()
}

// stockShell finds the command line of SQLite itself.
func stockShell() (string, bool) {
	path, err := exec.LookPath("sqlite3")
	return path, err == nil
}

// sharesWithStock adds a SQLite in C that opens and closes the database all the
// time.
func (s *suite) sharesWithStock(t *testing.T, mode, shell string) {
	path := tempPath(t)
	c := s.conn(t, path, "")
	setUp(t, c, mode)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range inserts {
			out, err := exec.Command(shell, "-cmd", ".timeout 30000", path,
				"PRAGMA journal_mode="+mode+"; INSERT INTO t (b, c) VALUES (hex(randomblob(100)), 1)").CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", shell, err, out)
				return
			}
		}
	})
	s.share(t, mode, path, c)
	wg.Wait()
	wantRows(t, c, "SELECT count(*) FROM t", strconv.Itoa((sharers+2)*inserts))
	intact(t, c)
	out, err := exec.Command(shell, path, "PRAGMA integrity_check; SELECT sum(c) FROM t").CombinedOutput()
	if want := fmt.Sprintf("ok\n%d\n", inserts); err != nil || string(out) != want {
		t.Errorf("%s finds %q, %v; want %q", shell, out, err, want)
	}
}
