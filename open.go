package boule

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"time"
)

// defaultBusyTimeout is how long a statement waits for other connections; that
// of go-sqlite3's driver.
const defaultBusyTimeout = time.Minute

// Open opens the SQLite database at path, which replicates as cfg says; nil
// stands for what [ConfigFromEnv] gives. The database is made if it does not
// exist. path may be a SQLite URI ("file:…?_pragma=…"), as go-sqlite3's driver
// takes it; its parameter vfs is Boule's.
//
// Closing the *sql.DB waits until what was committed is uploaded, for
// cfg.DrainTimeout at most. Its error then says that replication is behind
// ([ErrBehind]); nothing of the database is lost by that, and the next process
// that opens the database, or `boule flush`, uploads the rest.
//
// Without targets in cfg the database works unreplicated.
func Open(ctx context.Context, path string, cfg *Config) (*sql.DB, error) {
	r, err := New(cfg)
	if err != nil {
		return nil, err
	}
	c, err := r.connector(path)
	if err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	c.onClose = func() error { return r.drain(c.file) }
	db, err := c.openDB(ctx)
	if err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	return db, nil
}

// drain uploads a database that is being closed, and closes its Replicator. The
// file is empty for a database in memory.
func (r *Replicator) drain(file string) error {
	if r.drains < 0 {
		return r.abandon()
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.drains)
	defer cancel()
	var err error
	if file != "" && r.Replicating() {
		if fi, serr := os.Stat(file); serr == nil && fi.Size() > 0 {
			err = r.flush(ctx, file, flushing)
		}
		if errors.Is(err, ErrWAL) {
			err = nil // said in the log, once; no failure of closing
		}
	}
	if cerr := r.Close(ctx); err == nil {
		err = cerr
	}
	return err
}

// abandon closes a Replicator without waiting for uploads, which is no failure.
func (r *Replicator) abandon() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.Close(ctx) // says only what waits
	return nil
}

// absolute is path as it is meant now, whatever the directory when it is used.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
