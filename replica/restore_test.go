package replica_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
)

// ways are all ways to restore, each to a buffer.
var ways = map[string]func(ctx context.Context, m *manifest.Manifest, sources []replica.Source, opts *replica.RestoreOptions) ([]byte, error){
	"Restore": func(ctx context.Context, m *manifest.Manifest, sources []replica.Source, opts *replica.RestoreOptions) ([]byte, error) {
		w := newBuffer(max(m.Size, 0))
		err := replica.Restore(ctx, m, sources, w, opts)
		return w.b, err
	},
	"RestoreTo": func(ctx context.Context, m *manifest.Manifest, sources []replica.Source, opts *replica.RestoreOptions) ([]byte, error) {
		var w bytes.Buffer
		err := replica.RestoreTo(ctx, m, sources, &w, opts)
		return w.Bytes(), err
	},
}

func TestRestore(t *testing.T) {
	for _, size := range []int{0, 1, 99, 100, 65535, 65536, 65537, 131072, 1000000, 5 << 20} {
		db := mixed(size, 1)
		b := newBucket()
		m := b.upload(t, db)
		for way, restore := range ways {
			for _, jobs := range []int{0, 1, 3} {
				var last int64
				got, err := restore(t.Context(), m, b.sources(), &replica.RestoreOptions{Jobs: jobs, Progress: func(done, total int64) {
					if done <= last || total != int64(size) {
						t.Errorf("%s: progress from %d to %d of %d", way, last, done, total)
					}
					last = done
				}})
				check(t, err)
				wantBytes(t, way, got, db)
				if last != int64(size) {
					t.Errorf("%s: progress ended at %d of %d", way, last, size)
				}
			}
		}
	}
}

func TestRestoreAnything(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		// A database put together from pieces: unique, repeated, zeros, and a rest.
		var db []byte
		var fill [manifest.ChunkSize]byte
		for i := range rapid.IntRange(0, 12).Draw(r, "chunks") {
			switch kind := rapid.IntRange(0, 3).Draw(r, "kind"); kind {
			case 0:
				clear(fill[:])
			case 1:
				copy(fill[:], content(manifest.ChunkSize, 1))
			case 2:
				copy(fill[:], content(manifest.ChunkSize, byte(i+2)))
			case 3: // like the one before
			}
			db = append(db, fill[:]...)
		}
		rest := rapid.SampledFrom([]int{0, 1, 100, 4096, 65535}).Draw(r, "rest")
		if rapid.Bool().Draw(r, "zeros") {
			db = append(db, make([]byte, rest)...)
		} else {
			db = append(db, content(rest, 99)...)
		}
		b := newBucket()
		m := b.upload(t, db)
		opts := &replica.RestoreOptions{Jobs: rapid.IntRange(1, 9).Draw(r, "jobs")}
		for way, restore := range ways {
			got, err := restore(context.Background(), m, b.sources(), opts)
			if err != nil || !bytes.Equal(got, db) {
				r.Fatalf("%s: got %d bytes of %d, %v", way, len(got), len(db), err)
			}
		}
	})
}

func TestRestoreFetchesRepeatedChunksOnce(t *testing.T) {
	one, other := content(manifest.ChunkSize, 1), content(manifest.ChunkSize, 2)
	db := slices.Concat(content(manifest.ChunkSize, 3), one, other, one, one, other, make([]byte, 10*manifest.ChunkSize), one)
	b := newBucket()
	m := b.upload(t, db)
	for way, restore := range ways {
		b.faulty.SetPlan(nil)
		got, err := restore(t.Context(), m, b.sources(), nil)
		check(t, err)
		wantBytes(t, way, got, db)
		if n := len(b.faulty.Calls()); n != 2 {
			t.Errorf("%s: got %d requests, want 2", way, n)
		}
	}
}

