package copier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
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
	if name, ok := strings.CutPrefix(key, "m/"); ok && !strings.Contains(name, "/") {
		b.check(ctx, name, body)
	} else if ok || strings.HasPrefix(key, "c/packs/") {
		// what restoreLog checks
	} else if sum, err := manifest.ParseChunkName(strings.TrimPrefix(key, "c/")); err != nil {
		b.complain("put of chunk %s: %v", key, err)
	} else if _, err := manifest.DecompressChunk(body, sum); err != nil {
		b.complain("put of chunk %s: %v", key, err)
	}
	return b.Store.Put(ctx, key, body, cond)
}

func (b *bucket) check(ctx context.Context, name string, body []byte) {
	ctx = context.WithoutCancel(ctx) // the put may be given up, the check is ours
	m, err := manifest.Decode(body)
	if err != nil {
		b.complain("put of manifest: %v", err)
		return
	}
	for i := range m.Blocks {
		if stored := m.Blocks[i].Stored; stored != manifest.NoBlock {
			if _, err := b.Head(ctx, "c/"+stored.ChunkName()); err != nil {
				b.complain("put of manifest %d: index block %d: %v", m.Sequence, i, err)
			}
		}
	}
	list, err := m.List(b.block)
	if err != nil {
		b.complain("put of manifest %d: %v", m.Sequence, err)
	}
	for i, sum := range list {
		if i == 0 || sum == manifest.ZeroChunk {
			continue
		}
		if _, err := b.Head(ctx, "c/"+sum.ChunkName()); err != nil {
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

// block reads an index block.
func (b *bucket) block(f manifest.Fingerprint) ([]byte, error) {
	body, _, err := store.ReadAll(context.Background(), b.Store, "c/"+f.ChunkName(), 1<<20)
	if err != nil {
		return nil, err
	}
	return manifest.DecompressChunk(body, f)
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
		return b.restoreLog(t, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Expand(b.block); err != nil {
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

// restoreLog is restore for a replica in the layout log. All that was ever appended must be states that there were.
func (b *bucket) restoreLog(t testing.TB, name string) []byte {
	t.Helper()
	log := logrep.New(store.WithPrefix(b, "c/"), store.WithPrefix(b, "m/"), name)
	head, err := log.Head(t.Context(), nil)
	if errors.Is(err, logrep.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= head.Entry.Number && b.history != nil; n++ {
		h, err := log.Entry(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		m := &manifest.Manifest{Sequence: h.Entry.Sequence, Size: h.Entry.Size, Blocks: []manifest.Block{}}
		for i := range h.Entry.Blocks {
			m.Blocks = append(m.Blocks, manifest.Block{Digest: h.Entry.Blocks[i].Digest})
		}
		if !b.history.has(m) {
			t.Errorf("entry %d is no state that there was", n)
		}
	}
	faults := func(f *logrep.Fault) { t.Error(f) }
	if _, err := log.Check(t.Context(), &logrep.CheckOptions{Percent: 100}, faults); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, head.Entry.Size)
	snap := log.Open(head.Entry, nil)
	if n, err := snap.ReadAt(t.Context(), data, 0); n != len(data) {
		t.Fatal(err)
	}
	return data
}

// open is an Options.Open for one bucket behind faults.
func opens(s store.Store) func(context.Context, json.RawMessage) (*copier.Stores, error) {
	return func(context.Context, json.RawMessage) (*copier.Stores, error) {
		return &copier.Stores{Chunks: store.WithPrefix(s, "c/"), Manifests: store.WithPrefix(s, "m/")}, nil
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
	chunk := make([]byte, 1000) // which is worth compressing
	if _, err := manifest.DecompressChunk(manifest.Compress(chunk), manifest.Sum(chunk)); err != nil {
		panic(err)
	}
	frame := remotelog.AppendFrame(nil, remotelog.KindChunk, chunk)
	if _, err := remotelog.DecodeFrame(frame, remotelog.KindChunk); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
