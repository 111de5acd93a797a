package boule_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// A published database has a replica in each store.
type published struct {
	*site
	r    *boule.Replicator
	conn *sqlite3.Conn
	db   string
}

func publish(t *testing.T, stores int) *published {
	t.Helper()
	return publishTo(t, stores, target.Layout(os.Getenv("BOULE_TEST_LAYOUT")))
}

func publishTo(t *testing.T, stores int, layout target.Layout) *published {
	t.Helper()
	p := &published{site: newSiteOf(t, stores, layout)}
	p.db = p.path("app.db")
	p.r = newReplicator(t, p.cfg)
	var err error
	if p.conn, err = p.r.OpenConn(t.Context(), p.db, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	p.set(t, 1)
	return p
}

// set changes the database, and its replicas.
func (p *published) set(t *testing.T, x int) {
	t.Helper()
	if err := p.conn.Exec(fmt.Sprintf(`CREATE TABLE IF NOT EXISTS t(x); DELETE FROM t; INSERT INTO t VALUES (%d)`, x)); err != nil {
		t.Fatal(err)
	}
	if err := p.r.Flush(t.Context(), p.db); err != nil {
		t.Fatal(err)
	}
}

func (p *published) ref() string { return p.site.ref(p.db) }

// manifest is the file that the manifest is in.
func (p *published) manifest(t *testing.T, store int) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(p.store(store), "manifests"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("manifests: %q, %v; want one", found, err)
	}
	return found[0]
}

