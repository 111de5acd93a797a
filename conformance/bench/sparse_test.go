package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// SQLite takes a sparse database for one of that size, commits to it, and finds again what it committed.
func TestSparse(t *testing.T) {
	for _, s := range []setup{{page: 4096, size: 2441 * 4096}, {page: 4096, size: 16 << 30}, {page: 65536, size: 256 << 30}} {
		path := filepath.Join(t.TempDir(), "t.db")
		if err := sparse(path, s); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Size() != s.size {
			t.Errorf("the file has %d bytes, want %d", fi.Size(), s.size)
		}
		before := ask(t, path, `PRAGMA page_count`)
		if before != s.size/int64(s.page) {
			t.Errorf("SQLite counts %d pages, want %d", before, s.size/int64(s.page))
		}
		rows := ask(t, path, `SELECT count(*) FROM t`)
		conn, err := sqlite3.Open("file:" + path)
		if err != nil {
			t.Fatal(err)
		}
		ds, err := insertRows(conn, 200, 1)
		if err != nil || len(ds) != 200 {
			t.Fatal(len(ds), err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, path, `SELECT count(*) FROM t`); got != rows+200 {
			t.Errorf("%d rows, want %d", got, rows+200)
		}
		if got := ask(t, path, `SELECT count(*) FROM t INDEXED BY t_a WHERE a >= 0`); got != rows+200 {
			t.Errorf("%d rows by the index, want %d", got, rows+200)
		}
		if after := ask(t, path, `PRAGMA page_count`); after != before {
			t.Errorf("%d pages after 200 rows, %d before", after, before)
		}
		if took := onDisk(t, path); took > 32<<20 {
			t.Errorf("the file takes %d bytes on the disk: it is not sparse any more", took)
		}
	}
	if err := sparse(filepath.Join(t.TempDir(), "t.db"), setup{page: 4096, size: 1e9 + 1}); err == nil {
		t.Error("a part of a page is a page")
	}
}

// onDisk is what a file takes on the disk; zero where that can't be told.
func onDisk(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return allocated(fi)
}

// ask returns the number that a query on a database gives.
func ask(t *testing.T, path, query string) int64 {
	t.Helper()
	conn, err := sqlite3.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	n, err := number(conn, query)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
