package replica_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
)

func TestReadAt(t *testing.T) {
	for _, size := range []int{0, 1, 100, 65535, 65536, 65537, 131072, 400000} {
		db := mixed(size, 1)
		b := newBucket()
		s, err := replica.Open(t.Context(), b.upload(t, db), b.sources(), replica.NewCache(1<<20))
		check(t, err)
		if s.Size() != int64(size) || s.Manifest().Size != int64(size) {
			t.Errorf("%d bytes: got %d", size, s.Size())
		}
		marks := []int{0, 1, 99, 65535, 65536, 65537, 131071, size - 1, size, size + 1, size + 70000}
		for _, from := range marks {
			for _, to := range marks {
				if from < 0 || to < from {
					continue
				}
				p := make([]byte, to-from)
				n, err := s.ReadAt(t.Context(), p, int64(from))
				want := db[min(from, size):min(to, size)]
				wantBytes(t, fmt.Sprintf("%d bytes: [%d, %d)", size, from, to), p[:n], want)
				if short := len(want) < len(p); short && !errors.Is(err, io.EOF) || !short && err != nil {
					t.Errorf("%d bytes: [%d, %d): got %d, %v", size, from, to, n, err)
				}
			}
		}
		if _, err := s.ReadAt(t.Context(), make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("negative offset: got %v", err)
		}
		if _, err := s.ReadAt(t.Context(), make([]byte, 1), 1<<63-1); !errors.Is(err, io.EOF) {
			t.Errorf("greatest offset: got %v", err)
		}
	}
}

func TestReadAtAnywhere(t *testing.T) {
	db := mixed(1000000, 2)
	b := newBucket()
	m := b.upload(t, db)
	s, err := replica.Open(t.Context(), m, b.sources(), replica.NewCache(300000)) // evicting
	check(t, err)
	rapid.Check(t, func(r *rapid.T) {
		off := rapid.IntRange(0, len(db)).Draw(r, "off")
		n := rapid.IntRange(0, len(db)-off).Draw(r, "n")
		p := make([]byte, n)
		got, err := s.ReadAt(context.Background(), p, int64(off))
		if err != nil || got != n || string(p) != string(db[off:off+n]) {
			r.Fatalf("got %d, %v", got, err)
		}
	})
}

func TestReadAtFetchesLittle(t *testing.T) {
	db := mixed(20*manifest.ChunkSize, 3)
	b := newBucket()
	m := b.upload(t, db)
	cache := replica.NewCache(10 << 20)
	open := func() *replica.Snapshot {
		s, err := replica.Open(t.Context(), m, b.sources(), cache)
		check(t, err)
		return s
	}
	requests := func() int { return len(b.faulty.Calls()) }
	s := open()
	if n := requests(); n != 0 {
		t.Errorf("opening made %d requests", n)
	}
	p := make([]byte, 100)
	for _, i := range []int64{0, 1, 6} { // the first; zeros; zeros
		_, err := s.ReadAt(t.Context(), p, i*manifest.ChunkSize)
		check(t, err)
	}
	if n := requests(); n != 0 {
		t.Errorf("what is known made %d requests", n)
	}
	for range 3 {
		_, err := open().ReadAt(t.Context(), p, 3*manifest.ChunkSize)
		check(t, err)
	}
	if n := requests(); n != 1 {
		t.Errorf("one chunk made %d requests", n)
	}
	check(t, s.Prefetch(t.Context(), -1, 3))
	distinct := map[manifest.Fingerprint]bool{}
	for _, f := range m.Chunks[1:] {
		distinct[f] = f != manifest.ZeroChunk && f != m.Chunks[0]
	}
	want := 0
	for _, counts := range distinct {
		if counts {
			want++
		}
	}
	if n := requests(); n != want {
		t.Errorf("all chunks made %d requests, want %d", n, want)
	}
}

