package wasmvfs_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/conformance/vfstest"
	"github.com/boule-db/boule/wasmvfs"
)

// TestNoAllocations: neither reading nor writing of a tracked database, nor of its
// journal, nor a lock, allocates more than the os VFS does, which is nothing.
func TestNoAllocations(t *testing.T) {
	c := open(t, wasmvfs.Name, tempPath(t), "")
	setUp(t, c, "DELETE")
	exec(t, c, "BEGIN; INSERT INTO t VALUES (1, 2, 3)")
	db, journal := fileOf(t, c), journalOf(t, c)
	if wasmvfs.TrackerOf(db) == nil {
		t.Fatal("the database is not tracked")
	}
	other := fileOf(t, open(t, wasmvfs.Name, tempPath(t), ""))
	inner := other.(vfs.FileUnwrap).Unwrap()
	page := make([]byte, 4096)
	cycle := func(f vfs.File) func() error {
		return func() error { return errors.Join(f.Lock(vfs.LOCK_SHARED), f.Unlock(vfs.LOCK_NONE)) }
	}
	if _, err := db.ReadAt(page, 0); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what string
		do   func() error
		most float64
	}{
		{"a read", func() error { return second(db.ReadAt(page, 0)) }, 0},
		{"a write", func() error { return second(db.WriteAt(page, 0)) }, 0},
		{"a read of the size", func() error { _, err := db.Size(); return err }, 0},
		{"a sync", func() error { return db.Sync(vfs.SYNC_NORMAL) }, 0},
		{"a write to the journal", func() error { return second(journal.WriteAt(page, 1<<16)) }, 0},
		{"a read of the journal", func() error { return second(journal.ReadAt(page, 1<<16)) }, 0},
		{"a read past the end", func() error { _, _ = journal.ReadAt(page, 1<<30); return nil }, 0},
		{"a lock", cycle(other), testing.AllocsPerRun(100, func() { _ = cycle(inner)() })},
	} {
		if err := test.do(); err != nil { // the first write of a transaction may allocate
			t.Fatalf("%s: %v", test.what, err)
		}
		if got := testing.AllocsPerRun(100, func() {
			if err := test.do(); err != nil {
				t.Errorf("%s: %v", test.what, err)
			}
		}); got > test.most {
			t.Errorf("%s allocates %v times, want %v", test.what, got, test.most)
		}
	}
}

// TestStatementsAllocateNoMore than on the os VFS.
func TestStatementsAllocateNoMore(t *testing.T) {
	if !syncsDirectories {
		return // there the os VFS opens journals for us too, and tells of files on the heap
	}
	plain := register(t, wasmvfs.New(nil, nil))
	for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST"} {
		for _, sql := range []string{"SELECT c FROM t WHERE a = 1", "SELECT sum(length(b)) FROM t", "UPDATE t SET c = c + 1"} {
			bytes := func(name string) uint64 {
				c := open(t, name, tempPath(t), "")
				exec(t, c, "PRAGMA synchronous=OFF")
				setUp(t, c, mode)
				exec(t, c, "INSERT INTO t VALUES (1, 2, 0); UPDATE t SET c = c + 1")
				s, _, err := c.Prepare(sql)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				return bytesPerRun(func() {
					for s.Step() {
					}
					if err := s.Reset(); err != nil {
						t.Error(err)
					}
				})
			}
			if theirs, ours := bytes("os"), bytes(plain); ours > theirs+256 {
				t.Errorf("%s: %s allocates %d bytes, on the os VFS %d", mode, sql, ours, theirs)
			}
			if !strings.HasPrefix(sql, "SELECT") {
				continue // the tracker's snapshot allocates
			}
			if theirs, ours := bytes("os"), bytes(wasmvfs.Name); ours > theirs+256 {
				t.Errorf("%s, tracked: %s allocates %d bytes, on the os VFS %d", mode, sql, ours, theirs)
			}
		}
	}
}

