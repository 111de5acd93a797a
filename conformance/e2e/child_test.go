package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// A writer is a child process: this test binary again, told by its environment
// to write to a database until it is stopped.
const (
	envChild  = "BOULE_E2E_CHILD"  // path of the database, or what else the child is
	envMode   = "BOULE_E2E_MODE"   // journal mode
	envDir    = "BOULE_E2E_DIR"    // where spool and store are
	envLayout = "BOULE_E2E_LAYOUT" // of the store
	envFor    = "BOULE_E2E_FOR"    // how long to write
)

// children are those that are no writers.
var children = map[string]func() error{}

// layouts runs a test for each layout of a store.
func layouts(t *testing.T, test func(t *testing.T, layout target.Layout)) {
	for _, layout := range []target.Layout{target.LayoutChunks, target.LayoutLog} {
		t.Run(string(layout), func(t *testing.T) { test(t, layout) })
	}
}

func config(dir string, layout target.Layout) *boule.Config {
	return &boule.Config{
		Hostname: "e2e.example.com",
		SpoolDir: filepath.Join(dir, "spool"),
		Targets:  []target.Target{{File: &target.File{Directory: filepath.Join(dir, "store")}, Layout: layout}},
		CacheDir: wasmCache,
	}
}

// ddl makes a database with blobs, indexes, full text and triggers.
const ddl = `
CREATE TABLE IF NOT EXISTS doc(id INTEGER PRIMARY KEY, writer INTEGER, n INTEGER, title TEXT, body BLOB);
CREATE INDEX IF NOT EXISTS doc_writer ON doc(writer, n);
CREATE INDEX IF NOT EXISTS doc_title ON doc(title);
CREATE VIRTUAL TABLE IF NOT EXISTS txt USING fts5(title, content='doc', content_rowid='id');
CREATE TABLE IF NOT EXISTS total(writer INTEGER PRIMARY KEY, docs INTEGER, bytes INTEGER);
CREATE TRIGGER IF NOT EXISTS doc_ai AFTER INSERT ON doc BEGIN
  INSERT INTO txt(rowid, title) VALUES (new.id, new.title);
  INSERT INTO total VALUES (new.writer, 1, length(new.body))
    ON CONFLICT(writer) DO UPDATE SET docs = docs + 1, bytes = bytes + length(new.body);
END;
CREATE TRIGGER IF NOT EXISTS doc_ad AFTER DELETE ON doc BEGIN
  INSERT INTO txt(txt, rowid, title) VALUES ('delete', old.id, old.title);
  UPDATE total SET docs = docs - 1, bytes = bytes - length(old.body) WHERE writer = old.writer;
END;`

// fill grows the database to about that many bytes in few transactions.
func fill(conn *sqlite3.Conn, bytes int64) error {
	const row = 20 << 10
	return conn.Exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)
		INSERT INTO doc(writer, n, title, body) SELECT 0, i, 'document number '||i||' of the beginning', randomblob(%d) FROM n`,
		bytes/row, row))
}

// transaction is one of a writer's: inserts, updates, deletes, sometimes much and
// sometimes rolled back.
func transaction(conn *sqlite3.Conn, writer, n int) error {
	if err := conn.Exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	err := func() error {
		for i := range 1 + rand.IntN(4) {
			err := conn.Exec(fmt.Sprintf(`INSERT INTO doc(writer, n, title, body) VALUES (%d, %d, 'title %d by %d', randomblob(%d))`,
				writer, n*10+i, n, writer, 100+rand.IntN(3000)))
			if err != nil {
				return err
			}
		}
		switch rand.IntN(6) {
		case 0:
			return conn.Exec(`DELETE FROM doc WHERE id IN (SELECT id FROM doc WHERE writer > 0 ORDER BY random() LIMIT 3)`)
		case 1:
			return conn.Exec(fmt.Sprintf(`UPDATE doc SET body = randomblob(%d) WHERE writer > 0 AND id = (SELECT max(id) FROM doc) - %d`,
				rand.IntN(9000), rand.IntN(200)))
		}
		return nil
	}()
	if err != nil || rand.IntN(20) == 0 {
		return errors.Join(err, conn.Exec(`ROLLBACK`))
	}
	return conn.Exec(`COMMIT`)
}

// child is the main function of a writer, which goes on for some time, or until it is interrupted.
func child() error {
	duration, err := time.ParseDuration(os.Getenv(envFor))
	if err != nil {
		return err
	}
	wasmCache = os.Getenv("BOULE_E2E_WASM")
	ctx := context.Background()
	r, err := boule.New(config(os.Getenv(envDir), target.Layout(os.Getenv(envLayout))))
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	conn, err := r.OpenConn(ctx, os.Getenv(envChild), sqlite3.OPEN_READWRITE)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Exec(`PRAGMA journal_mode=` + os.Getenv(envMode)); err != nil {
		return err
	}
	stopped, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	fmt.Println("ready")
	for end, n := time.Now().Add(duration), 0; stopped.Err() == nil && time.Now().Before(end); n++ {
		if err := transaction(conn, os.Getpid(), n); err != nil {
			return fmt.Errorf("transaction %d: %w", n, err)
		}
	}
	return nil
}

// startWriter starts a child and returns when it is about to write.
func startWriter(t *testing.T, layout target.Layout, dir, db, mode string, duration time.Duration) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envChild+"="+db, envMode+"="+mode, envDir+"="+dir, envLayout+"="+string(layout),
		envFor+"="+duration.String(), "BOULE_E2E_WASM="+wasmCache)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("writer does not start: %v", err)
	}
	return cmd
}

// seconds is how long a test may write: short by default, a parameter for more.
func seconds(t *testing.T, standard float64) time.Duration {
	t.Helper()
	if s := os.Getenv("BOULE_E2E_SECONDS"); s != "" {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatalf("BOULE_E2E_SECONDS: %v", err)
		}
		standard = f
	}
	return time.Duration(standard * float64(time.Second))
}

func sum(t *testing.T, name string) [sha256.Size]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// checkRestore restores the database and compares: the same bytes, sound, and
// consistent in itself.
func checkRestore(t *testing.T, layout target.Layout, dir, db string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "restored.db")
	_, err := boule.Restore(t.Context(), boule.SourceRef("", boule.CanonicalPath(db)), out, config(dir, layout), nil)
	if err != nil {
		t.Fatal(err)
	}
	if sum(t, db) != sum(t, out) {
		t.Fatal("restored bytes differ from the source")
	}
	for query, want := range map[string]string{
		`PRAGMA integrity_check`: "ok",
		`SELECT count(*) FROM (SELECT writer, count(*) n, sum(length(body)) b FROM doc GROUP BY writer) JOIN total USING (writer) WHERE n <> docs`: "0",
	} {
		if got := query1(t, out, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// query1 asks a database for one value, without replication.
func query1(t *testing.T, name, query string) string {
	t.Helper()
	db, err := boule.Open(t.Context(), name, &boule.Config{CacheDir: wasmCache})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var s string
	if err := db.QueryRowContext(t.Context(), query).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}
