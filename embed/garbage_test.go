package embed_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

const pageSize = 4096

// A peeping VFS looks at the memory that SQLite reads pages into, before they are read. It lies
// where SQLite has them: the slices that a VFS gets are not copies.
type peeping struct {
	vfs.VFSFilename
	pages, garbage int
}

type peepingFile struct {
	vfs.File
	p *peeping
}

func (p *peeping) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := p.VFSFilename.OpenFilename(name, flags)
	if err != nil || flags&vfs.OPEN_MAIN_DB == 0 {
		return f, flags, err
	}
	return &peepingFile{f, p}, flags, nil
}

func (f *peepingFile) ReadAt(buf []byte, off int64) (int, error) {
	if len(buf) == pageSize {
		f.p.pages++
		if len(bytes.Trim(buf, "\x00")) > 0 {
			f.p.garbage++
		}
	}
	return f.File.ReadAt(buf, off)
}

// litter leaves text in memory that SQLite has freed, in blocks of all sizes up to a limit.
func litter(conn *sqlite3.Conn, text string, limit int) error {
	for n := 16; n <= limit; n *= 2 {
		sql := fmt.Sprintf(`SELECT length(replace(hex(zeroblob(%d)), '0', '%s'))`, n/len(text)/2+1, text)
		if err := conn.Exec(sql); err != nil {
			return err
		}
	}
	return conn.Exec(`PRAGMA shrink_memory`)
}

// peep reads pages, many through a small cache.
func peep(dir string) (*peeping, error) {
	p := &peeping{VFSFilename: vfs.Find("").(vfs.VFSFilename)}
	vfs.Register("peeping", p)
	defer vfs.Unregister("peeping")
	conn, err := sqlite3.Open("file:" + filepath.ToSlash(filepath.Join(dir, "peep.db")) + "?vfs=peeping")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.Exec(`
		PRAGMA page_size = ` + strconv.Itoa(pageSize) + `;
		PRAGMA temp_store = memory;
		CREATE TABLE t (a INTEGER PRIMARY KEY, b);
		WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
		INSERT INTO t SELECT i, hex(randomblob(200)) FROM n`); err != nil {
		return nil, err
	}
	p.pages, p.garbage = 0, 0
	for _, size := range []int{-2000, 10} {
		if err := conn.Exec(fmt.Sprintf(`PRAGMA cache_size = %d; PRAGMA shrink_memory`, size)); err != nil {
			return nil, err
		}
		if err := litter(conn, "LITTERED", 1<<22); err != nil {
			return nil, err
		}
		if err := conn.Exec(`SELECT sum(length(b)) FROM t`); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func TestPagesAreGivenOutZeroed(t *testing.T) {
	p, err := peep(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if p.pages < 1000 {
		t.Errorf("only %d pages were read", p.pages)
	}
	if p.garbage > 0 {
		t.Errorf("the memory for %d of %d pages had something in it", p.garbage, p.pages)
	}
}

// The test above must be able to fail.
func TestPagesOfStockAreNotZeroed(t *testing.T) {
	if out := run(t, "garbage", stock(t)); strings.HasPrefix(out, "0 ") {
		t.Errorf("garbage in %s", out)
	}
}

func printGarbage() error {
	dir, err := os.MkdirTemp("", "boule-embed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p, err := peep(dir)
	if err == nil {
		fmt.Println(p.garbage, "of", p.pages, "pages")
	}
	return err
}

// What was in SQLite's memory but was never written to a database is in none of its files.
func TestNoLitterOnDisk(t *testing.T) {
	const text = "LITTERED"
	for _, mode := range []string{"PERSIST", "TRUNCATE", "WAL"} {
		for _, size := range []int{512, 4096, 65536} {
			t.Run(fmt.Sprintf("%s %d", mode, size), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "test.db")
				conn := open(t, path)
				execSQL(t, conn, fmt.Sprintf(`
					PRAGMA page_size = %d;
					PRAGMA temp_store = memory;
					PRAGMA synchronous = off;
					PRAGMA auto_vacuum = incremental;
					PRAGMA journal_mode = %s;
					PRAGMA cache_size = 20`, size, mode))
				for _, sql := range []string{
					`CREATE TABLE t (a INTEGER PRIMARY KEY, b, c)`,
					`CREATE VIRTUAL TABLE f USING fts5(x)`,
					`CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)`,
					`WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500)
						INSERT INTO t SELECT i, hex(randomblob(i % 70)), zeroblob(i * 7 % 3001) FROM n`,
					`CREATE INDEX i ON t (b, a)`,
					`INSERT INTO f SELECT b FROM t`,
					`INSERT INTO r SELECT a, a, a + 1 FROM t`,
					`UPDATE t SET c = zeroblob(a * 13 % 1009) WHERE a % 3 = 0`,
					`DELETE FROM t WHERE a % 4 = 0`,
					`BEGIN; DELETE FROM t; INSERT INTO t (b) VALUES (zeroblob(100000)); ROLLBACK`,
					`INSERT INTO f(f) VALUES ('optimize')`,
					`PRAGMA incremental_vacuum(3)`,
					`INSERT INTO t (b) VALUES (zeroblob(100001))`,
					`VACUUM`,
					`UPDATE t SET b = b || 'x'`,
				} {
					if err := litter(conn, text, 1<<18); err != nil {
						t.Fatal(err)
					}
					execSQL(t, conn, sql)
					for _, suffix := range []string{"", "-journal", "-wal"} {
						if n := count(t, path+suffix, text); n > 0 {
							t.Fatalf("after %s: %d times in the database%s", sql, n, suffix)
						}
					}
				}
				// It would have been found.
				execSQL(t, conn, `INSERT INTO t (b) VALUES ('`+text+`')`)
				if count(t, path, text)+count(t, path+"-wal", text) == 0 {
					t.Error("what was inserted is not found")
				}
			})
		}
	}
}

// Deleted rows are overwritten. (So few are deleted that SQLite does not move others between
// pages, which leaves the old copies behind.)
func TestDeletedContentIsOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	conn := open(t, path)
	if got := query(t, conn, `PRAGMA secure_delete`); got[0] != "2" {
		t.Errorf("secure_delete is %s, want 2 (fast)", got[0])
	}
	execSQL(t, conn, `
		CREATE TABLE t (a INTEGER PRIMARY KEY, b);
		WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
		INSERT INTO t SELECT i, iif(i % 10, 'KEPT', 'DELETED') FROM n`)
	if n := count(t, path, "DELETED"); n != 100 {
		t.Errorf("found %d times before it was deleted", n)
	}
	execSQL(t, conn, `DELETE FROM t WHERE b = 'DELETED'`)
	if n := count(t, path, "DELETED"); n != 0 {
		t.Errorf("found %d times after it was deleted", n)
	}
}

// count returns how often a text is in a file, which need not exist.
func count(t *testing.T, path, text string) int {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte(text))
}