// bytesPerRun returns how much f allocates.
func bytesPerRun(f func()) uint64 {
	const runs = 50
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// BenchmarkFile compares single calls.
func BenchmarkFile(b *testing.B) {
	page := make([]byte, 4096)
	plain := register(b, wasmvfs.New(nil, nil))
	for _, v := range []struct{ label, name string }{{"os", "os"}, {"plain", plain}, {"boule", wasmvfs.Name}} {
		c := open(b, v.name, tempPath(b), "")
		setUp(b, c, "DELETE")
		p, err := c.FileControl("main", sqlite3.FCNTL_FILE_POINTER)
		if err != nil {
			b.Fatal(err)
		}
		f := p.(vfs.File)
		lock := func() error { return errors.Join(f.Lock(vfs.LOCK_SHARED), f.Unlock(vfs.LOCK_NONE)) }
		writes := open(b, v.name, tempPath(b), "")
		setUp(b, writes, "DELETE")
		exec(b, writes, "BEGIN; INSERT INTO t VALUES (1, 2, 3)")
		journal := journalOf(b, writes)
		for _, op := range []struct {
			name string
			do   func() error
		}{
			{"ReadAt", func() error { return second(f.ReadAt(page, 0)) }},
			{"WriteAt", func() error { return second(f.WriteAt(page, 4096)) }},
			{"Lock", lock},
			{"journal WriteAt", func() error { return second(journal.WriteAt(page, 1<<16)) }},
		} {
			b.Run(op.name+"/"+v.label, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := op.do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkStatement compares reads, and the bulk of a load, on the os VFS, on ours
// as a plain wrapper, and replicated. The three take turns, so that the ratios hold on
// a busy machine too.
func BenchmarkStatement(b *testing.B) {
	for _, test := range []struct{ name, pragmas, sql string }{
		{"point select", "", "SELECT c FROM t WHERE a = 977"},
		{"point select/PERSIST", "PRAGMA journal_mode=PERSIST", "SELECT c FROM t WHERE a = 977"},
		{"scan in the cache", "", "SELECT sum(length(b)) FROM t"},
		{"scan", "PRAGMA cache_size=10", "SELECT sum(length(b)) FROM t"},
		{"sort", "", "SELECT max(b) FROM (SELECT b FROM t ORDER BY b LIMIT -1 OFFSET 10)"},
		{
			"load", "PRAGMA cache_size=10; CREATE TABLE u (a, b)",
			"INSERT INTO u SELECT a, b FROM t LIMIT 300; CREATE INDEX i ON u (b); SELECT count(*) FROM u WHERE b > 'A'; DROP TABLE u; CREATE TABLE u (a, b)",
		},
	} {
		b.Run(test.name, func(b *testing.B) {
			takeTurns(b, func(c *sqlite3.Conn) func() error {
				exec(b, c, "PRAGMA synchronous=OFF")
				setUp(b, c, "DELETE")
				exec(b, c, test.pragmas)
				exec(b, c, "INSERT INTO t SELECT value, hex(randomblob(value % 700)), value % 13 FROM generate_series(1, 2000)")
				if strings.Contains(test.sql, ";") {
					return func() error { return c.Exec("BEGIN; " + test.sql + "; COMMIT") }
				}
				s, _, err := c.Prepare(test.sql)
				if err != nil {
					b.Fatal(err)
				}
				return func() error {
					for s.Step() {
					}
					return s.Reset()
				}
			})
		})
	}
}

// takeTurns times, on each of the VFSes, what prepare returns.
func takeTurns(b *testing.B, prepare func(*sqlite3.Conn) func() error) {
	names := []string{"os", register(b, wasmvfs.New(nil, nil)), wasmvfs.Name}
	labels := []string{"os", "plain", "replicated"}
	var do []func() error
	for _, name := range names {
		do = append(do, prepare(open(b, name, tempPath(b), "")))
	}
	times := make([][]time.Duration, len(do))
	for b.Loop() {
		for i, f := range do {
			began := time.Now()
			if err := f(); err != nil {
				b.Fatal(err)
			}
			times[i] = append(times[i], time.Since(began))
		}
	}
	var median, least [3]float64
	for i := range times {
		slices.Sort(times[i])
		median[i], least[i] = float64(times[i][len(times[i])/2]), float64(times[i][0])
		b.ReportMetric(median[i]/1e3, labels[i]+"-us")
	}
	b.ReportMetric(median[1]/median[0], "plain/os")
	b.ReportMetric(median[2]/median[0], "replicated/os")
	// Where nothing waits for a disk, the fastest run is the one that was not disturbed.
	b.ReportMetric(least[2]/least[0], "fastest-replicated/os")
}

// BenchmarkConnection tells what memory an open connection costs: of Go's heap after a
// read and after a write of each, and, on Linux, of what the process has resident. The
// latter is SQLite's own memory above all, and grows less while it is used again.
func BenchmarkConnection(b *testing.B) {
	const conns = 100
	plain := register(b, wasmvfs.New(nil, nil))
	for _, v := range []struct{ label, name string }{{"os", "os"}, {"plain", plain}, {"boule", wasmvfs.Name}} {
		b.Run(v.label, func(b *testing.B) {
			path := tempPath(b)
			first := open(b, v.name, path, "")
			exec(b, first, "PRAGMA synchronous=OFF")
			setUp(b, first, "DELETE")
			exec(b, first, "INSERT INTO t VALUES (1, 2, 3)")
			var read, wrote, rss float64
			for b.Loop() {
				var open []*sqlite3.Conn
				before, resident := heap(), residentBytes()
				for range conns {
					c, err := vfstest.On(v.name)(path, "")
					if err != nil {
						b.Fatal(err)
					}
					open = append(open, c)
					query(b, c, "SELECT * FROM t")
				}
				read = float64(heap()-before) / conns
				for _, c := range open {
					exec(b, c, "PRAGMA synchronous=OFF; UPDATE t SET c = c + 1")
				}
				wrote = float64(heap()-before) / conns
				rss = float64(residentBytes()-resident) / conns
				for _, c := range open {
					c.Close()
				}
			}
			b.ReportMetric(read, "B/read-conn")
			b.ReportMetric(wrote, "B/write-conn")
			b.ReportMetric(rss, "RSS/conn")
		})
	}
}

// residentBytes returns what the process has in memory, if the system tells.
func residentBytes() int64 {
	var size, resident int64
	text, _ := os.ReadFile("/proc/self/statm")
	_, _ = fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// heap returns how many bytes of it are in use.
func heap() int64 {
	var m runtime.MemStats
	for range 2 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkTransaction compares small transactions on the os VFS, on ours as a
// plain wrapper, and replicated. They take turns, as above.
func BenchmarkTransaction(b *testing.B) {
	for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST"} {
		for _, sync := range []string{"OFF", "FULL"} {
			b.Run(fmt.Sprintf("%s/%s", mode, sync), func(b *testing.B) {
				takeTurns(b, func(c *sqlite3.Conn) func() error {
					exec(b, c, "PRAGMA synchronous="+sync)
					setUp(b, c, mode)
					exec(b, c, "INSERT INTO t VALUES (1, 2, 0)")
					return func() error { return c.Exec("UPDATE t SET c = c + 1") }
				})
			})
		}
	}
}
