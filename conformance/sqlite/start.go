package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/target"
	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

const (
	hostname   = "test.example.com"
	registered = "boule" // with go-sqlite3, whatever the name in SQLite is

	// One in so many snapshots is uploaded at once, restored from the store alone, and compared.
	// The next snapshots then lean on chunks in the store.
	uploadOneIn = 40

	// How often chunks are looked for that other processes are moving to the store.
	searches = 10
)

var (
	testDir     string
	delay       = -time.Second // negative: none
	replication *replicating   // nil: nothing is replicated
	outside     = newContext(context.Background())
)

func main() {} // never called: this is a library

// start prepares what the environment asks for, and returns the name of the VFS.
var start = sync.OnceValue(func() string {
	kind := os.Getenv("BOULE_VFS")
	var m *tracker.Manager
	switch kind {
	case "":
		return ""
	case "plain":
	case "replicated":
		var err error
		if m, err = replicate(os.Getenv("BOULE_TEST_DIR")); err != nil {
			fatal("%v", err)
		}
	default:
		fatal("BOULE_VFS is %q", kind)
	}
	vfs.Register(registered, wasmvfs.New(m, nil))
	if name := os.Getenv("BOULE_VFS_NAME"); name != "" {
		return name
	}
	return registered
})

// replicating is the replication of this process.
type replicating struct {
	root    *spool.Root
	manager *tracker.Manager
	target  spool.Target
	stores  *target.Stores
	copier  *copier.Copier
}

// replicate starts replication to a directory.
func replicate(dir string) (*tracker.Manager, error) {
	if dir == "" {
		return nil, errors.New("BOULE_TEST_DIR is needed")
	}
	testDir = dir
	if err := openCounts(dir); err != nil {
		return nil, err
	}
	count(processes)
	if text := os.Getenv("BOULE_TEST_DELAY"); text != "" {
		var err error
		if delay, err = time.ParseDuration(text); err != nil {
			return nil, err
		}
	}
	root, err := spool.OpenRoot(filepath.Join(dir, "spool"), 0, nil)
	if err != nil {
		return nil, err
	}
	unlimited := budget.NewLimiter(&budget.Options{Rate: -1, FlushRate: -1})
	// Validation puts a state together from what is staged and, object by object, from what is in the store.
	to := target.Target{File: &target.File{Directory: filepath.Join(dir, "store")}, Layout: target.LayoutChunks}
	spec, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	logs, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	open := func(ctx context.Context, spec json.RawMessage) (*copier.Stores, error) {
		var t target.Target
		if err := json.Unmarshal(spec, &t); err != nil {
			return nil, err
		}
		// Validation waits for the store within transactions, so nothing else may slow it down.
		return target.Open(ctx, t, &target.OpenOptions{Limiter: unlimited})
	}
	stores, err := open(context.Background(), spec)
	if err != nil {
		return nil, err
	}
	r := &replicating{root: root, target: spool.Target{ID: to.ID(), Spec: spec}, stores: stores}
	r.target.ID = "t"
	r.manager = tracker.New(r.options(logger))
	r.copier = copier.New(&copier.Options{Open: open, Logger: logger, Desync: r.manager.Desync})
	replication = r
	return r.manager, nil
}

// options are those of the tracker: a snapshot that failed is tried again with the next
// transaction, so that none goes without.
func (r *replicating) options(logger *slog.Logger) *tracker.Options {
	return &tracker.Options{
		Root: r.root, Hostname: hostname, Targets: []spool.Target{r.target}, Notify: snapshotTaken, CommitChunks: -1,
		Logger: logger, MinBackoff: 1, MaxBackoff: 1, Coalesce: delay,
	}
}

