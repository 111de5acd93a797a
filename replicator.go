package boule

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlitedriver "github.com/ncruces/go-sqlite3/driver"

	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/manifest"
)

// A Replicator opens databases that replicate as one configuration says. It is
// safe for concurrent use. Databases opened through it must be closed before it.
type Replicator struct {
	e      *engine
	drains time.Duration
	close  sync.Once
	closed error
}

// New returns a Replicator for cfg; nil stands for what [ConfigFromEnv] gives.
// It fails on a wrong configuration, and never because a store or spool can't be
// reached now: then databases work unreplicated until it can.
func New(cfg *Config) (*Replicator, error) {
	if cfg == nil {
		var err error
		if cfg, err = ConfigFromEnv(); err != nil {
			return nil, err
		}
	}
	e, err := engineFor(cfg)
	if err != nil {
		return nil, err
	}
	e.retain()
	return &Replicator{e: e, drains: cfg.drainTimeout()}, nil
}

// Close ends replication by r. What is spooled and not uploaded yet is uploaded
// first, within ctx; the rest stays in the spool for the next process.
func (r *Replicator) Close(ctx context.Context) error {
	r.close.Do(func() { r.closed = r.e.release(ctx) })
	return r.closed
}

// Replicating reports whether databases opened through r replicate.
func (r *Replicator) Replicating() bool { return r.e.whyNot() == nil }

// WhyNot says why not, in one sentence; it is empty when they do.
func (r *Replicator) WhyNot() string {
	if err := r.e.whyNot(); err != nil {
		return strings.TrimPrefix(err.Error(), "boule: ")
	}
	return ""
}

// ManifestName is the name of the manifest of the database at path.
func (r *Replicator) ManifestName(path string) (string, error) {
	return ManifestName(r.e.cfg.Hostname, path)
}

// ManifestName is the name, in every store, of the manifest of the database at
// path on a host; an empty hostname stands for this host's.
func ManifestName(hostname, path string) (string, error) {
	if path == "" {
		return "", errors.New("boule: the path of a database is empty")
	}
	if hostname == "" {
		hostname = (&Config{}).hostname()
	}
	return manifest.Name(hostname, CanonicalPath(path)), nil
}

// Flush uploads the database at path as it is now to every target, and returns
// nil only after each has acknowledged a manifest at least that new. After an
// error the stores hold what they held, or something newer; trying again is safe.
func (r *Replicator) Flush(ctx context.Context, path string) error {
	if err := exists(path); err != nil {
		return err
	}
	return r.e.flush(ctx, CanonicalPath(path))
}

// Progress tells how many bytes of the database at path were uploaded by r since
// it was made, compressed, and how many wait, at most, from memory.
func (r *Replicator) Progress(path string) (sent, waiting int64) {
	r.e.mu.Lock()
	c := r.e.copier
	r.e.mu.Unlock()
	if c == nil {
		return 0, 0
	}
	for _, key := range r.e.manager.Keys(CanonicalPath(path)) {
		st := c.Status(key)
		sent += st.BytesUp
		waiting += st.PendingBytes
	}
	return sent, waiting
}

// Optimize gives the database 64 KiB pages and compacts it, so that pages and
// chunks coincide. It rewrites the whole database, in one transaction.
// https://sqlite.org/lang_vacuum.html
func (r *Replicator) Optimize(ctx context.Context, path string) error {
	if err := exists(path); err != nil {
		return err
	}
	conn, err := r.OpenConn(ctx, path, sqlite3.OPEN_READWRITE)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetInterrupt(ctx)
	if err := conn.Exec(`PRAGMA page_size = 65536; VACUUM`); err != nil {
		return fmt.Errorf("boule: optimize %s: %w", path, err)
	}
	return nil
}

// DSN is the data source name for path: a file name, or a SQLite URI ("file:…")
// whose parameters are kept. Give it to go-sqlite3's own driver or Open.
func (r *Replicator) DSN(path string) (string, error) {
	if path == "" || path == ":memory:" {
		return path, nil
	}
	if !strings.HasPrefix(path, "file:") {
		return dsn(path, r.e.vfsName, nil), nil
	}
	name, query, _ := strings.Cut(path, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		return "", fmt.Errorf("boule: parameters of %q: %w", path, err)
	}
	params.Set("vfs", r.e.vfsName)
	return name + "?" + params.Encode(), nil
}

// OpenConn opens one connection, for programs that use go-sqlite3 directly.
func (r *Replicator) OpenConn(ctx context.Context, path string, flags sqlite3.OpenFlag) (*sqlite3.Conn, error) {
	name, err := r.DSN(path)
	if err != nil {
		return nil, err
	}
	conn, err := host.Open(ctx, name, flags|sqlite3.OPEN_URI)
	if err != nil {
		return nil, fmt.Errorf("boule: open %s: %w", path, err)
	}
	if err := conn.BusyTimeout(defaultBusyTimeout); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// OpenDB opens a database as *sql.DB. Closing it leaves uploads to r.
func (r *Replicator) OpenDB(ctx context.Context, path string) (*sql.DB, error) {
	return r.openDB(ctx, path, nil)
}

func (r *Replicator) openDB(ctx context.Context, path string, onClose func() error) (*sql.DB, error) {
	name, err := r.DSN(path)
	if err != nil {
		return nil, err
	}
	inner, err := (&sqlitedriver.SQLite{}).OpenConnector(name)
	if err != nil {
		return nil, fmt.Errorf("boule: open %s: %w", path, err)
	}
	db := sql.OpenDB(&connector{Connector: inner, onClose: onClose})
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("boule: open %s: %w", path, err), db.Close())
	}
	return db, nil
}

// connector adds to go-sqlite3's what happens when the *sql.DB is closed:
// database/sql closes a connector that is an io.Closer.
type connector struct {
	driver.Connector
	onClose func() error
}

// Close implements io.Closer.
func (c *connector) Close() error {
	if c.onClose == nil {
		return nil
	}
	return c.onClose()
}
