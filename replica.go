package boule

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/wasmvfs"
)

// chunkCache holds chunks of all replicas that this process reads.
var chunkCache = replica.NewCache(64 << 20)

// OpenReplica opens a replica as a read-only database: ref and cfg as for [Fetch].
// Chunks are fetched when they are read, verified, and kept in a cache that all
// replicas of the process share. PRAGMA boule_snapshot_refresh moves a connection
// to the newest snapshot. It fails with [ErrNoReplica] when there is none.
func OpenReplica(ctx context.Context, ref string, cfg *Config) (*sql.DB, error) {
	name, source, err := openReplica(ctx, ref, cfg)
	if err != nil {
		return nil, err
	}
	c, err := newConnector(name, "replica "+ref)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	c.onClose = source.Close
	db, err := c.openDB(ctx)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	return db, nil
}

// OpenReplicaConn is [OpenReplica] for programs that use go-sqlite3 directly.
func OpenReplicaConn(ctx context.Context, ref string, cfg *Config) (*sqlite3.Conn, error) {
	name, source, err := openReplica(ctx, ref, cfg)
	if err != nil {
		return nil, err
	}
	defer source.Close() // the connection has its own
	conn, err := host.Open(ctx, name, sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
	if err != nil {
		return nil, fmt.Errorf("boule: open replica %s: %w", ref, err)
	}
	return conn, nil
}

// openReplica fetches the manifest, where ctx can end it and errors can be told in
// full, and returns the SQLite URI of the replica. The source keeps what was
// fetched until it is closed.
func openReplica(ctx context.Context, text string, cfg *Config) (string, wasmvfs.SnapshotSource, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return "", nil, err
	}
	ref, err := replica.ParseRef(text)
	if err != nil {
		return "", nil, fmt.Errorf("boule: %w", err)
	}
	if ref.Kind == replica.RefFile {
		if ref.Path, err = filepath.Abs(ref.Path); err != nil {
			return "", nil, fmt.Errorf("boule: %w", err)
		}
	}
	e, err := engineFor(cfg, false)
	if err != nil {
		return "", nil, err
	}
	source, err := e.openSource(ctx, ref.String())
	if err != nil {
		return "", nil, fmt.Errorf("boule: open replica %s: %w", text, err)
	}
	return dsn(ref.String(), e.snapVFS, "mode=ro"), source, nil
}

// openSnapshot prepares the snapshot that remote describes, as the policy says.
func (e *engine) openSnapshot(ctx context.Context, remote *Remote) (snap content, err error) {
	if l := remote.logged; l != nil {
		snap = l.log.Open(l.head.Entry, chunkCache)
	} else if snap, err = replica.Open(ctx, remote.Manifest, remote.sources, chunkCache); err != nil {
		return nil, err
	}
	switch p := e.cfg.LoadingPolicy; {
	case p.Eager:
		err = snap.Prefetch(ctx, -1, 0)
	case p.Partial:
		err = snap.Prefetch(ctx, p.first(manifest.Count(remote.Manifest.Size)), 0)
	}
	if err != nil {
		return nil, err
	}
	return snap, nil
}
