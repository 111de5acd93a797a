package tracker_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/tracker"
)

const chunk = manifest.ChunkSize

var (
	targetA = spool.Target{ID: "aaaaaaaaaaaaaaaa", Spec: json.RawMessage(`{"a":1}`)}
	targetB = spool.Target{ID: "bbbbbbbbbbbbbbbb", Spec: json.RawMessage(`{"b":1}`)}
	magic   = []byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7}
)

// tb is what the tests need of *testing.T and of *rapid.T.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

func check(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A world is a database file, what uses it, its spools, and what reached the stores.
type world struct {
	tb
	path    string
	prefix  string
	inject  func(op fsx.Op, name string) error // nil: nothing fails
	noAttr  bool
	window  time.Duration        // of bursts; zero puts nothing off
	next    map[string]time.Time // by target: when what is staged is taken
	targets []spool.Target

	parts                   int           // of snapshots that were told of
	commitChunks, overrides int           // zero: no bound, the default
	maxAhead                int           // zero: the default
	backoff                 time.Duration // least and most; zero: nearly none
	patience                time.Duration // zero: none

	good    *spool.Root // never fails
	m       *tracker.Manager
	remotes map[string]*spooltest.Remote
	toys    map[string]*spooltest.Toy
	notes   map[string]int // notifications by target
	log     bytes.Buffer
	peak    int64
	counter uint32
}

func newWorld(t tb, dir string, targets ...spool.Target) *world {
	t.Helper()
	if len(targets) == 0 {
		targets = []spool.Target{targetA}
	}
	w := &world{
		tb: t, path: filepath.Join(dir, "db"), prefix: filepath.Join(dir, "spool"), targets: targets,
		remotes: map[string]*spooltest.Remote{}, toys: map[string]*spooltest.Toy{}, notes: map[string]int{},
	}
	check(t, os.WriteFile(w.path, nil, 0o600))
	var err error
	w.good, err = spool.OpenRoot(w.prefix, 0, &spool.Options{ScratchAge: -1})
	check(t, err)
	for _, target := range targets {
		remote := spooltest.NewRemote()
		w.remotes[target.ID] = remote
		w.toys[target.ID] = spooltest.NewToy(remote, func() (*spool.Consumer, error) {
			return w.good.Consumer(w.key(target.ID))
		})
	}
	w.restart()
	return w
}

// restart is a new process.
func (w *world) restart() {
	w.Helper()
	inject := w.inject
	w.inject = nil
	defer func() { w.inject = inject }()
	root, err := spool.OpenRoot(w.prefix, 0, &spool.Options{ScratchAge: -1, WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, name string) error {
			if w.inject != nil {
				return w.inject(op, name)
			}
			return nil
		})
	}})
	check(w.tb, err)
	opts := &tracker.Options{
		Root: root, Hostname: "host", Targets: w.targets, MinBackoff: 1, MaxBackoff: 1,
		Notify: func(k spool.Key) { w.notes[k.Target]++ },
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	w.use(opts)
}

// count counts the file operations of the producers.
func (w *world) count(ops map[string]int) {
	w.inject = func(op fsx.Op, _ string) error {
		ops[string(op)]++
		return nil
	}
}

// use makes the options those of the world's manager.
func (w *world) use(opts *tracker.Options) {
	if opts.Coalesce = w.window; w.window == 0 {
		opts.Coalesce = -1
	}
	if opts.CommitChunks = w.commitChunks; w.commitChunks == 0 {
		opts.CommitChunks = -1
	}
	opts.NextUpload = func(k spool.Key) time.Time { return w.next[k.Target] }
	opts.Overrides = w.overrides
	opts.NotifyPart = func(spool.Key) { w.parts++ }
	if w.backoff > 0 {
		opts.MinBackoff, opts.MaxBackoff = w.backoff, w.backoff
	}
	opts.Patience, opts.Pause = -1, 1
	if w.patience > 0 {
		opts.Patience = w.patience
	}
	if w.noAttr {
		opts.WithoutAttr()
	}
	opts.WithMaxAhead(w.maxAhead)
	w.m = tracker.New(opts)
}

func (w *world) key(target string) spool.Key {
	w.Helper()
	base, err := fsx.OS(filepath.Dir(w.path))
	check(w.tb, err)
	defer base.Close()
	info, err := base.Stat(filepath.Base(w.path))
	check(w.tb, err)
	return spool.KeyOf(spool.DB{Path: w.path, Dev: info.Dev, Ino: info.Ino}, target)
}

func (w *world) name() string { return manifest.Name("host", w.path) }

func (w *world) bytes() []byte {
	w.Helper()
	data, err := os.ReadFile(w.path)
	check(w.tb, err)
	return data
}

// A conn is a connection: a file, and what SQLite and the VFS would do with it.
type conn struct {
	*os.File
	w        *world
	t        *tracker.Tracker
	reserved bool
}