// staged puts the database together from what is staged in the spool, and the store.
func (r *replicating) staged(key spool.Key) ([]byte, error) {
	dir := filepath.Join(r.root.Dir(), filepath.FromSlash(key.String()))
	names, err := os.ReadDir(filepath.Join(dir, "staging", "meta"))
	if err != nil {
		return nil, err
	}
	if len(names) != 1 {
		return nil, fmt.Errorf("%d manifests are staged", len(names))
	}
	data, err := os.ReadFile(filepath.Join(dir, "staging", "meta", names[0].Name()))
	if err != nil {
		return nil, err
	}
	m, err := manifest.Decode(data)
	if err != nil {
		return nil, err
	}
	if err := m.Expand(func(f manifest.Fingerprint) ([]byte, error) { return r.chunk(dir, f) }); err != nil {
		return nil, err
	}
	db := append(make([]byte, 0, m.Size), m.First...)
	for i, f := range m.Chunks {
		switch {
		case i == 0:
		case f == manifest.ZeroChunk:
			db = append(db, make([]byte, manifest.ChunkSize)...)
		default:
			chunk, err := r.chunk(dir, f)
			if err != nil {
				return nil, fmt.Errorf("chunk %d of %d: %w", i, len(m.Chunks), err)
			}
			db = append(db, chunk...)
		}
	}
	if int64(len(db)) != m.Size {
		return nil, fmt.Errorf("chunks make %d bytes, the manifest says %d", len(db), m.Size)
	}
	return db, nil
}

// chunk finds a chunk, or an index block, where the spool's protocol says that it is: it moves from staging, or
// ready, by way of consuming to the store.
func (r *replicating) chunk(dir string, f manifest.Fingerprint) ([]byte, error) {
	name := f.ChunkName()
	var err error
	for range searches {
		places := []string{filepath.Join(dir, "staging", "index", name), filepath.Join(dir, "staging", "chunks", name)}
		for _, sub := range []string{"ready", "consuming"} {
			found, _ := filepath.Glob(filepath.Join(escape(dir), sub, "*", "chunks"))
			for _, chunks := range found {
				places = append(places, filepath.Join(chunks, name))
			}
		}
		for _, place := range places {
			data, err := os.ReadFile(place)
			switch {
			case err == nil && manifest.Sum(data) != f:
				return nil, fmt.Errorf("%s is damaged", place)
			case err == nil:
				return data, nil
			case !errors.Is(err, fs.ErrNotExist):
				return nil, err
			}
		}
		var data []byte
		if data, err = r.remote(name); err == nil {
			return manifest.DecompressChunk(data, f)
		}
	}
	return nil, err
}

// escape keeps Glob from reading patterns in a path.
func escape(path string) string {
	var b []byte
	for _, c := range []byte(path) {
		switch c {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(b)
}

func (r *replicating) remote(name string) ([]byte, error) {
	obj, err := r.stores.Chunks.Get(context.Background(), name, nil)
	if err != nil {
		return nil, err
	}
	defer obj.Body.Close()
	return io.ReadAll(obj.Body)
}

// random uploads some of the snapshots. The database is locked still, so what the store has then
// must be the database.
func (r *replicating) random(d *watched, key spool.Key) error {
	if rand.IntN(uploadOneIn) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch err := r.copier.Flush(ctx, r.root, key); {
	case errors.Is(err, copier.ErrDesync):
		// Another file was uploaded under the name of this one, which is deleted or was moved.
		count(superseded)
		return nil
	case err != nil:
		return fmt.Errorf("upload: %w", err)
	}
	count(uploads)
	want, err := d.contents()
	if err != nil {
		return err
	}
	meta, err := os.ReadDir(filepath.Join(r.root.Dir(), filepath.FromSlash(key.String()), "staging", "meta"))
	if err != nil || len(meta) != 1 {
		return fmt.Errorf("%d manifests are staged: %w", len(meta), err)
	}
	sources := []replica.Source{{Chunks: r.stores.Chunks, Manifests: r.stores.Manifests}}
	m, _, _, err := replica.FetchManifest(ctx, sources, meta[0].Name())
	if err != nil {
		return fmt.Errorf("fetch what was uploaded: %w", err)
	}
	var got buffer
	if err := replica.RestoreTo(ctx, m, sources, &got, nil); err != nil {
		return fmt.Errorf("restore what was uploaded: %w", err)
	}
	return differ(want, got)
}

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
