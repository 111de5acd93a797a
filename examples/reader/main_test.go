package main

import (
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// The reader sees what was written after it had started.
func TestFollowSeesNewSnapshots(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	path, store := filepath.Join(dir, "app.db"), "file://"+filepath.ToSlash(filepath.Join(dir, "store"))
	tgt, err := target.FromURL(store)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &boule.Config{Targets: []target.Target{tgt}, SpoolDir: filepath.Join(dir, "spool")}
	r, err := boule.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(ctx)
	db, err := r.OpenDB(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write := func(sql string) {
		t.Helper()
		if _, err := db.ExecContext(ctx, sql); err != nil {
			t.Fatal(err)
		}
		if err := r.Flush(ctx, path); err != nil {
			t.Fatal(err)
		}
	}
	write(`CREATE TABLE t(i); INSERT INTO t VALUES (1)`)

	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := follow(ctx, pw, store, boule.SourceRef("", boule.CanonicalPath(path)), `SELECT sum(i) FROM t`, 10*time.Millisecond, 0)
		pw.CloseWithError(err)
		done <- err
	}()
	buf := make([]byte, 64)
	for want := 1; want <= 3; want++ {
		for {
			n, err := pr.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
			if err != nil {
				t.Fatal(err)
			}
			if got == want {
				break
			}
			if got > want {
				t.Fatalf("saw %d before %d", got, want)
			}
		}
		write(`UPDATE t SET i = i + 1`)
	}
	pr.Close()
	if err := <-done; err != nil && !strings.Contains(err.Error(), "closed pipe") {
		t.Fatal(err)
	}
}