func TestRepeats(t *testing.T) {
	f := func(n uint64) manifest.Fingerprint { return manifest.Fingerprint{Hi: n / 10, Lo: n} }
	next, follows := replica.Repeats([]manifest.Fingerprint{f(7), f(1), f(7), f(2), f(1), f(7)})
	if want := []int32{2, 4, 5, 0, 0, 0}; !slices.Equal(next, want) {
		t.Errorf("next: got %v, want %v", next, want)
	}
	if want := []bool{false, false, true, false, true, true}; !slices.Equal(follows, want) {
		t.Errorf("follows: got %v, want %v", follows, want)
	}
}

func TestRestoreFailover(t *testing.T) {
	db := content(50*manifest.ChunkSize, 4)
	bad, good := newBucket(), newBucket()
	bad.upload(t, db)
	m := good.upload(t, db)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 1; i < 50; i++ {
		key := "chunks/" + m.Chunks[i].ChunkName()
		switch rng.IntN(3) {
		case 0:
			check(t, bad.raw.Delete(t.Context(), key))
		case 1:
			bad.put(t, key, manifest.Compress(db[:1000]))
		}
	}
	for way, restore := range ways {
		got, err := restore(t.Context(), m, []replica.Source{bad.source("bad"), good.source("good")}, nil)
		check(t, err)
		wantBytes(t, way, got, db)
	}
}

// Whatever request fails, in whatever way, there is an error or the right bytes.
func TestRestoreFailing(t *testing.T) {
	db := content(13*manifest.ChunkSize, 5)
	b := newBucket()
	m := b.upload(t, db)
	for way, restore := range ways {
		for _, f := range []storefault.Fault{{Fail: true}, {After: 1000}, {Fail: true, Err: store.ErrAccess}} {
			for n := 0; ; n++ {
				b.faulty.SetPlan(storefault.Nth(n, f))
				got, err := restore(t.Context(), m, b.sources(), &replica.RestoreOptions{Jobs: 3})
				if n >= 12 {
					check(t, err)
					wantBytes(t, way, got, db)
					break
				}
				want := storefault.ErrInjected
				if f.Err != nil {
					want = f.Err
				}
				wantIs(t, fmt.Sprintf("%s, request %d", way, n), err, want)
			}
		}
		b.faulty.SetPlan(nil)
	}
}

func TestRestoreOfAnInvalidManifest(t *testing.T) {
	m := describe(content(1000, 1))
	m.Size = -1
	for way, restore := range ways {
		_, err := restore(t.Context(), m, nil, nil)
		wantIs(t, way, err, manifest.ErrCorrupt)
	}
}

func TestRestoreCancelled(t *testing.T) {
	db := content(40*manifest.ChunkSize, 6)
	b := newBucket()
	m := b.upload(t, db)
	cause := errors.New("enough")
	for way, restore := range ways {
		for _, after := range []int64{0, 1, 20 * manifest.ChunkSize} {
			ctx, cancel := context.WithCancelCause(t.Context())
			if after == 0 {
				cancel(cause)
			}
			var stopped int64
			_, err := restore(ctx, m, b.sources(), &replica.RestoreOptions{Jobs: 2, Progress: func(done, total int64) {
				stopped = done
				if done >= after {
					cancel(cause)
				}
			}})
			wantIs(t, way, err, cause)
			if stopped == m.Size {
				t.Errorf("%s: went on to the end", way)
			}
			cancel(nil)
		}
	}
	// Also if nothing has to be fetched.
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	zeros := describe(append(content(manifest.ChunkSize, 1), make([]byte, 3*manifest.ChunkSize)...))
	wantIs(t, "zeros", replica.Restore(ctx, zeros, nil, newBuffer(zeros.Size), nil), cause)
}

// A failing writer: after some bytes nothing more is taken.
type failing struct {
	mu   sync.Mutex
	left int
}

func (f *failing) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left -= len(p)
	if f.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func (f *failing) WriteAt(p []byte, _ int64) (int, error) { return f.Write(p) }

func TestRestoreToAFailingWriter(t *testing.T) {
	db := content(20*manifest.ChunkSize, 7)
	b := newBucket()
	m := b.upload(t, db)
	for _, room := range []int{0, 3 * manifest.ChunkSize, 19 * manifest.ChunkSize} {
		wantIs(t, "Restore", replica.Restore(t.Context(), m, b.sources(), &failing{left: room}, nil), io.ErrClosedPipe)
		wantIs(t, "RestoreTo", replica.RestoreTo(t.Context(), m, b.sources(), &failing{left: room}, nil), io.ErrClosedPipe)
	}
}

