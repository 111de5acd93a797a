package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// prepared makes the test's database and returns a Replicator of its configuration.
func prepared(t *testing.T, layout target.Layout, mode string, bytes int64) (r *boule.Replicator, dir, db string) {
	t.Helper()
	dir = t.TempDir()
	db = filepath.Join(dir, "app.db")
	r, err := boule.New(config(dir, layout))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(t.Context()) })
	conn, err := r.OpenConn(t.Context(), db, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(`PRAGMA journal_mode=` + mode + `;` + ddl); err != nil {
		t.Fatal(err)
	}
	if err := fill(conn, bytes); err != nil {
		t.Fatal(err)
	}
	return r, dir, db
}

// size is how large the databases are, in MiB: BOULE_E2E_MIB, by default small.
func size(t *testing.T, standard int64) int64 {
	t.Helper()
	if s := os.Getenv("BOULE_E2E_MIB"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("BOULE_E2E_MIB: %v", err)
		}
		standard = n
	}
	return standard << 20
}

// Four processes write at once, in each journal mode and to each layout; what is flushed then is the
// database, byte for byte.
func TestFourWriters(t *testing.T) {
	for _, c := range []struct {
		mode   string
		layout target.Layout
	}{{"DELETE", target.LayoutChunks}, {"TRUNCATE", target.LayoutChunks}, {"PERSIST", target.LayoutChunks}, {"DELETE", target.LayoutLog}} {
		t.Run(c.mode+" "+string(c.layout), func(t *testing.T) {
			mode, layout := c.mode, c.layout
			r, dir, db := prepared(t, layout, mode, size(t, 8))
			var writers []*exec.Cmd
			for range 4 {
				writers = append(writers, startWriter(t, layout, dir, db, mode, seconds(t, 2)))
			}
			for i, w := range writers {
				if err := w.Wait(); err != nil {
					t.Fatalf("writer %d: %v", i, err)
				}
			}
			if err := r.Flush(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			checkRestore(t, layout, dir, db)
			t.Logf("%s documents", query1(t, db, `SELECT count(*) FROM doc`))
		})
	}
}

// A writer is killed at some moment; one more transaction and a flush, and the
// restored database is the source.
func TestKilledWriters(t *testing.T) { layouts(t, testKilledWriters) }

func testKilledWriters(t *testing.T, layout target.Layout) {
	modes := []string{"DELETE", "TRUNCATE", "PERSIST"}
	r, dir, db := prepared(t, layout, "DELETE", size(t, 2))
	rounds := 6
	if testing.Short() {
		rounds = 3
	}
	for i := range rounds {
		mode := modes[i%len(modes)]
		w := startWriter(t, layout, dir, db, mode, time.Minute)
		wait := time.Duration(rand.IntN(300)) * time.Millisecond
		timer := time.NewTimer(wait)
		<-timer.C
		if err := w.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = w.Wait() // killed
		conn, err := r.OpenConn(t.Context(), db, sqlite3.OPEN_READWRITE)
		if err != nil {
			t.Fatal(err)
		}
		if err := transaction(conn, 1, i); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Flush(t.Context(), db); err != nil {
			t.Fatalf("round %d (%s, killed after %v): %v", i, mode, wait, err)
		}
		checkRestore(t, layout, dir, db)
	}
}

// The stock sqlite3 program writes at the same time, without a problem of locks,
// and the next snapshot has what it wrote.
func TestStockWriterBeside(t *testing.T) {
	stock, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Log("no stock sqlite3 on the PATH: nothing to compare with")
		return
	}
	r, dir, db := prepared(t, target.DefaultLayout, "DELETE", size(t, 2))
	writer := startWriter(t, target.DefaultLayout, dir, db, "DELETE", 10*time.Minute)
	wrote := 0
	// Between two tries the stock program sleeps up to 100 ms, and this writer never does: so it is for the program to say when it has waited too long.
	for end := time.Now().Add(seconds(t, 2)); wrote < 3 || time.Now().Before(end); wrote++ {
		out, err := exec.Command(stock, "-cmd", ".timeout 60000", db,
			fmt.Sprintf(`INSERT INTO doc(writer, n, title, body) VALUES (-1, %d, 'by the stock program', 'x'); SELECT count(*) FROM doc WHERE writer = -1`, wrote)).CombinedOutput()
		if err != nil || string(out) != strconv.Itoa(wrote+1)+"\n" {
			t.Fatalf("stock sqlite3, after %d transactions: %v\n%s", wrote, err, out)
		}
	}
	if err := writer.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := writer.Wait(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(stock, db, `UPDATE doc SET title = 'changed behind the back' WHERE writer = -1`).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := r.Flush(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	checkRestore(t, target.DefaultLayout, dir, db)
}