func TestReplicaRefresh(t *testing.T) {
	p := publishTo(t, 1, target.LayoutChunks)
	db, err := boule.OpenReplica(t.Context(), p.ref(), p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	look := func(what, want string) {
		t.Helper()
		if got := query(t, db, `SELECT x FROM t`); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	look("at first", "1")
	p.set(t, 2)
	look("without a refresh", "1")
	query(t, db, `PRAGMA boule_snapshot_refresh = 0`)
	look("after what is loaded", "1")
	query(t, db, `PRAGMA boule_snapshot_refresh = 1`)
	look("after a fetch", "2")

	// Nothing new: the time of the look advances, the content stays.
	before := query(t, db, `PRAGMA boule_snapshot_updated`)
	if after := query(t, db, `PRAGMA boule_snapshot_refresh = 2`); after <= before {
		t.Errorf("updated %s, then %s", before, after)
	}
	look("after nothing new", "2")

	// A store that fails leaves the connection where it is.
	name := p.manifest(t, 0)
	if err := os.Rename(name, name+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`PRAGMA boule_snapshot_refresh = 2`); err == nil {
		t.Error("refresh of what is gone: no error")
	}
	look("after a failure", "2")
	if err := os.Rename(name+".away", name); err != nil {
		t.Fatal(err)
	}
	p.set(t, 3)
	query(t, db, `PRAGMA boule_snapshot_refresh = force`)
	look("after the failure", "3")
}

// A store that falls back to an older manifest does not take its readers along, as
// long as one has the replica open, connections or not.
func TestReplicaIsNeverOlder(t *testing.T) {
	p := publishTo(t, 1, target.LayoutChunks)
	name := p.manifest(t, 0)
	old, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	p.set(t, 2)
	db, err := boule.OpenReplica(t.Context(), p.ref(), p.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxIdleConns(-1) // each statement opens the replica anew
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, old, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		query(t, db, `PRAGMA boule_snapshot_refresh = 2`)
		if got := query(t, db, `SELECT x FROM t`); got != "2" {
			t.Errorf("got %s, want 2", got)
		}
	}
}

func TestReplicaManyReaders(t *testing.T) {
	p := publish(t, 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				conn, err := boule.OpenReplicaConn(t.Context(), p.ref(), p.cfg)
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(conn.Exec(`PRAGMA boule_snapshot_refresh = 2; SELECT x FROM t`), conn.Close()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestReplicaPolicies(t *testing.T) {
	p := publish(t, 1)
	for _, policy := range []boule.LoadingPolicy{{}, {Eager: true}, {Partial: true, Min: 1, Max: 2}} {
		cfg := p.with(func(c *boule.Config) { c.LoadingPolicy = policy })
		if got := inReplica(t, p.ref(), cfg, `SELECT x FROM t`); got != "1" {
			t.Errorf("%+v: got %s", policy, got)
		}
	}
}

func TestReplicaErrors(t *testing.T) {
	p := publish(t, 1)
	broken := publish(t, 2)
	if err := os.RemoveAll(broken.store(1)); err != nil {
		t.Fatal(err)
	}
	unopenable := target.Target{S3: &target.S3{Bucket: "b"}} // without a region anywhere
	done, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		ref  string
		cfg  *boule.Config
		want error
	}{
		{"absent", t.Context(), p.site.ref("/no/such.db"), p.cfg, boule.ErrNoReplica},
		{"absent in both", t.Context(), broken.site.ref("/no/such.db"), broken.cfg, boule.ErrNoReplica},
		{"no target", t.Context(), p.ref(), &boule.Config{CacheDir: cacheDir}, boule.ErrNoTarget},
		{"done", done, p.ref(), p.cfg, context.Canceled},
		{"wrong reference", t.Context(), "gopher://x", p.cfg, errAny},
		{"no manifest in a file", t.Context(), p.path("none"), p.cfg, boule.ErrNoReplica},
		{"not a manifest", t.Context(), p.db, p.cfg, errAny},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db, err := boule.OpenReplica(tt.ctx, tt.ref, tt.cfg)
			if err == nil {
				db.Close()
				t.Fatal("no error")
			}
			if !isError(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			conn, err := boule.OpenReplicaConn(tt.ctx, tt.ref, tt.cfg)
			if err == nil {
				conn.Close()
				t.Error("OpenReplicaConn: no error")
			}
		})
	}
	t.Run("a store that can't be opened", func(t *testing.T) {
		for name, value := range map[string]string{
			"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_EC2_METADATA_DISABLED": "true",
			"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		} {
			t.Setenv(name, value)
		}
		cfg := p.with(func(c *boule.Config) { c.Targets = []target.Target{unopenable, p.cfg.Targets[0]} })
		// It may have the replica: that it is not elsewhere does not make it absent.
		if _, err := boule.Fetch(t.Context(), p.site.ref("/no/such.db"), cfg); err == nil || errors.Is(err, boule.ErrNoReplica) {
			t.Errorf("got %v, want another error than ErrNoReplica", err)
		}
	})
}

// The second store serves when the first has nothing.
func TestReplicaFailover(t *testing.T) {
	p := publish(t, 2)
	if err := os.RemoveAll(p.store(0)); err != nil {
		t.Fatal(err)
	}
	if got := inReplica(t, p.ref(), p.cfg, `SELECT x FROM t`); got != "1" {
		t.Errorf("got %s", got)
	}
}

// A reader needs no spool, and so no home.
func TestReplicaWithoutHome(t *testing.T) {
	p := publish(t, 1)
	t.Setenv("HOME", "")
	t.Setenv("XDG_STATE_HOME", "")
	cfg := p.with(func(c *boule.Config) { c.SpoolDir = "" })
	if got := inReplica(t, p.ref(), cfg, `SELECT x FROM t`); got != "1" {
		t.Errorf("got %s", got)
	}
	if _, err := boule.New(cfg); err == nil {
		t.Error("a writer without a place for its spool: no error")
	}
}

// A manifest in a file, by any of its names, with and without a target.
func TestReplicaByFile(t *testing.T) {
	p := publishTo(t, 1, target.LayoutChunks)
	name := p.manifest(t, 0)
	t.Chdir(filepath.Dir(name))
	copied := p.path("odd name?#%41.manifest")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	bare := &boule.Config{CacheDir: cacheDir}
	for ref, cfg := range map[string]*boule.Config{
		name:                p.cfg,
		"/" + name:          bare, // implied by the directory "manifests"
		filepath.Base(name): bare,
		copied:              p.cfg,
	} {
		if got := inReplica(t, ref, cfg, `SELECT x FROM t`); got != "1" {
			t.Errorf("%s: got %s", ref, got)
		}
	}
}

func TestRestore(t *testing.T) {
	p := publish(t, 1)
	out := p.path("restored.db")
	remote, err := boule.Restore(t.Context(), p.ref(), out, p.cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(p.db)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != string(want) {
		t.Errorf("restored %d bytes (%v), want the %d of the database", len(got), err, len(want))
	}
	var b strings.Builder
	if err := remote.RestoreTo(t.Context(), &b, nil); err != nil || b.String() != string(want) {
		t.Errorf("to a stream: %d bytes, %v", b.Len(), err)
	}
	if _, err := boule.Restore(t.Context(), p.ref(), out, p.cfg, nil); err == nil {
		t.Error("a file was overwritten")
	}
}

func TestIsRef(t *testing.T) {
	for s, want := range map[string]bool{
		"boule://h/x": true, "S3://b/k": true, "https://h/x": true, "file:///x": true,
		"file:x": false, "/x": false, "x://y": false, "": false,
	} {
		if got := boule.IsRef(s); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
}