func (c *conn) Size() (int64, error) {
	info, err := c.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (c *conn) Reserved() (bool, error) { return c.reserved, nil }

func (w *world) open(mode tracker.Mode) *conn { return w.openWith(w.m, mode) }

func (w *world) openWith(m *tracker.Manager, mode tracker.Mode) *conn {
	w.Helper()
	c := w.bare()
	c.t = m.Track(w.path, c, mode)
	return c
}

// bare opens the file, without a tracker.
func (w *world) bare() *conn {
	w.Helper()
	f, err := os.OpenFile(w.path, os.O_RDWR, 0)
	check(w.tb, err)
	return &conn{File: f, w: w}
}

func (c *conn) close() {
	if c.t.LastChance() {
		c.unlock()
	}
	c.t.Close()
	check(c.w.tb, c.Close())
}

// write changes the file as SQLite would, whose lock is held.
func (c *conn) write(off int64, data []byte) {
	c.w.Helper()
	c.t.WillWrite(off, len(data))
	_, err := c.WriteAt(data, off)
	check(c.w.tb, err)
	c.w.grown()
}

func (c *conn) truncate(size int64) {
	c.w.Helper()
	old, err := c.Size()
	check(c.w.tb, err)
	c.t.WillTruncate(old, size)
	check(c.w.tb, c.Truncate(size))
	c.w.grown()
}

func (w *world) grown() {
	info, err := os.Stat(w.path)
	check(w.tb, err)
	w.peak = max(w.peak, info.Size())
}

// header counts a transaction in the header.
func (c *conn) header() {
	c.w.Helper()
	c.write(0, c.w.nextHeader())
}

func (w *world) nextHeader() []byte {
	h := make([]byte, 100)
	copy(h, "SQLite format 3\x00")
	h[18], h[19] = 1, 1
	w.counter++
	binary.BigEndian.PutUint32(h[24:], w.counter)
	return h
}

// unlock is what the VFS does at the end of a transaction, or of a read.
func (c *conn) unlock() { c.settle(tracker.Shared) }

func (c *conn) settle(held tracker.Held) {
	if c.t.NeedsSnapshot() {
		c.t.Snapshot(held)
	}
	c.t.Unlocked()
}

// commit is a transaction that writes what change does.
func (c *conn) commit(change func()) {
	c.w.Helper()
	c.t.LockedExclusive()
	change()
	c.header()
	c.unlock()
}

// fill writes n chunks that differ from all others.
func (c *conn) fill(first, n int, seed byte) {
	c.w.Helper()
	for i := first; i < first+n; i++ {
		c.write(int64(i)*chunk, pattern(chunk, seed, byte(i)))
	}
}

func pattern(n int, seed, i byte) []byte {
	data := make([]byte, n)
	for j := range data {
		data[j] = byte(j) ^ seed ^ i*31
	}
	return data
}

// repair does what the program does for databases that are behind.
func (w *world) repair() int {
	w.Helper()
	paths := w.m.Behind()
	for range paths {
		w.visit(tracker.Eager)
	}
	return len(paths)
}

// visit opens the database, reads, and closes it.
func (w *world) visit(mode tracker.Mode) {
	w.Helper()
	c := w.open(mode)
	c.unlock()
	c.close()
}

// judge checks all spools.
func (w *world) judge() {
	w.Helper()
	found := spooltest.Check(w.good.Dir(), &spooltest.Options{
		Remote: func(target string) *spooltest.Remote { return w.remotes[target] },
		Size:   func(string) int64 { return w.peak },
	})
	for _, toy := range w.toys {
		found = append(found, toy.Violations()...)
	}
	for _, v := range found {
		w.Errorf("%v", v)
	}
}

// uploaded drains all spools and checks that the stores have the database as it is.
func (w *world) uploaded() {
	w.Helper()
	w.judge()
	want := w.bytes()
	for id, toy := range w.toys {
		for range 2 {
			check(w.tb, toy.Pass())
		}
		data, ok := w.remotes[id].Manifests[w.name()]
		if !ok {
			w.Fatalf("target %s: nothing was uploaded; health %+v; log:\n%s", id, w.health(), &w.log)
		}
		got, err := w.remotes[id].Restore(data)
		check(w.tb, err)
		w.same(got, want)
	}
	w.judge()
}

// staged checks that what is staged for a target is the database as it is.
func (w *world) staged(target string) {
	w.Helper()
	got, err := w.remotes[target].RestoreStaged(w.good.Dir(), w.key(target), w.name())
	check(w.tb, err)
	w.same(got, w.bytes())
}

func (w *world) same(got, want []byte) {
	w.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			w.Fatalf("replica differs from the database at byte %d (chunk %d); sizes %d and %d", i, i/chunk, len(got), len(want))
		}
	}
	w.Fatalf("replica has %d bytes, the database %d", len(got), len(want))
}

func (w *world) health() tracker.Health {
	w.Helper()
	h, ok := w.m.Health(w.path)
	if !ok {
		w.Fatal("database was never seen")
	}
	return h
}

// manifest returns what is staged for a target.
func (w *world) manifest(target string) *manifest.Manifest {
	w.Helper()
	dir := filepath.Join(w.good.Dir(), filepath.FromSlash(w.key(target).String()))
	data, err := os.ReadFile(filepath.Join(dir, "staging", "meta", w.name()))
	check(w.tb, err)
	m, err := manifest.Decode(data)
	check(w.tb, err)
	check(w.tb, m.Expand(func(f manifest.Fingerprint) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, "staging", "index", f.ChunkName()))
	}))
	return m
}

// counting counts reads of chunks: how much a snapshot looked at.
type counting struct {
	*conn
	chunks map[int64]int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	if len(p) > manifest.HeaderSize {
		c.chunks[off/chunk]++
	}
	return c.conn.ReadAt(p, off)
}

var _ io.ReaderAt = (*counting)(nil)

func newT(t *testing.T, targets ...spool.Target) *world {
	t.Helper()
	return newWorld(t, t.TempDir(), targets...)
}

func (w *world) db() spool.DB {
	k := w.key("x")
	return spool.DB{Path: w.path, Dev: k.Dev, Ino: k.Ino}
}

// isCurrent says whether what is staged is the database as it is.
func (w *world) isCurrent() bool {
	w.Helper()
	got, err := w.remotes[targetA.ID].RestoreStaged(w.good.Dir(), w.key(targetA.ID), w.name())
	check(w.tb, err)
	return slices.Equal(got, w.bytes())
}