func TestPrefetchPart(t *testing.T) {
	db := content(10*manifest.ChunkSize+7, 4)
	b := newBucket()
	m := b.upload(t, db)
	for n, want := range map[int]int{0: 1, 1: 1, 3: 3, 10: 10, 11: 10, 100: 10, -1: 10} {
		b.faulty.SetPlan(nil)
		s, err := replica.Open(t.Context(), m, b.sources(), nil)
		check(t, err)
		check(t, s.Prefetch(t.Context(), n, 0))
		calls := b.faulty.Calls()
		if len(calls) != want {
			t.Errorf("%d: got %d requests, want %d", n, len(calls), want)
		}
		last := false
		for _, c := range calls {
			last = last || c.Key == "chunks/"+m.Chunks[10].ChunkName()
		}
		if !last {
			t.Errorf("%d: the last chunk was not fetched", n)
		}
	}
	b.faulty.SetPlan(storefault.Always(storefault.Fault{Fail: true}))
	s, err := replica.Open(t.Context(), m, b.sources(), nil)
	check(t, err)
	wantIs(t, "failing", s.Prefetch(t.Context(), -1, 2), storefault.ErrInjected)
	empty, err := replica.Open(t.Context(), describe(nil), nil, nil)
	check(t, err)
	check(t, empty.Prefetch(t.Context(), -1, 0))
	check(t, empty.Prefetch(t.Context(), 3, 0))
}

func TestOpenOfAnInvalidManifest(t *testing.T) {
	m := describe(content(1000, 1))
	m.Size++
	_, err := replica.Open(t.Context(), m, nil, nil)
	wantIs(t, "Open", err, manifest.ErrCorrupt)
}

func TestChunkFailover(t *testing.T) {
	db := content(3*manifest.ChunkSize, 5)
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for _, c := range []struct {
		name  string
		spoil func(b *bucket, m *manifest.Manifest)
	}{
		{"absent", func(b *bucket, m *manifest.Manifest) {
			check(t, b.raw.Delete(context.Background(), "chunks/"+m.Chunks[1].ChunkName()))
		}},
		{"another chunk", func(b *bucket, m *manifest.Manifest) {
			b.put(t, "chunks/"+m.Chunks[1].ChunkName(), manifest.Compress(chunkOf(db, 2)))
		}},
		{"damaged", func(b *bucket, m *manifest.Manifest) {
			b.put(t, "chunks/"+m.Chunks[1].ChunkName(), flip(manifest.Compress(chunkOf(db, 1))))
		}},
		{"not compressed", func(b *bucket, m *manifest.Manifest) {
			b.put(t, "chunks/"+m.Chunks[1].ChunkName(), chunkOf(db, 1))
		}},
		{"truncated", func(b *bucket, m *manifest.Manifest) {
			b.put(t, "chunks/"+m.Chunks[1].ChunkName(), manifest.Compress(chunkOf(db, 1))[:1000])
		}},
		{"huge", func(b *bucket, m *manifest.Manifest) {
			b.put(t, "chunks/"+m.Chunks[1].ChunkName(), make([]byte, 1<<20))
		}},
		{"failing", func(b *bucket, m *manifest.Manifest) {
			b.faulty.SetPlan(storefault.Always(storefault.Fault{Fail: true}))
		}},
		{"breaking off", func(b *bucket, m *manifest.Manifest) {
			b.faulty.SetPlan(storefault.Always(storefault.Fault{After: 100}))
		}},
	} {
		bad, good := newBucket(), newBucket()
		bad.upload(t, db)
		m := good.upload(t, db)
		c.spoil(bad, m)
		s, err := replica.Open(t.Context(), m, []replica.Source{bad.source("bad"), good.source("good")}, nil)
		check(t, err)
		p := make([]byte, manifest.ChunkSize)
		if _, err := s.ReadAt(t.Context(), p, manifest.ChunkSize); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		wantBytes(t, c.name, p, chunkOf(db, 1))
		if got := good.faulty.Count(store.VerbGet); got != 1 {
			t.Errorf("%s: the good one was asked %d times", c.name, got)
		}
	}
}

