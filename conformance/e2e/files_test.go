//go:build linux || darwin

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

const envFiles = "BOULE_E2E_FILES" // how many files a child of kind "files" may have open

func init() { children["files"] = fewFiles }

// fewFiles opens many databases one after the other, and then as many at once as there are file descriptors for, nearly, and writes to all of them.
func fewFiles() error {
	limit, err := strconv.Atoi(os.Getenv(envFiles))
	if err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}); err != nil {
		return err
	}
	wasmCache = os.Getenv("BOULE_E2E_WASM")
	dir := os.Getenv(envDir)
	ctx := context.Background()
	r, err := boule.New(config(dir, target.DefaultLayout))
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	openAndWrite := func(kind string, i int) (*sqlite3.Conn, error) {
		conn, err := r.OpenConn(ctx, filepath.Join(dir, fmt.Sprintf("%s%d.db", kind, i)), sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
		if err != nil {
			return nil, err
		}
		return conn, conn.Exec(`CREATE TABLE t(x); INSERT INTO t VALUES (1)`)
	}
	for i := range 2 * limit {
		conn, err := openAndWrite("seq", i)
		if err != nil {
			return fmt.Errorf("database %d, one after the other: %w", i, err)
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	var conns []*sqlite3.Conn
	for i := range limit - 40 { // the process has some itself, and needs some while it uploads
		conn, err := openAndWrite("open", i)
		if err != nil {
			return fmt.Errorf("database %d, at once: %w", i, err)
		}
		conns = append(conns, conn)
	}
	for round := range 3 {
		for i, conn := range conns {
			if err := conn.Exec(`INSERT INTO t VALUES (2)`); err != nil {
				return fmt.Errorf("write %d to database %d: %w", round, i, err)
			}
		}
	}
	errs := []error{}
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// TestFewFiles has programs that need nearly all file descriptors that they may have: what replication keeps open for later must not be missing then.
func TestFewFiles(t *testing.T) {
	const limit = 96
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), envChild+"=files", envDir+"="+dir, envFiles+"="+strconv.Itoa(limit), "BOULE_E2E_WASM="+wasmCache)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := boule.New(config(dir, target.DefaultLayout))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	for _, name := range []string{"seq0.db", "seq190.db", "open0.db", "open55.db"} {
		db := filepath.Join(dir, name)
		if err := r.Flush(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "restored.db")
		if _, err := boule.Restore(t.Context(), boule.SourceRef("", boule.CanonicalPath(db)), out, config(dir, target.DefaultLayout), nil); err != nil {
			t.Fatal(err)
		}
		if sum(t, db) != sum(t, out) {
			t.Errorf("%s: restored bytes differ", name)
		}
	}
}
