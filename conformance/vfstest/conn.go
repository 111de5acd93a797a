package vfstest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

func tempPath(t testing.TB) string {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "test.db")
}

// conn opens a connection and closes it with the test.
func (s *suite) conn(t testing.TB, path, params string) *sqlite3.Conn {
	t.Helper()
	c, err := s.open(path, params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.BusyTimeout(patience); err != nil {
		t.Fatal(err)
	}
	return c
}

func execute(t testing.TB, c *sqlite3.Conn, sql string) {
	t.Helper()
	if err := c.Exec(sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// rows returns the first columns of what a query finds, separated by commas.
func rows(c *sqlite3.Conn, sql string) (string, error) {
	stmt, _, err := c.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer stmt.Close()
	var found []string
	for stmt.Step() {
		found = append(found, stmt.ColumnText(0))
	}
	return strings.Join(found, ","), stmt.Err()
}

func query(t testing.TB, c *sqlite3.Conn, sql string) string {
	t.Helper()
	got, err := rows(c, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func wantRows(t testing.TB, c *sqlite3.Conn, sql, want string) {
	t.Helper()
	if got := query(t, c, sql); got != want {
		t.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

// intact checks the database as SQLite can.
func intact(t testing.TB, c *sqlite3.Conn) {
	t.Helper()
	wantRows(t, c, "PRAGMA integrity_check", "ok")
}

// setUp makes a database with one table, in a journal mode.
func setUp(t testing.TB, c *sqlite3.Conn, mode string) {
	t.Helper()
	wantRows(t, c, "PRAGMA journal_mode="+mode, strings.ToLower(mode))
	execute(t, c, "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b, c)")
}

// file returns the file of the main database.
func file(t testing.TB, c *sqlite3.Conn) vfs.File {
	t.Helper()
	f, err := c.FileControl("main", sqlite3.FCNTL_FILE_POINTER)
	if err != nil {
		t.Fatal(err)
	}
	return f.(vfs.File)
}
