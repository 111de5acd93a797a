package boule

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store/target"
)

// A Replicator opens databases that replicate as one configuration says. It is
// safe for concurrent use. Databases opened through it must be closed before it.
//
// Where a method takes the path of a database, that may be a SQLite URI, as for
// [Open].
type Replicator struct {
	e        *engine
	drains   time.Duration
	close    sync.Once
	closed   atomic.Bool
	closeErr error
}

// New returns a Replicator for cfg; nil stands for what [ConfigFromEnv] gives.
// It fails on a wrong configuration, and never because a store or spool can't be
// reached now: then databases work unreplicated until it can.
func New(cfg *Config) (*Replicator, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return nil, err
	}
	e, err := engineFor(cfg, true)
	if err != nil {
		return nil, err
	}
	e.retain()
	return &Replicator{e: e, drains: cfg.drainTimeout()}, nil
}

// Close ends the use of r. The last Replicator of a configuration first uploads,
// within ctx, what is spooled and not uploaded yet; the error says what is left
// ([ErrBehind]). That stays in the spool, for other Replicators of the process or
// for the next process.
func (r *Replicator) Close(ctx context.Context) error {
	r.close.Do(func() {
		r.closed.Store(true)
		r.closeErr = errors.Join(r.e.settle(ctx), r.e.release(ctx))
	})
	return r.closeErr
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
	file, err := databaseFile(path)
	if err != nil {
		return "", err
	}
	return ManifestName(r.e.cfg.Hostname, file)
}

// ManifestName is the name, in every store, of the manifest of the database in
// the file path on a host; an empty hostname stands for this host's.
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
	if r.closed.Load() {
		return ErrClosed
	}
	file, err := databaseFile(path)
	if err != nil {
		return err
	}
	return r.flush(ctx, file, flushing)
}

// Takeover is Flush of a database whose replica, in the layout log, another one has appended to since, on this or another
// machine: from now on the name belongs to this one, and the other writer is fenced, which its log and status tell. After an
// error it is not, or it is not known. It fails with [ErrNoHistory] if no target has that layout.
func (r *Replicator) Takeover(ctx context.Context, path string) error {
	if r.closed.Load() {
		return ErrClosed
	}
	file, err := databaseFile(path)
	if err != nil {
		return err
	}
	logs := func(t target.Target) bool { return t.LayoutOrDefault() == target.LayoutLog }
	if targets := r.e.cfg.durable(); len(targets) > 0 && !slices.ContainsFunc(targets, logs) {
		return fmt.Errorf("%s: %w: there is nothing to take over", file, ErrNoHistory)
	}
	return r.flush(ctx, file, takingOver)
}

// Repair is Flush that first fetches all that the newest state in each target needs, and verifies it; what is damaged or gone is uploaded
// again, with all else that the state has in the same objects, and all is read once more. found is called with what is wrong, by one goroutine at a time. While it reads, commits are not uploaded. Older states that need what was lost can't be repaired: [Prune] removes them, and then the objects.
func (r *Replicator) Repair(ctx context.Context, path string, found func(error)) error {
	if r.closed.Load() {
		return ErrClosed
	}
	file, err := databaseFile(path)
	if err != nil {
		return err
	}
	return r.flush(ctx, file, repairing(found))
}

func (r *Replicator) flush(ctx context.Context, file string, how uploader) error {
	if err := exists(file); err != nil {
		return err
	}
	if isEmpty(file) {
		return fmt.Errorf("%w: %s is empty: there is nothing to replicate before its first table", ErrBehind, file)
	}
	return r.e.flush(ctx, CanonicalPath(file), how)
}

// Progress tells how many bytes of the database at path were uploaded by this
// process, compressed, and how many wait, at most, from memory.
func (r *Replicator) Progress(path string) (sent, waiting int64) {
	c := r.e.currentCopier()
	file, err := databaseFile(path)
	if c == nil || err != nil {
		return 0, 0
	}
	for _, key := range r.e.manager.Keys(CanonicalPath(file)) {
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
	file, err := databaseFile(path)
	if err != nil {
		return err
	}
	if err := exists(file); err != nil {
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

// DSN is the data source name for path, for go-sqlite3's own driver or Open: a
// SQLite URI with the parameters that path has, and with Boule's VFS. It is an
// error if path names another VFS.
func (r *Replicator) DSN(path string) (string, error) {
	if path == "" || path == ":memory:" {
		return path, nil
	}
	l, err := parseLocation(path)
	if err != nil {
		return "", err
	}
	return l.in(r.e.vfsName)
}

// OpenConn opens one connection, for programs that use go-sqlite3 directly. Flags
// of zero mean OPEN_READWRITE and OPEN_CREATE. Close it before r.
func (r *Replicator) OpenConn(ctx context.Context, path string, flags sqlite3.OpenFlag) (*sqlite3.Conn, error) {
	if r.closed.Load() {
		return nil, ErrClosed
	}
	name, err := r.DSN(path)
	if err != nil {
		return nil, err
	}
	if flags == 0 {
		flags = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE
	}
	conn, err := host.Open(ctx, name, flags|sqlite3.OPEN_URI)
	if err != nil {
		return nil, fmt.Errorf("boule: open %s: %w", path, err)
	}
	l, err := parseLocation(path)
	if err == nil && !l.hasPragmas() { // as go-sqlite3's driver does
		err = conn.BusyTimeout(defaultBusyTimeout)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if !l.inMemory() {
		r.e.visit(l.file, false)
	}
	return conn, nil
}

// OpenDB opens a database as *sql.DB, which must be closed before r. Closing it
// leaves uploads to r.
func (r *Replicator) OpenDB(ctx context.Context, path string) (*sql.DB, error) {
	if r.closed.Load() {
		return nil, ErrClosed
	}
	c, err := r.connector(path)
	if err != nil {
		return nil, err
	}
	return c.openDB(ctx)
}

// connector returns the connector for the database at path.
func (r *Replicator) connector(path string) (*connector, error) {
	name, err := r.DSN(path)
	if err != nil {
		return nil, err
	}
	c, err := newConnector(name, path)
	if err != nil {
		return nil, err
	}
	if file, err := databaseFile(path); err == nil {
		c.file = absolute(file)
		c.visit = func() { r.e.visit(c.file, true) }
	}
	return c, nil
}
