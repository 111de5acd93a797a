package wasmvfs_test

import (
	"fmt"
	osexec "os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/conformance/vfstest"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

func TestConformance(t *testing.T) { vfstest.Run(t, vfstest.On(wasmvfs.Name)) }

const fill = "INSERT INTO t SELECT value, hex(randomblob(value %% 700)), value %% 13 FROM generate_series(%d, %d)"

// setUp makes a database that is staged.
func setUp(t testing.TB, c *sqlite3.Conn, mode string) {
	t.Helper()
	wantRows(t, c, "PRAGMA journal_mode="+mode, strings.ToLower(mode))
	exec(t, c, "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b, c)")
}

// steps are what one connection does; after each, the database must be staged.
var steps = []string{
	fmt.Sprintf(fill, 1, 900),
	"CREATE INDEX i ON t (c, b)",
	"DELETE FROM t WHERE a % 3 = 0",
	"UPDATE t SET c = c + 1 WHERE a = 100",
	"BEGIN; DELETE FROM t; ROLLBACK",
	"PRAGMA cache_size=5; BEGIN; UPDATE t SET c = -c, b = b || 'x'; DELETE FROM t WHERE a < 100; ROLLBACK",
	"INSERT INTO t VALUES (10000, 2, 3)",
	"BEGIN; SAVEPOINT s; " + fmt.Sprintf(fill, 3001, 3200) + "; SAVEPOINT u; DELETE FROM t; ROLLBACK TO u; RELEASE s; COMMIT",
	"DELETE FROM t WHERE a > 500",
	"VACUUM",
	"BEGIN; " + fmt.Sprintf(fill, 20001, 20300) + "; ROLLBACK",
	"PRAGMA auto_vacuum=INCREMENTAL; VACUUM",
	"DELETE FROM t WHERE a > 50; PRAGMA incremental_vacuum",
	"UPDATE t SET b = zeroblob(200000) WHERE a = 50",
	"PRAGMA user_version=7",
	"DROP TABLE t; CREATE TABLE t (a, b, c); INSERT INTO t VALUES (1, 2, 3)",
}

func TestStagesWhatIsCommitted(t *testing.T) {
	for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST", "MEMORY"} {
		for size := 512; size <= 65536; size *= 2 {
			for _, locking := range []string{"NORMAL", "EXCLUSIVE"} {
				if (locking == "EXCLUSIVE" || testing.Short()) && size != 512 && size != 4096 && size != 65536 {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d/%s", mode, size, locking), func(t *testing.T) {
					path := tempPath(t)
					c := open(t, wasmvfs.Name, path, "")
					exec(t, c, "PRAGMA synchronous=OFF; PRAGMA locking_mode="+locking+"; PRAGMA page_size="+strconv.Itoa(size))
					setUp(t, c, mode)
					for _, step := range steps {
						exec(t, c, step)
						if locking == "EXCLUSIVE" && strings.HasSuffix(step, "ROLLBACK") {
							continue // without a commit nothing happens: the snapshot is still a true one
						}
						wantStaged(t, path)
						if t.Failed() {
							t.Fatalf("after %s", step)
						}
					}
					wantRows(t, c, "PRAGMA integrity_check", "ok")
					wantRows(t, c, "PRAGMA page_size", strconv.Itoa(size))
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
					wantStaged(t, path)
				})
			}
		}
	}
}

func TestStagesAttachedDatabases(t *testing.T) {
	for _, locking := range []string{"NORMAL", "EXCLUSIVE"} {
		t.Run(locking, func(t *testing.T) {
			path := tempPath(t)
			c := open(t, wasmvfs.Name, path, "")
			exec(t, c, "PRAGMA locking_mode="+locking)
			setUp(t, c, "DELETE")
			exec(t, c, "ATTACH '"+path+"2' AS x; CREATE TABLE x.t (a, b, c)")
			for range 3 {
				exec(t, c, "BEGIN; INSERT INTO main.t VALUES (NULL, 2, 3); INSERT INTO x.t VALUES (1, 2, 3); COMMIT")
				wantStaged(t, path)
				wantStaged(t, path+"2")
			}
			exec(t, c, "DETACH x")
			wantStaged(t, path+"2")
		})
	}
}

