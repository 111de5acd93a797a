package boule

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"
)

// defaultBusyTimeout is how long a statement waits for other connections; that
// of go-sqlite3's driver.
const defaultBusyTimeout = time.Minute

// Open opens the SQLite database at path, which replicates as cfg says; nil
// stands for what [ConfigFromEnv] gives. The database is made if it does not
// exist. path may be a SQLite URI ("file:…?_pragma=…"), as go-sqlite3's driver
// takes it.
//
// Closing the *sql.DB waits until what was committed is uploaded, for
// cfg.DrainTimeout at most. Its error then says that replication is behind;
// nothing of the database is lost by that, and the next process that opens the
// database, or `boule flush`, uploads the rest.
//
// Without targets in cfg the database works unreplicated.
func Open(ctx context.Context, path string, cfg *Config) (*sql.DB, error) {
	r, err := New(cfg)
	if err != nil {
		return nil, err
	}
	db, err := r.openDB(ctx, path, func() error { return r.drain(path) })
	if err != nil {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancel()
		_ = r.Close(ctx) // nothing was spooled through r
		return nil, err
	}
	return db, nil
}

// drain uploads a database that is being closed, and closes its Replicator.
func (r *Replicator) drain(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), max(r.drains, 0))
	defer cancel()
	var err error
	if name := fileOf(path); r.drains > 0 && name != "" && r.Replicating() {
		if fi, serr := os.Stat(name); serr == nil && fi.Size() > 0 {
			err = r.Flush(ctx, name)
		}
		if errors.Is(err, ErrWAL) {
			err = nil // said in the log, once; no failure of closing
		}
	}
	return errors.Join(err, r.Close(ctx))
}

// fileOf is the file that a path or SQLite URI names, or "" if it names none.
func fileOf(path string) string {
	if !strings.HasPrefix(path, "file:") {
		return strings.TrimPrefix(path, ":memory:")
	}
	u, err := url.Parse(path)
	if err != nil || u.Query().Get("mode") == "memory" {
		return ""
	}
	if u.Opaque == "" {
		return u.Path
	}
	name, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return ""
	}
	return name
}
