package boule

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/boule-db/boule/wasmvfs"
)

// fetchTimeout bounds a fetch, for which one or more connections wait.
const fetchTimeout = 2 * time.Minute

// A follower follows one replica for all connections of the process that read
// it: there is one fetch at a time, however many ask.
type follower struct {
	e   *engine
	uri string

	mu       sync.Mutex // guards the following
	users    int
	newest   *snapshot
	inFlight *fetch
}

// A fetch in flight; done is closed when the other fields are set.
type fetch struct {
	done chan struct{}
	snap *snapshot
	err  error
}

// A snapshot is one state that a follower has seen.
type snapshot struct {
	content
	remote  *Remote
	source  time.Time // of content
	updated time.Time
}

// A content is a database in a store, in whatever layout.
type content interface {
	Size() int64
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// Prefetch fetches the first chunks, or all for a negative n.
	Prefetch(ctx context.Context, n, jobs int) error
}

// SourceTime implements [wasmvfs.Snapshot].
func (s *snapshot) SourceTime() time.Time { return s.source }

// Updated implements [wasmvfs.Snapshot].
func (s *snapshot) Updated() time.Time { return s.updated }

// ReadAtContext implements [wasmvfs.Snapshot].
func (s *snapshot) ReadAtContext(ctx context.Context, p []byte, off int64) (int, error) {
	return s.ReadAt(ctx, p, off)
}

// followers are shared within an engine, by reference.
type followers struct {
	sync.Mutex
	byURI map[string]*follower
}

// openSource is how the VFS boule_snapshot opens a replica.
func (e *engine) openSource(ctx context.Context, uri string) (wasmvfs.SnapshotSource, error) {
	e.followers.Lock()
	f := e.followers.byURI[uri]
	if f == nil {
		f = &follower{e: e, uri: uri}
		if e.followers.byURI == nil {
			e.followers.byURI = map[string]*follower{}
		}
		e.followers.byURI[uri] = f
	}
	f.users++
	e.followers.Unlock()
	if _, err := f.Latest(ctx, wasmvfs.Fetch); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close implements [wasmvfs.SnapshotSource].
func (f *follower) Close() error {
	f.e.followers.Lock()
	defer f.e.followers.Unlock()
	if f.users--; f.users == 0 {
		delete(f.e.followers.byURI, f.uri)
	}
	return nil
}

// Latest implements [wasmvfs.SnapshotSource].
func (f *follower) Latest(ctx context.Context, level wasmvfs.Level) (wasmvfs.Snapshot, error) {
	f.mu.Lock()
	if level == wasmvfs.Loaded && f.newest != nil {
		defer f.mu.Unlock()
		return f.newest, nil
	}
	running := f.inFlight
	f.mu.Unlock()
	if running != nil {
		select {
		case <-running.done:
			if level != wasmvfs.Force {
				return running.result()
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	own := f.start(ctx)
	select {
	case <-own.done:
		return own.result()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Prefetch implements [wasmvfs.SnapshotSource].
func (f *follower) Prefetch() { f.start(context.Background()) }

// start begins a fetch, or joins the one in flight.
func (f *follower) start(ctx context.Context) *fetch {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inFlight != nil {
		return f.inFlight
	}
	in := &fetch{done: make(chan struct{})}
	f.inFlight = in
	go func() {
		// Others may join: the one who asked first must not end it for them.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		in.snap, in.err = f.fetch(ctx)
		f.mu.Lock()
		f.inFlight = nil
		f.mu.Unlock()
		close(in.done)
	}()
	return in
}

func (in *fetch) result() (wasmvfs.Snapshot, error) {
	if in.err != nil {
		return nil, in.err
	}
	return in.snap, nil
}

// fetch gets the manifest, and makes a snapshot of it if it is newer.
func (f *follower) fetch(ctx context.Context) (*snapshot, error) {
	start := time.Now()
	f.mu.Lock()
	old := f.newest
	f.mu.Unlock()
	var last *Remote
	if old != nil {
		last = old.remote
	}
	remote, err := fetchRemote(ctx, f.uri, &f.e.cfg, last)
	if err != nil {
		return nil, err
	}
	fresh := &snapshot{remote: remote, source: remote.Manifest.SourceTime, updated: start}
	if old != nil && remote.order() <= last.order() {
		// A new value, so that connections see when it was last looked for.
		fresh.content, fresh.source = old.content, old.source
		if remote.order() < last.order() {
			fresh.remote = last // never older
		}
	} else if fresh.content, err = f.e.openSnapshot(ctx, remote); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest = fresh
	return fresh, nil
}
