package copier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// A bucket is the objects of one target, and watches what becomes of them: every manifest that
// is put must find its chunks there, be newer than the last, and describe a state that existed.
type bucket struct {
	store.Store

	mu     sync.Mutex // guards what follows
	last   map[string]uint64
	times  []time.Time // of puts of manifests
	faults []string
	backs  int // how often a manifest was older than the last

	mayGoBack bool     // and that is no fault
	history   *history // nil: not checked
}

func newBucket() *bucket {
	return &bucket{Store: mem.New(), last: make(map[string]uint64)}
}

func (b *bucket) complain(format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

func (b *bucket) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name, ok := strings.CutPrefix(key, "m/"); ok {
		b.check(ctx, name, body)
	} else if sum, err := manifest.ParseChunkName(strings.TrimPrefix(key, "c/")); err != nil {
		b.complain("put of chunk %s: %v", key, err)
	} else if _, err := manifest.DecompressChunk(body, sum); err != nil {
		b.complain("put of chunk %s: %v", key, err)
	}
	return b.Store.Put(ctx, key, body, cond)
}

func (b *bucket) check(ctx context.Context, name string, body []byte) {
	m, err := manifest.Decode(body)
	if err != nil {
		b.complain("put of manifest: %v", err)
		return
	}
	for i, sum := range m.Chunks {
		if i == 0 || sum == manifest.ZeroChunk {
			continue
		}
		if _, err := b.Store.Head(ctx, "c/"+sum.ChunkName()); err != nil {
			b.complain("put of manifest %d: chunk %d: %v", m.Sequence, i, err)
		}
	}
	if m.Sequence < b.last[name] {
		b.backs++
		if !b.mayGoBack {
			b.complain("put of manifest %d after %d", m.Sequence, b.last[name])
		}
	}
	if b.history != nil && !b.history.has(m) {
		b.complain("put of manifest %d: no such state", m.Sequence)
	}
	b.last[name] = m.Sequence
	b.times = append(b.times, time.Now())
}

func (b *bucket) verify(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		t.Error(f)
	}
	b.faults = nil
}

// wipe loses everything.
func (b *bucket) wipe(t testing.TB) {
	t.Helper()
	var keys []string
	for info, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	for _, key := range keys {
		if err := b.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.last)
}

// restore returns the database that the bucket holds, nil if there is none.
func (b *bucket) restore(t testing.TB, name string) []byte {
	t.Helper()
	body, _, err := store.ReadAll(t.Context(), b, "m/"+name, 1<<30)
	if errors.Is(err, store.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Clone(m.First)
	for _, sum := range m.Chunks[min(1, len(m.Chunks)):] {
		body, _, err := store.ReadAll(t.Context(), b, "c/"+sum.ChunkName(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		chunk, err := manifest.DecompressChunk(body, sum)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, chunk...)
	}
	return data
}

// open is an Options.Open for one bucket behind faults.
func opens(s store.Store) func(context.Context, json.RawMessage) (*copier.Stores, error) {
	return func(context.Context, json.RawMessage) (*copier.Stores, error) {
		return &copier.Stores{Chunks: store.WithPrefix(s, "c/"), Manifests: store.WithPrefix(s, "m/")}, nil
	}
}

// A history is the states that a database was ever in.
type history struct {
	mu     sync.Mutex
	states map[uint64]manifest.Fingerprint // sequence to the contents
}

func (h *history) add(m *manifest.Manifest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states[m.Sequence] = m.Contents()
}

func (h *history) has(m *manifest.Manifest) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum, ok := h.states[m.Sequence]
	return ok && sum == m.Contents()
}

// A database is contents and what a tracker would do about them.
type database struct {
	t    testing.TB
	root *spool.Root
	key  spool.Key
	name string

	mu      sync.Mutex // stands for the lock of the database
	prod    *spool.Producer
	rand    *rand.Rand
	content []byte
	dirty   map[int]bool
	seq     uint64
	history *history
}

const cs = manifest.ChunkSize

// newDatabase returns a database of the given number of chunks, the last of them short.
func newDatabase(t testing.TB, root *spool.Root, path, targetID string, chunks int) *database {
	t.Helper()
	db := spool.DB{Path: path, Dev: 1, Ino: 2}
	target := spool.Target{ID: targetID, Spec: json.RawMessage(`"` + targetID + `"`)}
	prod, err := root.Producer(db, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prod.Close() })
	d := &database{
		t: t, root: root, key: prod.Key(), name: manifest.Name("host.example", path), prod: prod,
		rand:    rand.New(rand.NewPCG(manifest.Sum([]byte(path)).Lo, 2)),
		content: make([]byte, chunks*cs-1000),
		dirty:   make(map[int]bool),
		history: &history{states: make(map[uint64]manifest.Fingerprint)},
	}
	for i := range chunks {
		d.write(i)
	}
	return d
}

