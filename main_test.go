package boule_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// cacheDir holds the compiled SQLite for all tests of this process.
var cacheDir string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain keeps the tests away from what belongs to the user.
func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "boule-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cacheDir = filepath.Join(dir, "wasm")
	for name, value := range map[string]string{
		"GOFLAGS":        os.Getenv("GOFLAGS"),
		"GOCACHE":        goEnv("GOCACHE", os.UserCacheDir, "go-build"),
		"GOPATH":         goEnv("GOPATH", os.UserHomeDir, "go"),
		"HOME":           filepath.Join(dir, "home"),
		"XDG_STATE_HOME": filepath.Join(dir, "state"),
		"XDG_CACHE_HOME": filepath.Join(dir, "cache"),
		boule.EnvConfig:  "",
	} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	// Those that take their configuration from the environment find it running.
	if _, err := boule.Version(&boule.Config{CacheDir: cacheDir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// goEnv is what the go command, which some tests run, would find without our HOME.
func goEnv(name string, base func() (string, error), below string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	dir, err := base()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, below)
}

// A site is a place to test in: a directory with databases, spool and stores.
type site struct {
	dir string
	cfg *boule.Config
}

// newSite has as many stores as told.
func newSite(t testing.TB, stores int) *site {
	t.Helper()
	return newSiteOf(t, stores, target.Layout(os.Getenv("BOULE_TEST_LAYOUT")))
}

// newSiteOf is newSite for tests that look into the stores.
func newSiteOf(t testing.TB, stores int, layout target.Layout) *site {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: dir, cfg: &boule.Config{
		SpoolDir: filepath.Join(dir, "spool"),
		Hostname: "host.example.com",
		CacheDir: cacheDir,
	}}
	for i := range stores {
		s.cfg.Targets = append(s.cfg.Targets, target.Target{File: &target.File{Directory: s.store(i)}, Layout: layout})
	}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }
func (s *site) store(i int) string      { return s.path(fmt.Sprintf("store%d", i)) }

// ref is the reference to the replica of a database of s.
func (s *site) ref(path string) string { return boule.SourceRef(s.cfg.Hostname, path) }

// only is the configuration with one of the stores.
func (s *site) only(i int) *boule.Config {
	c := *s.cfg
	c.Targets = s.cfg.Targets[i : i+1]
	return &c
}

// with is the configuration with a change.
func (s *site) with(change func(*boule.Config)) *boule.Config {
	c := *s.cfg
	change(&c)
	return &c
}

func newReplicator(t testing.TB, cfg *boule.Config) *boule.Replicator {
	t.Helper()
	r, err := boule.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Close(ctx) // those that care have closed it
	})
	return r
}

func open(t testing.TB, path string, cfg *boule.Config) *sql.DB {
	t.Helper()
	db, err := boule.Open(t.Context(), path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execSQL(t testing.TB, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func closeDB(t testing.TB, db *sql.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// query returns the first column of the only row.
func query(t testing.TB, db *sql.DB, query string) string {
	t.Helper()
	var s string
	if err := db.QueryRowContext(t.Context(), query).Scan(&s); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return s
}

// inReplica returns the result of a query in a replica as it is in the store.
func inReplica(t testing.TB, ref string, cfg *boule.Config, q string) string {
	t.Helper()
	db, err := boule.OpenReplica(t.Context(), ref, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return query(t, db, q)
}

// eventually waits until f says that it is so.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not after 30 s: %s", what)
		}
	}
}
