package e2e

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store/target"
)

// eventually polls until ok, which must become true by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

// inStore reports whether every target has the database as it is now.
func inStore(t *testing.T, cfg *boule.Config, db string) bool {
	t.Helper()
	all, err := boule.Status(t.Context(), cfg, db)
	if err != nil || len(all) != 1 || len(all[0].Targets) == 0 {
		return false
	}
	for _, target := range all[0].Targets {
		if !target.InSync {
			return false
		}
	}
	return true
}

// boule runs the program and returns its exit status and what it printed.
func program(t *testing.T, env []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Env = append(append(os.Environ(), "BOULE_CACHE_DIR="+wasmCache, "BOULE_HOSTNAME=e2e.example.com"), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func s3Service(t *testing.T) (s *fakes3.Server, url string, env []string) {
	t.Helper()
	s = fakes3.New(t)
	s.Setenv(t)
	s.CreateBucket(t, "backup")
	return s, "s3://backup/some/prefix?region=us-east-1&path_style=1&endpoint=" + s.Endpoint,
		[]string{"BOULE_SPOOL=" + filepath.Join(t.TempDir(), "spool")}
}

func TestS3(t *testing.T) {
	_, url, env := s3Service(t)
	db := filepath.Join(t.TempDir(), "app.db")
	status, _, stderr := program(t, env, "--store", url, "shell", db, `CREATE TABLE doc(a)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100) INSERT INTO doc SELECT randomblob(3000) FROM n`)
	if status != 0 || stderr != "" {
		t.Fatalf("shell: %d %s", status, stderr)
	}
	out := filepath.Join(t.TempDir(), "out.db")
	if status, _, stderr := program(t, env, "--store", url, "restore", "-s", db, "-o", out); status != 0 {
		t.Fatalf("restore: %d %s", status, stderr)
	}
	if sum(t, db) != sum(t, out) {
		t.Error("restored bytes differ")
	}
	status, stdout, stderr := program(t, env, "--store", url, "shell", "--readonly", "boule://e2e.example.com"+boule.CanonicalPath(db), `SELECT count(*) FROM doc`)
	if status != 0 || stdout != "100\n" {
		t.Errorf("replica: %d %q %s", status, stdout, stderr)
	}
	status, _, stderr = program(t, env, "--store", strings.Replace(url, "backup", "nobucket", 1), "sync", db)
	if status != 1 || !strings.Contains(stderr, "nobucket") {
		t.Errorf("missing bucket: %d %s", status, stderr)
	}
	status, _, stderr = program(t, append(env, "AWS_SECRET_ACCESS_KEY=wrong"), "--store", url, "restore", "-s", db, "-o", out+"2")
	if status != 1 || strings.Count(strings.TrimSpace(stderr), "\n") != 0 {
		t.Errorf("wrong credentials: %d %s", status, stderr)
	}
}

// While the store can't be reached, SQL works; when it can, the copier catches up
// without a write.
func TestStoreOutage(t *testing.T) { layouts(t, testStoreOutage) }

func testStoreOutage(t *testing.T, layout target.Layout) {
	service, url, _ := s3Service(t)
	tgt, err := target.FromURL(url + "&layout=" + string(layout))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := config(dir, layout)
	cfg.Targets = []target.Target{tgt}
	r, err := boule.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	db := filepath.Join(dir, "app.db")
	conn, err := r.OpenConn(t.Context(), db, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(ddl); err != nil {
		t.Fatal(err)
	}
	eventually(t, "first upload", func() bool { return inStore(t, cfg, db) })

	service.Intercept(func(http.ResponseWriter, *http.Request, http.Handler) { fakes3.Drop() })
	for i := range 20 {
		if err := transaction(conn, 1, i); err != nil {
			t.Fatalf("transaction while the store is away: %v", err)
		}
	}
	service.Intercept(nil)
	eventually(t, "catching up after the outage", func() bool { return inStore(t, cfg, db) })
	out := filepath.Join(dir, "out.db")
	if _, err := boule.Restore(t.Context(), boule.SourceRef("", boule.CanonicalPath(db)), out, cfg, nil); err != nil {
		t.Fatal(err)
	}
	if sum(t, db) != sum(t, out) {
		t.Error("restored bytes differ")
	}
}

// While the spool can't be used, SQL works; when it can, the database is
// replicated without a write.
func TestSpoolUnusable(t *testing.T) { layouts(t, testSpoolUnusable) }

func testSpoolUnusable(t *testing.T, layout target.Layout) {
	dir := t.TempDir()
	cfg := config(dir, layout)
	if err := os.WriteFile(cfg.SpoolDir, nil, 0o600); err != nil { // where the directory should be
		t.Fatal(err)
	}
	r, err := boule.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	db := filepath.Join(dir, "app.db")
	conn, err := r.OpenConn(t.Context(), db, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(ddl); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := transaction(conn, 1, i); err != nil {
			t.Fatalf("transaction without a spool: %v", err)
		}
	}
	if err := r.Flush(t.Context(), db); err == nil || !strings.Contains(err.Error(), cfg.SpoolDir) {
		t.Errorf("flush without a spool: %v", err)
	}
	if err := os.Remove(cfg.SpoolDir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "replication once the spool can be made", func() bool { return inStore(t, cfg, db) })
	checkRestore(t, layout, dir, db)

	// Deleted underneath, in the middle: the copier may be just making something in it.
	eventually(t, "deletion of the spool", func() bool { return os.RemoveAll(cfg.SpoolDir) == nil })
	for i := range 10 {
		if err := transaction(conn, 2, i); err != nil {
			t.Fatalf("transaction after the spool was deleted: %v", err)
		}
	}
	if err := r.Flush(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	checkRestore(t, layout, dir, db)
}
