package boule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/target"
	"github.com/boule-db/boule/tracker"
)

// repairInterval is how often databases that are behind are looked at. The
// tracker spaces the attempts for each of them; this only bounds how late one is.
const repairInterval = time.Second

// maxDesyncs bounds the full snapshots that one flush takes because a store was
// found to lack data.
const maxDesyncs = 3

// openTarget opens the stores of a target as the copier finds it in a spool.
func openTarget(ctx context.Context, spec json.RawMessage) (*copier.Stores, error) {
	var t target.Target
	if err := decodeStrict(spec, &t); err != nil {
		return nil, fmt.Errorf("boule: target in spool: %w", err)
	}
	return target.Open(ctx, t, &target.OpenOptions{Limiter: writeBudget(t)})
}

// desync passes on what the copier found missing in a store to all engines: the
// one that tracks the database takes a full snapshot.
func desync(key spool.Key, reason error) {
	engines.Lock()
	defer engines.Unlock()
	for _, e := range engines.byKey {
		e.manager.Desync(key, reason)
	}
}

// notify is called on the commit path, with a snapshot just staged.
func (e *engine) notify(key spool.Key) {
	e.mu.Lock()
	c := e.copier
	_, known := e.added[key]
	if c != nil && !known {
		e.added[key] = struct{}{}
	}
	e.mu.Unlock()
	switch {
	case c == nil: // nobody uses the engine any more: a later user uploads it
	case known:
		c.Notify(key)
	default:
		c.Add(e.root, key)
	}
}

// release stops what costs something, after the last user. What is spooled stays.
func (e *engine) release(ctx context.Context) error {
	e.mu.Lock()
	e.users--
	if e.users > 0 || e.root == nil {
		e.mu.Unlock()
		return nil
	}
	stop, done, c := e.stop, e.done, e.copier
	added := e.added
	e.copier, e.added = nil, map[spool.Key]struct{}{}
	e.mu.Unlock()
	stop()
	<-done
	for key := range added {
		c.Remove(key)
	}

	engines.Lock()
	engines.users--
	last := engines.users == 0
	if last {
		engines.copier = nil
	}
	engines.Unlock()
	if !last {
		return nil
	}
	return c.Close(ctx)
}

// repair takes the snapshots that no commit takes: of databases seen for the
// first time or changed by others, and again those that failed.
func (e *engine) repair(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	tick := time.NewTicker(repairInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-e.manager.Wake():
		}
		for _, path := range e.manager.Behind() {
			if ctx.Err() != nil {
				return
			}
			if err := e.evaluate(ctx, path); err != nil && ctx.Err() == nil {
				e.log.Debug("repair snapshot", "db", path, "error", err)
			}
		}
	}
}

// evaluate makes the tracker look at the database, and stage it if it must: it
// opens a connection of its own and reads something, since the end of a read is
// where a snapshot can be taken.
func (e *engine) evaluate(ctx context.Context, path string) error {
	conn, err := host.Open(ctx, dsn(path, e.vfsName, url.Values{"boule_eager": {"1"}, "mode": {"rw"}}), sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
	if err != nil {
		return err
	}
	defer conn.Close()
	old := conn.SetInterrupt(ctx)
	defer conn.SetInterrupt(old)
	if err := conn.BusyTimeout(busyTimeout(ctx)); err != nil {
		return err
	}
	return conn.Exec(`SELECT count(*) FROM sqlite_schema`)
}

func busyTimeout(ctx context.Context) time.Duration {
	const most = 30 * time.Second
	if end, ok := ctx.Deadline(); ok {
		return max(min(time.Until(end), most), time.Millisecond)
	}
	return most
}

// dsn is the SQLite URI of a database file in a VFS.
func dsn(path, vfsName string, params url.Values) string {
	q := url.Values{"vfs": {vfsName}}
	for k, v := range params {
		q[k] = v
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}

// flush uploads the database's present state to every target.
func (e *engine) flush(ctx context.Context, path string) error {
	if len(e.targets) == 0 || e.root == nil {
		return e.whyNot()
	}
	e.mu.Lock()
	c := e.copier
	e.mu.Unlock()
	if c == nil {
		return ErrClosed
	}
	var err error
	for range maxDesyncs {
		if err := e.evaluate(ctx, path); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %s: snapshot: %w", ErrBehind, path, context.Cause(ctx))
			}
			return fmt.Errorf("boule: snapshot %s: %w", path, err)
		}
		if err := e.staged(path); err != nil {
			return err
		}
		err = e.upload(ctx, c, path)
		if !again(err) {
			break
		}
	}
	return err
}