func TestRestoreZeroed(t *testing.T) {
	db := slices.Concat(content(manifest.ChunkSize, 1), make([]byte, 2*manifest.ChunkSize), content(10, 2))
	b := newBucket()
	m := b.upload(t, db)
	w := newBuffer(m.Size)
	check(t, replica.Restore(t.Context(), m, b.sources(), w, &replica.RestoreOptions{Zeroed: true}))
	want := bytes.Clone(db)
	for i := manifest.ChunkSize; i < 3*manifest.ChunkSize; i++ {
		want[i] = 0xee // was left alone
	}
	wantBytes(t, "Restore", w.b, want)
}

// A counting store makes chunks up as they are asked for, so that it needs no
// memory for them: each is its index in 8 bytes, over and over.
type counting struct {
	store.Store
	index map[string]int
}

func countedChunk(i int) []byte {
	return bytes.Repeat([]byte{byte(i), byte(i >> 8), byte(i >> 16), 1, 2, 3, 4, 5}, manifest.ChunkSize/8)
}

func (c *counting) Get(_ context.Context, key string, _ *store.GetOptions) (*store.Object, error) {
	body := manifest.Compress(countedChunk(c.index[key]))
	return &store.Object{Info: store.Info{Key: key, Size: int64(len(body))}, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// heapWatch is a writer that notes the most memory that was in use.
type heapWatch struct {
	mu   sync.Mutex
	n    int
	most uint64
}

func (h *heapWatch) note() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n++; h.n%16 == 0 {
		h.most = max(h.most, heap())
	}
}

func (h *heapWatch) Write(p []byte) (int, error)            { h.note(); return len(p), nil }
func (h *heapWatch) WriteAt(p []byte, _ int64) (int, error) { h.note(); return len(p), nil }

func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestRestoreInConstantMemory(t *testing.T) {
	// What nobody refers to any more shall not wait for the collector.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	const small, large = 1 << 10, 8 << 10 // chunks: 64 MiB and 512 MiB
	src := &counting{index: map[string]int{}}
	m := &manifest.Manifest{First: countedChunk(0), Header: manifest.HeaderSum(countedChunk(0))}
	for i := range large {
		f := manifest.Sum(countedChunk(i))
		m.Chunks = append(m.Chunks, f)
		src.index[f.ChunkName()] = i
	}
	sources := []replica.Source{{Name: "counting", Chunks: src}}
	for way, restore := range map[string]func(m *manifest.Manifest, h *heapWatch) error{
		"Restore": func(m *manifest.Manifest, h *heapWatch) error {
			return replica.Restore(t.Context(), m, sources, h, nil)
		},
		"RestoreTo": func(m *manifest.Manifest, h *heapWatch) error {
			return replica.RestoreTo(t.Context(), m, sources, h, nil)
		},
	} {
		most := func(chunks int) uint64 {
			part := *m
			part.Chunks = m.Chunks[:chunks]
			part.Size = int64(chunks) * manifest.ChunkSize
			before := heap()
			var h heapWatch
			check(t, restore(&part, &h))
			return max(h.most, before) - before
		}
		most(small) // warm up: codecs and the like
		s, l := most(small), most(large)
		t.Logf("%s: at most %d KiB for %d MiB, %d KiB for %d MiB", way, s>>10, small/16, l>>10, large/16)
		// Eight times the size, but not even twice the memory, with room for the
		// whims of the collector; and far less than the database.
		if l > 2*s+(16<<20) || l > 48<<20 {
			t.Errorf("%s: memory grows from %d to %d bytes", way, s, l)
		}
	}
}

func BenchmarkRestore(b *testing.B) {
	db := content(32<<20, 1)
	bu := newBucket()
	m := bu.upload(b, db)
	b.SetBytes(m.Size)
	for b.Loop() {
		check(b, replica.Restore(b.Context(), m, bu.sources(), newBuffer(m.Size), nil))
	}
}
