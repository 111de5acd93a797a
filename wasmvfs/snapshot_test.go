package wasmvfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/wasmvfs"
)

// image is a snapshot in memory.
type image struct {
	data    []byte
	ctime   time.Time
	updated time.Time
	broken  func(ctx context.Context) error // fails reads
}

func (i *image) ReadAtContext(ctx context.Context, p []byte, off int64) (int, error) {
	if i.broken != nil {
		if err := i.broken(ctx); err != nil {
			return 0, err
		}
	}
	return bytes.NewReader(i.data).ReadAt(p, off)
}
func (i *image) Size() int64           { return int64(len(i.data)) }
func (i *image) SourceTime() time.Time { return i.ctime }
func (i *image) Updated() time.Time    { return i.updated }

// source is a replica in memory: loaded is what this process has, stored what
// the store has.
type source struct {
	mu             sync.Mutex
	loaded, stored *image
	err            error
	fetches        []wasmvfs.Level
	prefetches     int
	opens, closes  int
}

func (s *source) Latest(ctx context.Context, level wasmvfs.Level) (wasmvfs.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if level != wasmvfs.Loaded {
		s.fetches = append(s.fetches, level)
		if s.err != nil {
			return nil, s.err
		}
		s.loaded = s.stored
	}
	if s.loaded == nil {
		return nil, nil
	}
	return s.loaded, nil
}

func (s *source) Prefetch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prefetches++
}

func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closes++
	return errors.New("nobody wants to know")
}

// store puts a new state into the store.
func (s *source) store(data []byte) *image {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Unix(1_700_000_000+int64(len(data)), 123456789)
	if s.stored != nil {
		now = s.stored.ctime.Add(time.Second)
	}
	s.stored = &image{data: data, ctime: now, updated: now.Add(time.Hour)}
	return s.stored
}

// replica registers a VFS that serves s under any name.
func replica(t testing.TB, s *source) string {
	t.Helper()
	return register(t, wasmvfs.NewSnapshot(func(ctx context.Context, uri string) (wasmvfs.SnapshotSource, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			return nil, s.err
		}
		s.opens++
		s.loaded = s.stored
		return s, nil
	}, nil))
}

// origin is a database that is to be replicated.
type origin struct {
	t    testing.TB
	conn *sqlite3.Conn
	path string
}

func newOrigin(t testing.TB, pragmas string) *origin {
	path := tempPath(t)
	c := open(t, "os", path, "")
	exec(t, c, "PRAGMA synchronous=OFF;"+pragmas)
	setUp(t, c, "DELETE")
	return &origin{t, c, path}
}

// after executes the statement and returns the database as it is then.
func (o *origin) after(sql string) []byte {
	o.t.Helper()
	exec(o.t, o.conn, sql)
	data, err := os.ReadFile(o.path)
	if err != nil {
		o.t.Fatal(err)
	}
	return data
}

func TestSnapshotNames(t *testing.T) {
	var got string
	name := register(t, wasmvfs.NewSnapshot(func(ctx context.Context, uri string) (wasmvfs.SnapshotSource, error) {
		got = uri
		return nil, errors.New("no such replica")
	}, nil))
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{
		"boule://host/a/b.db":              "boule://host/a/b.db",
		"boule:///a/../b.db":               "boule:///a/../b.db",
		"s3://bucket.region/key":           "s3://bucket.region/key",
		"http://host:80/x%2Fy":             "http://host:80/x/y",
		"https://host/x%253Fy":             "https://host/x%3Fy",
		"file:///a/manifest":               "file:///a/manifest",
		"manifest":                         filepath.Join(cwd, "manifest"),
		filepath.Join(cwd, "x", "..", "y"): filepath.Join(cwd, "y"),
		"ftp://host/x":                     filepath.Join(cwd, "ftp:", "host", "x"),
	} {
		_, err := sqlite3.Open("file:" + uri + "?vfs=" + name)
		if !errors.Is(err, sqlite3.CANTOPEN) || !strings.Contains(err.Error(), "no such replica") {
			t.Errorf("open of %s: %v", uri, err)
		}
		if got != want {
			t.Errorf("open of %s asks for %s, want %s", uri, got, want)
		}
	}
}

