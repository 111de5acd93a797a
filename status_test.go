package boule_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/target"
)

func status(t *testing.T, cfg *boule.Config, paths ...string) boule.DatabaseStatus {
	t.Helper()
	all, err := boule.Status(t.Context(), cfg, paths...)
	if err != nil || len(all) != 1 {
		t.Fatalf("got %+v, %v; want one database", all, err)
	}
	return all[0]
}

func TestStatus(t *testing.T) {
	p := publish(t, 2)
	st := status(t, p.cfg)
	if st.Path != p.db || st.Mode != "rollback" || st.Size == 0 || st.Changed.IsZero() || len(st.Targets) != 2 {
		t.Errorf("got %+v", st)
	}
	for _, ts := range st.Targets {
		if !ts.InSync || ts.Lag != 0 || ts.Error != "" || ts.RemoteSize != st.Size || ts.Manifest == "" {
			t.Errorf("in sync: got %+v", ts)
		}
	}

	// Somebody else writes: the stores are behind, measured.
	foreign, err := sqlite3.Open("file:" + p.db)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(foreign.Exec(`UPDATE t SET x = 2`), foreign.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(p.store(1)); err != nil {
		t.Fatal(err)
	}
	st = status(t, p.cfg, p.db)
	if ts := st.Targets[0]; ts.InSync || ts.Lag <= 0 || ts.Error != "" {
		t.Errorf("behind: got %+v", ts)
	}
	if ts := st.Targets[1]; ts.InSync || ts.Lag >= 0 || ts.Error == "" {
		t.Errorf("store that lost it: got %+v", ts)
	}
	if _, err := boule.Status(t.Context(), p.cfg, p.path("absent.db")); err == nil {
		t.Error("absent: no error")
	}
}

// What was not uploaded before a restart of the machine is told, before the rest of it is cleaned away and
// after, until the database is replicated again.
func TestStatusTellsWhatWasUnflushedBeforeARestart(t *testing.T) {
	s := newSite(t, 1)
	path := s.path("app.db")
	boot, err := instance.Boot()
	if err != nil {
		t.Fatal(err)
	}
	boot.Time -= 1000
	boot.UUID = strings.Repeat("0", 8) + boot.UUID[8:]
	db := open(t, path, &boule.Config{CacheDir: s.cfg.CacheDir})
	execSQL(t, db, `CREATE TABLE t(x)`)
	closeDB(t, db)
	info, err := fsx.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	earlier, err := spool.OpenRoot(s.cfg.SpoolDir, 0, &spool.Options{Boot: boot})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(s.cfg.Targets[0])
	if err != nil {
		t.Fatal(err)
	}
	p, err := earlier.Producer(spool.DB{Path: path, Dev: info.Dev, Ino: info.Ino}, spool.Target{ID: s.cfg.Targets[0].ID(), Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.StageManifest("m", []byte("not uploaded")), p.Close()); err != nil {
		t.Fatal(err)
	}
	past := time.Unix(boot.Time+500, 0)
	err = filepath.WalkDir(earlier.Dir(), func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(name, past, past))
	})
	if err != nil {
		t.Fatal(err)
	}

	const told = "before the machine was restarted"
	if st := status(t, s.cfg); st.Path != path || !strings.Contains(st.Warning, told) {
		t.Errorf("before cleaning: %+v", st)
	}
	now, err := spool.OpenRoot(s.cfg.SpoolDir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	now.CleanStale(spool.DB{})
	if _, err := os.Lstat(earlier.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the earlier boot is still there: %v", err)
	}
	if st := status(t, s.cfg, path); !strings.Contains(st.Warning, told) {
		t.Errorf("after cleaning: %+v", st)
	}
	r := newReplicator(t, s.cfg)
	if err := r.Flush(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if st := status(t, s.cfg, path); st.Warning != "" || !st.Targets[0].InSync {
		t.Errorf("after a flush: %+v", st)
	}
}

// Without a spool, as after a reboot, the stores are asked nevertheless.
func TestStatusWithoutSpool(t *testing.T) {
	p := publish(t, 1)
	cfg := p.with(func(c *boule.Config) { c.SpoolDir = p.path("another") })
	if all, err := boule.Status(t.Context(), cfg); err != nil || len(all) != 0 {
		t.Errorf("without paths: got %+v, %v; want nothing", all, err)
	}
	if ts := status(t, cfg, p.db).Targets; len(ts) != 1 || !ts[0].InSync || ts[0].Error != "" {
		t.Errorf("got %+v, want one target in sync", ts)
	}
}

// Of a database that was replaced, only the spools of the file that is there count.
func TestStatusOfAReplacedDatabase(t *testing.T) {
	p := publish(t, 1)
	if err := p.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(p.db, p.db+".old"); err != nil {
		t.Fatal(err)
	}
	fresh, err := p.r.OpenConn(t.Context(), p.db, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fresh.Exec(createAndFill), fresh.Close()); err != nil {
		t.Fatal(err)
	}
	if err := p.r.Flush(t.Context(), p.db); err != nil {
		t.Fatal(err)
	}
	if ts := status(t, p.cfg, p.db).Targets; len(ts) != 1 || !ts[0].InSync {
		t.Errorf("got %+v, want one target in sync", ts)
	}
}

func TestStatusModes(t *testing.T) {
	s := newSite(t, 1)
	wal, err := sqlite3.Open("file:" + s.path("wal.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(wal.Exec(`PRAGMA journal_mode=WAL; `+createAndFill), wal.Close()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"empty.db": "", "short.db": "short"} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"wal.db": "wal", "empty.db": "empty", "short.db": "unreadable"} {
		st := status(t, s.cfg, s.path(name))
		if st.Mode != want || (st.Warning != "") != (want == "wal") {
			t.Errorf("%s: got %+v", name, st)
		}
	}
}

// leave makes a database whose snapshot waits in the spool, under a host name.
func leave(t *testing.T, s *site, path, hostname string) {
	t.Helper()
	db := open(t, path, s.with(func(c *boule.Config) { c.Hostname, c.DrainTimeout = hostname, -1 }))
	execSQL(t, db, createAndFill)
	closeDB(t, db)
}

// Each database goes to the targets, and under the host name, that it was spooled
// for, whatever the configuration of the one who flushes.
func TestFlushSpool(t *testing.T) {
	s := newSite(t, 2)
	unblock := []func(){s.blocked(t, 0), s.blocked(t, 1)}
	deep := s.path(strings.Repeat("d", 120))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	deep += "/" + strings.Repeat("n", 120) + ".db" // a name of a manifest that is shortened
	paths := map[string]string{s.path("a.db"): "a.example.com", deep: "b.example.com", s.path("deleted.db"): "c.example.com"}
	for path, host := range paths {
		leave(t, s, path, host)
	}
	if err := os.Remove(s.path("deleted.db")); err != nil {
		t.Fatal(err)
	}
	for _, f := range unblock {
		f()
	}
	cfg := &boule.Config{CacheDir: cacheDir, Hostname: "other.example.com"}
	results, err := boule.FlushSpool(t.Context(), s.cfg.SpoolDir, cfg)
	if err != nil || len(results) != 6 {
		t.Fatalf("got %+v, %v; want three databases to two targets", results, err)
	}
	for _, res := range results {
		if res.Err != nil {
			t.Error(res.Err)
		}
	}
	for path, host := range paths {
		for i := range 2 {
			if got := inReplica(t, boule.SourceRef(host, path), s.only(i), `SELECT x FROM t`); got != "1" {
				t.Errorf("%s in store %d: got %s", path, i, got)
			}
		}
	}
	wantIdle(t)
	// Once more there is nothing to do, and nothing fails.
	if results, err = boule.FlushSpool(t.Context(), s.cfg.SpoolDir, cfg); err != nil {
		t.Fatal(err)
	}
	for _, res := range results {
		if res.Err != nil {
			t.Errorf("once more: %v", res.Err)
		}
	}
	if _, err := boule.FlushSpool(t.Context(), s.path("nowhere"), cfg); err == nil {
		t.Error("absent spool: no error")
	}
}

func TestMetricsCount(t *testing.T) {
	before := boule.ReadMetrics()
	publish(t, 1)
	after := boule.ReadMetrics()
	if after.BytesSent <= before.BytesSent || len(after.Requests) == 0 {
		t.Errorf("got %+v after %+v", after, before)
	}
}

func TestManifestName(t *testing.T) {
	s := newSite(t, 0)
	r := newReplicator(t, s.cfg)
	plain, err := r.ManifestName(s.path("a b.db"))
	if err != nil || !strings.Contains(plain, s.cfg.Hostname) {
		t.Errorf("got %q, %v", plain, err)
	}
	if uri, err := r.ManifestName("file:" + s.path("a%20b.db") + "?mode=ro"); err != nil || uri != plain {
		t.Errorf("of a URI: got %q, %v; want %q", uri, err, plain)
	}
	if name, err := boule.ManifestName("", ""); err == nil {
		t.Errorf("without path: got %q", name)
	}
	if name, err := boule.ManifestName("", "/x"); err != nil || name == "" {
		t.Errorf("of this host: got %q, %v", name, err)
	}
}

func TestVersion(t *testing.T) {
	v, err := boule.Version(nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.SQLite == "" || v.Boule == "" || v.Engine == "" || v.Go == "" {
		t.Errorf("got %+v", v)
	}
}

// What a deleted database left in the spool may be older than what another one has uploaded under its name.
func TestFlushSpoolOfTwoDeletedDatabases(t *testing.T) {
	s := newSite(t, 1)
	path, aside := s.path("x.db"), s.path("aside")
	unblock := s.blocked(t, 0)
	leave(t, s, path, s.cfg.Hostname)
	unblock()
	// A spool that appears again stands for one that is filled late, by a process that still has the older file open.
	spools, err := filepath.Glob(filepath.Join(s.cfg.SpoolDir, "boule-*", "*x.db", "*"))
	if err != nil || len(spools) != 1 {
		t.Fatalf("got spools %v, %v", spools, err)
	}
	if err := errors.Join(os.Rename(path, s.path("y.db")), os.Rename(spools[0], aside)); err != nil {
		t.Fatal(err)
	}
	r := newReplicator(t, s.cfg)
	fresh, err := r.OpenDB(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	execSQL(t, fresh, createAndFill+`; UPDATE t SET x = 2`)
	closeDB(t, fresh)
	if err := errors.Join(r.Flush(t.Context(), path), os.Remove(path), os.Rename(aside, spools[0])); err != nil {
		t.Fatal(err)
	}
	results, err := boule.FlushSpool(t.Context(), s.cfg.SpoolDir, s.cfg)
	if err != nil || len(results) != 2 {
		t.Fatalf("got %+v, %v; want the spools of two files", results, err)
	}
	for _, res := range results {
		if res.Err != nil {
			t.Error(res.Err)
		}
	}
	if got := inReplica(t, boule.SourceRef(s.cfg.Hostname, path), s.cfg, `SELECT x FROM t`); got != "2" {
		t.Errorf("got %s, want what was uploaded last", got)
	}
}

// A store that does not answer is told of soon: that is when somebody asks.
func TestStatusOfAStoreThatHangs(t *testing.T) {
	defer boule.SetAskPatience(100 * time.Millisecond)()
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	s := newSite(t, 1)
	path := s.path("a.db")
	db := open(t, path, s.cfg)
	execSQL(t, db, createAndFill)
	closeDB(t, db)
	cfg := s.with(func(c *boule.Config) {
		c.Targets = append(c.Targets, target.Target{S3: &target.S3{Bucket: "b", Region: "r", Endpoint: server.URL}})
	})
	found := 0
	for _, ts := range status(t, cfg, path).Targets {
		switch {
		case strings.HasPrefix(ts.Target, "file:"):
			found++
			if !ts.InSync {
				t.Errorf("the other store: %+v", ts)
			}
		case strings.Contains(ts.Error, "no answer within 100ms") && ts.Lag < 0 && !ts.InSync:
			found++
		default:
			t.Errorf("got %+v", ts)
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 targets are right", found)
	}
}

// Where the spool is a link to what is not mounted, say, that is told.
func TestStatusOfASpoolThatLeadsNowhere(t *testing.T) {
	s := newSite(t, 1)
	if err := os.Symlink(s.path("not mounted"), s.cfg.SpoolDir); err != nil {
		t.Fatal(err)
	}
	path := s.path("a.db")
	db := open(t, path, s.cfg)
	execSQL(t, db, createAndFill)
	if err := db.Close(); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("got %v", err)
	}
	if st := status(t, s.cfg, path); !strings.Contains(st.Warning, "symbolic link") {
		t.Errorf("got %+v", st)
	}
}

// A store that fails is named at once, though its requests are tried again for some time.
func TestFailuresAreToldWhileTheyAreTriedAgain(t *testing.T) {
	defer boule.SetAskPatience(300 * time.Millisecond)()
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	failed := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusInternalServerError)
		select {
		case failed <- struct{}{}:
		default:
		}
	}))
	defer server.Close()
	s := newSite(t, 1)
	path := s.path("a.db")
	var log bytes.Buffer
	cfg := s.with(func(c *boule.Config) {
		c.Targets = []target.Target{{S3: &target.S3{Bucket: "b", Region: "r", Endpoint: server.URL}}}
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.DrainTimeout = 300 * time.Millisecond
	})
	db := open(t, path, cfg)
	execSQL(t, db, createAndFill)
	<-failed
	if err := db.Close(); !errors.Is(err, boule.ErrBehind) || !strings.Contains(err.Error(), "HTTP 500") {
		t.Errorf("closing: got %v", err)
	}
	if !strings.Contains(log.String(), "is tried again") || !strings.Contains(log.String(), "db="+path) {
		t.Errorf("logged: %s", log.String())
	}
	ts := status(t, cfg, path).Targets[0]
	if ts.Activity == nil || !strings.Contains(ts.Activity.Error, "HTTP 500") {
		t.Errorf("status: got %+v", ts.Activity)
	}
	if !strings.Contains(ts.Error, "HTTP 500") {
		t.Errorf("status of the store: got %q", ts.Error)
	}
}
