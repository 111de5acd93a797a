package vfstest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

func (s *suite) readsWhatWasWritten(t *testing.T) {
	f := file(t, s.conn(t, tempPath(t), ""))
	page := bytes.Repeat([]byte("0123456789abcdef"), 256)
	for _, off := range []int64{0, 4096, 1 << 20, 65536*3 + 512} {
		if n, err := f.WriteAt(page, off); n != len(page) || err != nil {
			t.Fatalf("write at %d: %d, %v", off, n, err)
		}
	}
	if err := f.Sync(vfs.SYNC_FULL); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(page))
	for _, off := range []int64{0, 4096, 1 << 20, 65536*3 + 512} {
		if n, err := f.ReadAt(got, off); n != len(got) || err != nil || !bytes.Equal(got, page) {
			t.Errorf("read at %d: %d, %v, or other bytes", off, n, err)
		}
	}
	if n, err := f.ReadAt(got, 512<<10); n != len(got) || err != nil || !bytes.Equal(got, make([]byte, len(got))) {
		t.Errorf("read of a hole: %d, %v, or not zeros", n, err)
	}
	if size, err := f.Size(); size != 1<<20+4096 || err != nil {
		t.Errorf("size: %d, %v", size, err)
	}
}

// isEOF asks as go-sqlite3 does: io.EOF itself, not wrapped.
func isEOF(err error) bool { return err == io.EOF } //nolint:errorlint // see above

func (s *suite) shortReads(t *testing.T) {
	f := file(t, s.conn(t, tempPath(t), ""))
	buf := make([]byte, 100)
	if n, err := f.ReadAt(buf, 0); n != 0 || !isEOF(err) {
		t.Errorf("read of an empty file: %d, %v", n, err)
	}
	if _, err := f.WriteAt([]byte("hello"), 10); err != nil {
		t.Fatal(err)
	}
	if n, err := f.ReadAt(buf, 10); n != 5 || !isEOF(err) || string(buf[:n]) != "hello" {
		t.Errorf("read over the end: %d, %v", n, err)
	}
	if n, err := f.ReadAt(buf, 1000); n != 0 || !isEOF(err) {
		t.Errorf("read after the end: %d, %v", n, err)
	}
	if n, err := f.ReadAt(buf[:5], 10); n != 5 || err != nil && !isEOF(err) {
		t.Errorf("read up to the end: %d, %v", n, err)
	}
}

func (s *suite) truncates(t *testing.T) {
	f := file(t, s.conn(t, tempPath(t), ""))
	if _, err := f.WriteAt(bytes.Repeat([]byte{'x'}, 1000), 0); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{1000, 500, 0, 300} {
		if err := f.Truncate(size); err != nil {
			t.Fatalf("truncate to %d: %v", size, err)
		}
		if got, err := f.Size(); got != size || err != nil {
			t.Errorf("size after truncate to %d: %d, %v", size, got, err)
		}
	}
	got := make([]byte, 300)
	if n, err := f.ReadAt(got, 0); n != len(got) || err != nil && !isEOF(err) || !bytes.Equal(got, make([]byte, 300)) {
		t.Errorf("read of what has grown: %d, %v, or not zeros", n, err)
	}
}

func (s *suite) closesTwice(t *testing.T) {
	c := s.conn(t, tempPath(t), "")
	setUp(t, c, "DELETE")
	if _, err := c.FileControl("main", sqlite3.FCNTL_NULL_IO); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("close after SQLITE_FCNTL_NULL_IO: %v", err)
	}
}

// isNotAtomicInBatches: with this capability SQLite does not count changes, and
// other connections don't notice them.
func (s *suite) isNotAtomicInBatches(t *testing.T) {
	f := file(t, s.conn(t, tempPath(t), ""))
	if f.DeviceCharacteristics()&vfs.IOCAP_BATCH_ATOMIC != 0 {
		t.Error("the file has SQLITE_IOCAP_BATCH_ATOMIC")
	}
}

func (s *suite) deletesAndFinds(t *testing.T) {
	path := tempPath(t)
	p, err := s.conn(t, path, "").FileControl("main", sqlite3.FCNTL_VFS_POINTER)
	if err != nil {
		t.Fatal(err)
	}
	v := p.(vfs.VFS)
	other := path + "-other"
	if err := v.Delete(other, false); err == nil {
		t.Error("deletes what is not there")
	}
	if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ok, err := v.Access(other, vfs.ACCESS_EXISTS); !ok || err != nil {
		t.Errorf("access: %v, %v", ok, err)
	}
	if ok, err := v.Access(other, vfs.ACCESS_READWRITE); !ok || err != nil {
		t.Errorf("access for writing: %v, %v", ok, err)
	}
	if err := v.Delete(other, true); err != nil {
		t.Errorf("delete: %v", err)
	}
	if ok, err := v.Access(other, vfs.ACCESS_EXISTS); ok || err != nil {
		t.Errorf("access after delete: %v, %v", ok, err)
	}
}

func (s *suite) followsLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // links need a privilege there
	}
	path := tempPath(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	setUp(t, s.conn(t, path, ""), "DELETE")
	c := s.conn(t, link, "")
	wantRows(t, c, "PRAGMA journal_mode=PERSIST", "persist")
	execute(t, c, "INSERT INTO t VALUES (1, 2, 3)")
	if got := c.Filename("main").String(); got != path {
		t.Errorf("the database is %s, want %s", got, path)
	}
	if _, err := os.Stat(path + "-journal"); err != nil {
		t.Errorf("the journal is not beside the database: %v", err)
	}
	if _, err := os.Stat(link + "-journal"); err == nil {
		t.Error("the journal is beside the link")
	}
}

func (s *suite) createsOnlyWhenAsked(t *testing.T) {
	path := tempPath(t)
	for _, params := range []string{"mode=ro", "mode=rw"} {
		if c, err := s.open(path, params); !errors.Is(err, sqlite3.CANTOPEN) {
			t.Errorf("open of nothing with %s: %v", params, err)
			c.Close()
		}
	}
	setUp(t, s.conn(t, path, "mode=rwc"), "DELETE")
	execute(t, s.conn(t, path, "mode=rw"), "INSERT INTO t VALUES (1, 2, 3)")
	ro := s.conn(t, path, "mode=ro")
	wantRows(t, ro, "SELECT a FROM t", "1")
	if err := ro.Exec("INSERT INTO t VALUES (2, 2, 3)"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("write to a read-only connection: %v", err)
	}
	if c, err := s.open(filepath.Dir(path), ""); !errors.Is(err, sqlite3.CANTOPEN) {
		t.Errorf("open of a directory: %v", err)
		c.Close()
	}
	if c, err := s.open(filepath.Join(path+"-none", "x.db"), ""); !errors.Is(err, sqlite3.CANTOPEN) {
		t.Errorf("open in no directory: %v", err)
		c.Close()
	}
}