// TestStagesWhatProcessesCommit has processes write at the same time, ours and
// stock ones, and looks at what is staged after all.
func TestStagesWhatProcessesCommit(t *testing.T) {
	const each = 30
	const insert = "INSERT INTO t (b, c) VALUES (hex(randomblob(3000)), 1)"
	shell, err := osexec.LookPath("sqlite3")
	haveShell := err == nil
	for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST"} {
		t.Run(mode, func(t *testing.T) {
			path := tempPath(t)
			c := open(t, wasmvfs.Name, path, "")
			setUp(t, c, mode)
			var wg sync.WaitGroup
			writers := 3
			for range 2 {
				wg.Go(func() {
					if out, err := childCommand(t, "insert", path, insert, strconv.Itoa(each)).CombinedOutput(); err != nil {
						t.Errorf("child: %v\n%s", err, out)
					}
				})
			}
			if haveShell {
				writers++
				wg.Go(func() {
					for range each {
						if out, err := osexec.Command(shell, "-cmd", ".timeout 30000", path, insert).CombinedOutput(); err != nil {
							t.Errorf("%s: %v\n%s", shell, err, out)
						}
					}
				})
			}
			for range each {
				if err := c.Exec(insert); err != nil {
					t.Error(err)
				}
			}
			wg.Wait()
			wantRows(t, c, "SELECT count(*) FROM t", strconv.Itoa(writers*each))
			wantRows(t, c, "PRAGMA integrity_check", "ok")

			// The last writer may have been a stock one, which stages nothing.
			eager := open(t, wasmvfs.Name, path, "boule_eager=1")
			wantRows(t, eager, "SELECT count(*) FROM t", strconv.Itoa(writers*each))
			wantStaged(t, path)
		})
	}
}

// TestNoticesOthers: what a stock writer did is staged with our next commit.
func TestNoticesOthers(t *testing.T) {
	path := tempPath(t)
	c := open(t, wasmvfs.Name, path, "")
	setUp(t, c, "DELETE")
	exec(t, c, fmt.Sprintf(fill, 1, 1000))
	wantStaged(t, path)
	other := open(t, "os", path, "")
	exec(t, other, "UPDATE t SET b = upper(b) || 'y', c = 7 WHERE a % 50 = 0")
	exec(t, c, "INSERT INTO t VALUES (5000, 2, 3)")
	wantStaged(t, path)
}

func TestCrashIsNotStaged(t *testing.T) {
	path := tempPath(t)
	c := open(t, wasmvfs.Name, path, "")
	setUp(t, c, "DELETE")
	exec(t, c, fmt.Sprintf(fill, 1, 1000))
	wantStaged(t, path)
	before := query(t, c, "SELECT sum(c) FROM t")

	cmd := childCommand(t, "crash", path)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "crashing") {
		t.Fatalf("child: %v\n%s", err, out)
	}
	got, err := staged(path, targets[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	copied := tempPath(t)
	writeFile(t, copied, got)
	wantRows(t, open(t, "os", copied, ""), "SELECT sum(c) FROM t", before)

	wantRows(t, c, "SELECT sum(c) FROM t", before) // rolls back
	wantRows(t, c, "PRAGMA integrity_check", "ok")
	exec(t, c, "INSERT INTO t VALUES (5000, 2, 3)")
	wantStaged(t, path)
}

// TestPlain has no tracker, as on platforms where the spool can't work.
func TestPlain(t *testing.T) {
	name := register(t, wasmvfs.New(nil, nil))
	for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST", "MEMORY"} {
		path := tempPath(t)
		c := open(t, name, path, "")
		setUp(t, c, mode)
		for _, step := range steps {
			exec(t, c, step)
		}
		wantRows(t, c, "PRAGMA integrity_check", "ok")
		wantRows(t, open(t, "os", path, ""), "SELECT a FROM t", "1")
		if h, ok := manager.Health(path); ok {
			t.Errorf("the database is tracked: %v", h)
		}
	}
}

func TestWALWorksUnreplicated(t *testing.T) {
	if !vfs.SupportsSharedMemory {
		return
	}
	path := tempPath(t)
	c := open(t, wasmvfs.Name, path, "")
	setUp(t, c, "WAL")
	exec(t, c, fmt.Sprintf(fill, 1, 1000))
	exec(t, c, "PRAGMA wal_checkpoint(TRUNCATE)")
	exec(t, c, fmt.Sprintf(fill, 1001, 1100))
	other := open(t, wasmvfs.Name, path, "")
	wantRows(t, other, "SELECT count(*) FROM t", "1100")
	if h, ok := manager.Health(path); !ok || h.State != tracker.StateWAL {
		t.Errorf("state of a database in WAL mode is %q, want %q", h.State, tracker.StateWAL)
	}
	wantRows(t, c, "PRAGMA integrity_check", "ok")

	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	wantRows(t, c, "PRAGMA journal_mode=DELETE", "delete")
	exec(t, c, "INSERT INTO t VALUES (5000, 2, 3)")
	wantStaged(t, path)
}

func TestReplicaSurvivesOwnRollback(t *testing.T) {
	// A transaction that went to the file and back leaves other bytes in free
	// pages; the incremental snapshot that follows must have them.
	path := tempPath(t)
	c := open(t, wasmvfs.Name, path, "")
	setUp(t, c, "PERSIST")
	exec(t, c, fmt.Sprintf(fill, 1, 1500))
	for i := range 3 {
		exec(t, c, "PRAGMA cache_size=3")
		exec(t, c, fmt.Sprintf("BEGIN; DELETE FROM t WHERE a %% 2 = 0; "+fill+"; ROLLBACK", 4000+1000*i, 4600+1000*i))
		wantStaged(t, path)
		exec(t, c, fmt.Sprintf("UPDATE t SET c = c + 1 WHERE a = %d", 1+i))
		wantStaged(t, path)
	}
}