// write changes a chunk.
func (d *database) write(chunk int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	part := d.content[chunk*cs : min((chunk+1)*cs, len(d.content))]
	for i := 0; i+8 <= len(part); i += 512 {
		for j := range 8 {
			part[i+j] = byte(d.rand.Uint32())
		}
	}
	d.dirty[chunk] = true
}

func (d *database) bytes() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.content)
}

// A step is one call of the producer's; tests stop between steps.
type step struct {
	name string
	do   func() error
}

// steps returns the steps of a snapshot.
func (d *database) steps() []step {
	full := false
	m := &manifest.Manifest{
		Header: manifest.HeaderSum(d.content), VersionID: []byte("v"),
		Size: int64(len(d.content)), SourceTime: time.Unix(0, 0).UTC(), Generator: "test", Writer: "test",
		First: bytes.Clone(d.content[:min(cs, len(d.content))]),
	}
	var parts [][]byte
	for off := 0; off < len(d.content); off += cs {
		part := bytes.Clone(d.content[off:min(off+cs, len(d.content))])
		parts = append(parts, part)
		m.Chunks = append(m.Chunks, manifest.Sum(part))
	}
	d.seq = max(d.seq+1, uint64(time.Now().UnixNano()))
	m.Sequence = d.seq
	d.history.add(m)
	refs := m.Chunks[1:]
	copied := 0
	published := false
	data, err := manifest.Encode(m)
	if err != nil {
		d.t.Error(err)
	}

	steps := []step{{"staged", func() error {
		_, err := d.prod.Staged(d.name)
		if errors.Is(err, fs.ErrNotExist) {
			full, err = true, nil
		}
		return err
	}}}
	for i := 1; i < len(parts); i++ {
		steps = append(steps, step{"chunk", func() error {
			if m.Chunks[i] == manifest.ZeroChunk || !full && !d.dirty[i] {
				return nil
			}
			copied++
			return d.prod.StageChunk(m.Chunks[i], parts[i])
		}})
	}
	return append(steps,
		step{"manifest", func() error { return d.prod.StageManifest(d.name, data) }},
		step{"ready", func() (err error) {
			published, err = d.prod.PublishReady(d.name, refs)
			return err
		}},
		step{"garbage", func() error { return d.prod.CollectGarbage(published, refs, copied) }},
		step{"scratch", func() error {
			clear(d.dirty)
			return d.prod.CleanScratch()
		}})
}

// snapshot takes all steps.
func (d *database) snapshot() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.steps() {
		if err := s.do(); err != nil {
			d.t.Errorf("%s: %v", s.name, err)
		}
	}
}

// commit changes chunks and takes a snapshot.
func (d *database) commit(chunks ...int) {
	d.t.Helper()
	for _, c := range chunks {
		d.write(c)
	}
	d.snapshot()
}

// desync does what a tracker does when it is told.
func (d *database) desync() {
	d.mu.Lock()
	err := d.prod.DropStaged(d.name)
	d.mu.Unlock()
	if err != nil {
		d.t.Error(err)
	}
	d.snapshot()
}

// same fails the test unless the bucket holds the database as it is.
func (d *database) same(b *bucket) {
	d.t.Helper()
	if got := b.restore(d.t, d.name); !bytes.Equal(got, d.bytes()) {
		d.t.Errorf("restored %d bytes, which are not the %d bytes of the database", len(got), len(d.content))
	}
	b.verify(d.t)
}

// empty fails the test unless nothing is pending in the spool.
func (d *database) empty() {
	d.t.Helper()
	infos, err := d.root.Spools()
	if err != nil {
		d.t.Fatal(err)
	}
	i := slices.IndexFunc(infos, func(i spool.Info) bool { return i.Key == d.key })
	if i < 0 {
		d.t.Fatalf("no spool %v", d.key)
	}
	in := infos[i]
	if in.Staged.Chunks+in.Ready.Chunks+in.Consuming.Chunks+in.Ready.Manifests+in.Consuming.Manifests > 0 {
		d.t.Errorf("left in the spool: %+v", in)
	}
}

func newRoot(t testing.TB, opts *spool.Options) *spool.Root {
	t.Helper()
	return openRoot(t, t.TempDir(), opts)
}

func openRoot(t testing.TB, dir string, opts *spool.Options) *spool.Root {
	t.Helper()
	root, err := spool.OpenRoot(dir, 0o700, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// newCopier returns a Copier that the test closes when it ends, if it did not itself.
func newCopier(t testing.TB, opts *copier.Options) *copier.Copier {
	t.Helper()
	c := copier.New(opts)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.Close(ctx)
	})
	return c
}

// flush fails the test if it takes more than a minute.
func flush(t testing.TB, c *copier.Copier, d *database) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Flush(ctx, d.root, d.key); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition, in real time.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

var errFault = fmt.Errorf("test: %w", storefault.ErrInjected)

// The zstd coders make their channels when first used: that must be outside the bubbles.
func TestMain(m *testing.M) {
	chunk := []byte("warm up")
	if _, err := manifest.DecompressChunk(manifest.Compress(chunk), manifest.Sum(chunk)); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
