package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/store/target"
)

// The engines that are compared, with the same Wasm in the same process: without Boule's VFS, with it but without a
// target, and replicating to a directory, copier running.
const (
	plain        = "go-sqlite3"
	unreplicated = "boule, no target"
	replicated   = "boule"
)

var engines = []string{plain, unreplicated, replicated}

// A setup is what a database is made and used with.
type setup struct {
	page          int
	journal, sync string
	size          int64 // at least, filled with rows
}

func (s setup) pragmas() string {
	return fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA journal_mode=%s; PRAGMA synchronous=%s`, s.page, s.journal, s.sync)
}

// rowSize is about what a row of the table t takes.
const rowSize = 540

const schema = `CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, a INTEGER, b BLOB);
	CREATE INDEX IF NOT EXISTS t_a ON t(a)`

// fill makes the table t, with rows that can't be compressed.
func (s setup) fill(conn *sqlite3.Conn) error {
	if err := conn.Exec(schema); err != nil {
		return err
	}
	return conn.Exec(fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d)
		INSERT INTO t SELECT i, abs(random()) %% 1000000, randomblob(480) FROM n`, max(s.size/rowSize, 1)))
}

// A site has one database for each engine.
type site struct {
	setup
	dir     string
	engines []string
	conns   map[string]*sqlite3.Conn
	r       map[string]*boule.Replicator
}

// replicating is a configuration with its spool and its store in dir.
func replicating(dir string) *boule.Config {
	return &boule.Config{
		SpoolDir: filepath.Join(dir, "spool"),
		Targets:  []target.Target{{File: &target.File{Directory: filepath.Join(dir, "store")}}},
	}
}

// newSite makes the databases, by prepare if it is given, and waits until they are replicated.
func newSite(ctx context.Context, dir string, s setup, engines []string, prepare func(path string) error) (_ *site, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := host.Init(nil); err != nil { // the same SQLite for all
		return nil, err
	}
	w := &site{setup: s, dir: dir, engines: engines, conns: map[string]*sqlite3.Conn{}, r: map[string]*boule.Replicator{}}
	defer func() {
		if err != nil {
			_ = w.close(ctx)
		}
	}()
	for _, e := range engines {
		if prepare != nil {
			if err := prepare(w.path(e)); err != nil {
				return nil, err
			}
		}
		if err := w.open(ctx, e); err != nil {
			return nil, err
		}
		if err := w.conns[e].Exec(s.pragmas()); err != nil {
			return nil, err
		}
		if prepare == nil {
			if err := s.fill(w.conns[e]); err != nil {
				return nil, err
			}
		}
	}
	return w, w.settle(ctx)
}

func (w *site) path(engine string) string {
	return filepath.Join(w.dir, fmt.Sprintf("%d.db", slices.Index(engines, engine)))
}

func (w *site) open(ctx context.Context, engine string) error {
	const flags = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE | sqlite3.OPEN_URI
	var err error
	if engine == plain {
		w.conns[engine], err = sqlite3.OpenFlags("file:"+w.path(engine), flags)
		return err
	}
	if w.r[engine] == nil {
		cfg := &boule.Config{}
		if engine == replicated {
			cfg = replicating(w.dir)
		}
		if w.r[engine], err = boule.New(cfg); err != nil {
			return err
		}
	}
	w.conns[engine], err = w.r[engine].OpenConn(ctx, w.path(engine), 0)
	return err
}

// vfs is the name of an engine's VFS.
func (w *site) vfs(engine string) (string, error) {
	if engine == plain {
		return "os", nil
	}
	dsn, err := w.r[engine].DSN(w.path(engine))
	if err != nil {
		return "", err
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	return u.Query().Get("vfs"), nil
}

// settle waits for what goes on in the background: it counts for the engine that causes it, and for no other.
func (w *site) settle(ctx context.Context) error {
	if r := w.r[replicated]; r != nil {
		return r.Flush(ctx, w.path(replicated))
	}
	return nil
}

func (w *site) close(ctx context.Context) error {
	for _, c := range w.conns {
		if err := c.Close(); err != nil {
			return err
		}
	}
	for _, r := range w.r {
		if err := r.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// turns calls f for each engine; nobody always goes first.
func (w *site) turns(round int, f func(engine string) error) error {
	for i := range w.engines {
		if err := f(w.engines[(round+i)%len(w.engines)]); err != nil {
			return fmt.Errorf("%s: %w", w.engines[(round+i)%len(w.engines)], err)
		}
	}
	return nil
}

// updateRows changes n random rows of so many, each in a transaction of its own, and returns how long each took.
func updateRows(conn *sqlite3.Conn, n, of int) ([]time.Duration, error) {
	stmt, _, err := conn.Prepare(`UPDATE t SET b = randomblob(480) WHERE rowid = 1 + abs(random() % ?)`)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	if err := stmt.BindInt(1, of); err != nil {
		return nil, err
	}
	ds := make([]time.Duration, n)
	for i := range ds {
		t := time.Now()
		if err := stmt.Exec(); err != nil {
			return nil, err
		}
		ds[i] = time.Since(t)
	}
	return ds, nil
}

// insertRows commits n transactions of so many rows each, and returns how long each took.
func insertRows(conn *sqlite3.Conn, n, rows int) ([]time.Duration, error) {
	stmt, _, err := conn.Prepare(`INSERT INTO t(a, b) VALUES (abs(random()) % 1000000, randomblob(480))`)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	ds := make([]time.Duration, n)
	for i := range ds {
		t := time.Now()
		if rows > 1 {
			if err := conn.Exec(`BEGIN`); err != nil {
				return nil, err
			}
		}
		for range rows {
			if err := stmt.Exec(); err != nil {
				return nil, err
			}
		}
		if rows > 1 {
			if err := conn.Exec(`COMMIT`); err != nil {
				return nil, err
			}
		}
		ds[i] = time.Since(t)
	}
	return ds, nil
}