func TestChunkOfNobody(t *testing.T) {
	db := content(2*manifest.ChunkSize, 6)
	one, two := newBucket(), newBucket()
	m := one.upload(t, db)
	chunk := m.Chunks[1].ChunkName()
	check(t, one.raw.Delete(t.Context(), "chunks/"+chunk))
	read := func(sources ...replica.Source) error {
		s, err := replica.Open(t.Context(), m, sources, nil)
		check(t, err)
		p := make([]byte, 2*manifest.ChunkSize)
		n, err := s.ReadAt(t.Context(), p, 0)
		wantBytes(t, "before the error", p[:n], db[:manifest.ChunkSize])
		return err
	}
	err := read(one.source("alpha"), two.source("beta"))
	wantIs(t, "absent", err, replica.ErrMissing)
	for _, part := range []string{chunk, "alpha", "beta"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	two.put(t, "chunks/"+chunk, manifest.Compress([]byte("other")))
	err = read(one.source("alpha"), two.source("beta"))
	wantIs(t, "corrupt", err, manifest.ErrCorrupt)
	if errors.Is(err, replica.ErrMissing) || !strings.Contains(err.Error(), chunk) || !strings.Contains(err.Error(), "beta: ") {
		t.Errorf("corrupt: got %v", err)
	}
	wantIs(t, "no sources", read(), replica.ErrNoSource)
	wantIs(t, "manifests only", read(replica.Source{Manifests: one.raw}), replica.ErrNoSource)
}

// A manifest may be valid and yet name a chunk of another length than its place has.
func TestChunkOfAnotherLength(t *testing.T) {
	db := content(3*manifest.ChunkSize, 7)
	b := newBucket()
	m := b.upload(t, db)
	short := content(1000, 8)
	m.Chunks[1] = manifest.Sum(short)
	b.put(t, "chunks/"+m.Chunks[1].ChunkName(), manifest.Compress(short))
	s, err := replica.Open(t.Context(), m, b.sources(), nil)
	check(t, err)
	for range 2 { // fetched, and from the cache
		_, err = s.ReadAt(t.Context(), make([]byte, 10), manifest.ChunkSize)
		wantIs(t, "ReadAt", err, manifest.ErrCorrupt)
	}
	wantIs(t, "Restore", replica.Restore(t.Context(), m, b.sources(), newBuffer(m.Size), nil), manifest.ErrCorrupt)
	wantIs(t, "RestoreTo", replica.RestoreTo(t.Context(), m, b.sources(), io.Discard, nil), manifest.ErrCorrupt)

	// The same chunk at a place where it fits and at the end, where it does not.
	db = content(2*manifest.ChunkSize, 9)
	b.upload(t, db)
	m = describe(append(db, 1, 2, 3))
	m.Chunks[2] = m.Chunks[1]
	wantIs(t, "Restore of a repeated one", replica.Restore(t.Context(), m, b.sources(), newBuffer(m.Size), nil), manifest.ErrCorrupt)
}

func TestReadAtConcurrently(t *testing.T) {
	db := mixed(40*manifest.ChunkSize+123, 10)
	b := newBucket()
	m := b.upload(t, db)
	cache := replica.NewCache(12 * manifest.ChunkSize)
	var wg sync.WaitGroup
	for g := range 8 {
		s, err := replica.Open(t.Context(), m, b.sources(), cache)
		check(t, err)
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(g)))
			for range 100 {
				off := rng.IntN(len(db))
				p := make([]byte, min(rng.IntN(3*manifest.ChunkSize), len(db)-off))
				if _, err := s.ReadAt(t.Context(), p, int64(off)); err != nil || string(p) != string(db[off:off+len(p)]) {
					t.Errorf("at %d: %v", off, err)
					return
				}
				clear(p) // what was read is the reader's own
			}
		})
	}
	wg.Wait()
	if s := cache.Stats(); s.Bytes > 12*manifest.ChunkSize || s.Evicted == 0 {
		t.Errorf("got %+v", s)
	}
}