func TestSnapshotIsTheDatabase(t *testing.T) {
	for size := 512; size <= 65536; size *= 2 {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			o := newOrigin(t, "PRAGMA page_size="+strconv.Itoa(size))
			s := &source{}
			s.store(o.after(fmt.Sprintf(fill, 1, 500) + "; CREATE INDEX i ON t (c, b)"))
			c := open(t, replica(t, s), "boule://h/x", "")
			for _, sql := range []string{"SELECT count(*) FROM t", "SELECT sum(a) FROM t", "SELECT group_concat(b) FROM t WHERE c = 7", "PRAGMA page_size"} {
				wantRows(t, c, sql, query(t, o.conn, sql))
			}
			wantRows(t, c, "PRAGMA integrity_check", "ok")
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if s.opens != 1 || s.closes != 1 {
				t.Errorf("%d opens, %d closes", s.opens, s.closes)
			}
		})
	}
}

func TestSnapshotIsReadOnly(t *testing.T) {
	o := newOrigin(t, "")
	s := &source{}
	s.store(o.after(fmt.Sprintf(fill, 1, 500)))
	c := open(t, replica(t, s), "boule://h/x", "")
	for _, sql := range []string{
		"INSERT INTO t VALUES (1000, 2, 3)",
		"BEGIN IMMEDIATE; UPDATE t SET c = 1",
		"ROLLBACK; BEGIN EXCLUSIVE; DELETE FROM t",
		"ROLLBACK; CREATE TABLE u (a)",
		"PRAGMA user_version=5",
		"VACUUM",
		"REINDEX",
	} {
		err := c.Exec(sql)
		if sql == "REINDEX" && err == nil {
			continue // there is nothing to do
		}
		if !errors.Is(err, sqlite3.READONLY) || !strings.Contains(err.Error(), "attempt to write a readonly database") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if !c.GetAutocommit() {
		exec(t, c, "ROLLBACK")
	}
	wantRows(t, c, "PRAGMA journal_mode=TRUNCATE", "truncate") // of no consequence
	wantRows(t, c, "PRAGMA journal_mode=WAL", "truncate")
	exec(t, c, "PRAGMA temp_store=FILE; PRAGMA cache_size=2; PRAGMA temp.cache_size=2")
	exec(t, c, "CREATE TEMP TABLE u AS SELECT * FROM t; UPDATE u SET c = c + 1; DELETE FROM u WHERE a > 400")
	wantRows(t, c, "SELECT count(*) FROM u", "400")
	wantRows(t, c, "SELECT count(DISTINCT x) FROM (SELECT hex(randomblob(200)) AS x FROM generate_series(1, 20000) ORDER BY x DESC)", "20000")
	out := filepath.ToSlash(tempPath(t))
	exec(t, c, "VACUUM INTO 'file:"+out+"?vfs=os'")
	wantRows(t, open(t, "os", out, ""), "SELECT count(*) FROM t", "500")
}

func TestSnapshotIgnoresJournals(t *testing.T) {
	o := newOrigin(t, "")
	s := &source{}
	s.store(o.after("INSERT INTO t VALUES (1, 2, 3)"))
	path := tempPath(t)
	for _, suffix := range []string{"", "-journal", "-wal"} {
		writeFile(t, path+suffix, bytes.Repeat([]byte("\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"), 512))
	}
	c := open(t, replica(t, s), path, "")
	wantRows(t, c, "SELECT a FROM t", "1")
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 3 {
		t.Errorf("files are %v, %v", left, err)
	}
}

func TestSnapshotOfWALMode(t *testing.T) {
	if !vfs.SupportsSharedMemory {
		return
	}
	o := newOrigin(t, "")
	exec(t, o.conn, "PRAGMA journal_mode=WAL; INSERT INTO t VALUES (1, 2, 3)")
	s := &source{}
	data := o.after("PRAGMA wal_checkpoint(TRUNCATE)")
	if data[18] != 2 {
		t.Fatal("the database is not in WAL mode")
	}
	s.store(data)
	c := open(t, replica(t, s), "boule://h/x", "")
	wantRows(t, c, "SELECT a FROM t", "1")
	wantRows(t, c, "PRAGMA integrity_check", "ok")
}

func TestSnapshotNotReadable(t *testing.T) {
	o := newOrigin(t, "")
	s := &source{}
	img := s.store(o.after(fmt.Sprintf(fill, 1, 500)))
	c := open(t, replica(t, s), "boule://h/x", "")
	exec(t, c, "PRAGMA cache_size=1")
	wantRows(t, c, "SELECT count(*) FROM t", "500")
	img.broken = func(context.Context) error { return errors.New("a chunk is missing") }
	if _, err := rows(c, "SELECT b FROM t"); !errors.Is(err, sqlite3.IOERR_READ) {
		t.Errorf("read of what is missing: %v", err)
	}
	img.broken = func(context.Context) error { return io.EOF }
	if _, err := rows(c, "SELECT b FROM t"); !errors.Is(err, sqlite3.IOERR_READ) {
		t.Errorf("read of what is too short: %v", err)
	}

	// What interrupts the statement interrupts its reads.
	ctx, cancel := context.WithCancel(context.Background())
	img.broken = func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	old := c.SetInterrupt(ctx)
	if _, err := rows(c, "SELECT b FROM t"); !errors.Is(err, sqlite3.INTERRUPT) {
		t.Errorf("interrupted read: %v", err)
	}
	c.SetInterrupt(old)
	img.broken = nil
	wantRows(t, c, "SELECT count(*) FROM t", "500")
}

func TestSnapshotOfNothing(t *testing.T) {
	s := &source{}
	s.store(nil)
	c := open(t, replica(t, s), "boule://h/x", "")
	wantRows(t, c, "SELECT count(*) FROM sqlite_schema", "0")

	s = &source{}
	if _, err := sqlite3.Open("file:boule://h/x?vfs=" + replica(t, s)); !errors.Is(err, sqlite3.CANTOPEN) {
		t.Errorf("open of a replica without a snapshot: %v", err)
	}
	if s.opens != s.closes {
		t.Errorf("%d opens, %d closes", s.opens, s.closes)
	}
}

func TestSnapshotFile(t *testing.T) {
	o := newOrigin(t, "")
	s := &source{}
	data := o.after(fmt.Sprintf(fill, 1, 100))
	s.store(data)
	c := open(t, replica(t, s), "boule://h/x", "")
	f := fileOf(t, c)
	size := int64(len(data))
	buf := make([]byte, 200)
	for _, off := range []int64{0, 10, 17, 18, 19, 20, 100, size - 200, size - 100, size - 1, size, size + 1000} {
		n, err := f.ReadAt(buf, off)
		want := data[min(off, size):min(off+200, size)]
		if n != len(want) || !bytes.Equal(buf[:n], want) {
			t.Errorf("read at %d: %d bytes or others, want %d", off, n, len(want))
		}
		if want := io.EOF; n == len(buf) && err != nil || n < len(buf) && err != want { //nolint:errorlint // as go-sqlite3 asks
			t.Errorf("read at %d of %d: %v", off, size, err)
		}
	}
	for what, err := range map[string]error{
		"write":    second(f.WriteAt(buf, 0)),
		"truncate": f.Truncate(0),
		"sync":     f.Sync(vfs.SYNC_FULL),
		"reserve":  f.Lock(vfs.LOCK_RESERVED),
	} {
		if !errors.Is(err, sqlite3.READONLY) {
			t.Errorf("%s: %v, want READONLY", what, err)
		}
	}
	if reserved, err := f.CheckReservedLock(); !reserved || err != nil {
		t.Errorf("reserved: %v, %v; else SQLite takes journals for hot", reserved, err)
	}
	if f.DeviceCharacteristics()&vfs.IOCAP_IMMUTABLE != 0 {
		t.Error("the file says that it never changes")
	}
	if err := f.Lock(vfs.LOCK_SHARED); err != nil {
		t.Error(err)
	}
	if got := f.(vfs.FileLockState).LockState(); got != vfs.LOCK_SHARED {
		t.Errorf("lock state %d", got)
	}
	if err := f.Unlock(vfs.LOCK_NONE); err != nil {
		t.Error(err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil || s.closes != 1 {
		t.Errorf("close twice: %v, %d closes", err, s.closes)
	}
}

func second(_ int, err error) error { return err }