// again reports whether a new snapshot, which the copier has asked for, will help.
func again(err error) bool {
	return errors.Is(err, copier.ErrDesync) || errors.Is(err, copier.ErrSuperseded) || errors.Is(err, copier.ErrNothingStaged)
}

// staged reports whether every target has a snapshot of what evaluate saw.
func (e *engine) staged(path string) error {
	h, ok := e.manager.Health(path)
	if !ok {
		return fmt.Errorf("%w: %s is not tracked", ErrBehind, path)
	}
	switch h.State {
	case tracker.StateOK:
		return nil
	case tracker.StateWAL:
		return fmt.Errorf("%s: %w", path, ErrWAL)
	}
	cause := h.LastError
	if cause == nil {
		cause = fmt.Errorf("state %s", h.State)
	}
	return fmt.Errorf("%w: %s: %w", ErrBehind, path, cause)
}

func (e *engine) upload(ctx context.Context, c *copier.Copier, path string) error {
	keys := e.manager.Keys(path)
	if len(keys) == 0 {
		return fmt.Errorf("%w: %s has no spool", ErrBehind, path)
	}
	errs := make(chan error, len(keys))
	for _, key := range keys {
		go func() { errs <- c.Flush(ctx, e.root, key) }()
	}
	var all []error
	for range keys {
		if err := <-errs; err != nil {
			all = append(all, err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrBehind, errors.Join(all...))
}

// whyNot says why this engine does not replicate.
func (e *engine) whyNot() error {
	switch {
	case len(e.cfg.durable()) == 0:
		return ErrNoTarget
	case e.root == nil && len(e.targets) == 0:
		return ErrUnsupported
	case e.root == nil:
		return fmt.Errorf("%w: the spool %s can't be used", ErrBehind, e.cfg.SpoolDir)
	}
	return nil
}

// flushPragma answers PRAGMA boule_flush_replication_data.
func (e *engine) flushPragma(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return e.flush(ctx, path)
}

// uploadPragma is flushPragma for a connection that keeps the database locked, and
// has staged it.
func (e *engine) uploadPragma(path string) error {
	e.mu.Lock()
	c := e.copier
	e.mu.Unlock()
	switch {
	case e.whyNot() != nil:
		return e.whyNot()
	case c == nil:
		return ErrClosed
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return e.upload(ctx, c, path)
}

// statusPragma answers PRAGMA boule_replication_status.
func (e *engine) statusPragma(path string) string {
	h, ok := e.manager.Health(path)
	if !ok {
		return `{"state":"untracked"}`
	}
	out := map[string]any{"path": h.Path, "state": h.State, "since": h.Since}
	if h.LastError != nil {
		out["error"] = h.LastError.Error()
	}
	b, err := json.Marshal(out)
	if err != nil {
		return `{"state":"unknown"}`
	}
	return string(b)
}

// CanonicalPath is the path under which a database is tracked: absolute, with
// symbolic links resolved as far as it exists.
func CanonicalPath(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if full, err := filepath.EvalSymlinks(abs); err == nil {
		return full
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		return filepath.Join(dir, filepath.Base(abs))
	}
	return abs
}

func exists(path string) error {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("boule: %s: no such database: %w", path, fs.ErrNotExist)
	}
	if err == nil && fi.IsDir() {
		return fmt.Errorf("boule: %s is a directory, not a database", path)
	}
	return err
}
