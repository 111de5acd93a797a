package logrep_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica/logrep"
)

// A comparer is an io.WriterAt that compares chunks with what they have to be, and measures memory now and then.
type comparer struct {
	t      testing.TB
	db     *database
	every  int64
	writes atomic.Int64
	live   atomic.Uint64 // most bytes
}

func (c *comparer) WriteAt(p []byte, off int64) (int, error) {
	if off%manifest.ChunkSize != 0 || !bytes.Equal(p, c.db.chunk(int(off/manifest.ChunkSize))) {
		c.t.Errorf("other bytes at %d", off)
	}
	if n := c.writes.Add(1); c.every > 0 && n%c.every == 0 {
		c.live.Store(max(c.live.Load(), liveBytes()))
	}
	return len(p), nil
}

// A measuredFile measures memory now and then.
type measuredFile struct {
	*os.File
	mu      sync.Mutex // guards the following; whoever measures stops the others
	writes  int
	live    uint64 // most bytes
	fetched int64
}

func (f *measuredFile) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	if f.writes++; f.writes%1000 == 0 {
		now := liveBytes()
		for range 4 { // what others allocated before they were stopped was perhaps garbage
			now = min(now, liveBytes())
		}
		f.live = max(f.live, now)
	}
	f.mu.Unlock()
	return f.File.WriteAt(p, off)
}

// restoreLarge restores to a file, where pages wait for others, and compares it.
func (w *writer) restoreLarge(t *testing.T) *measuredFile {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "db"))
	check(t, err)
	defer file.Close()
	check(t, file.Truncate(w.db.size))
	f := &measuredFile{File: file}
	check(t, logrep.Restore(t.Context(), w.log(), w.entry, f, &logrep.RestoreOptions{Written: f, Zeroed: true}))
	f.fetched = w.packs.read() + w.entries.read()
	t.Logf("pages waiting in the file: %d bytes fetched of %d, %v, %v", f.fetched, w.live, w.packs.requests(), w.entries.requests())
	got := make([]byte, manifest.ChunkSize)
	for i := range manifest.Count(w.db.size) {
		n, err := f.ReadAt(got[:manifest.ChunkLen(w.db.size, i)], int64(i)*manifest.ChunkSize)
		check(t, err)
		if !bytes.Equal(got[:n], w.db.chunk(i)) {
			t.Fatalf("chunk %d has other bytes", i)
		}
	}
	return f
}

// liveBytes is what is in memory, garbage aside.
func liveBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestLargeRestore restores a database of several index blocks and windows, half of which is in deltas of chunks all over
// it: in bounded memory, with few bytes more than the frames have.
func TestLargeRestore(t *testing.T) {
	w := newWriter(t, 1)
	const chunks = 2*manifest.BlockChunks + 300
	db := &database{size: chunks*manifest.ChunkSize - 5*512}
	fill := func(i, from, to int, round uint64) { // compresses well, and is another everywhere
		b := make([]byte, to-from)
		for k := 0; k+16 <= len(b); k += 256 {
			binary.LittleEndian.PutUint64(b[k:], uint64(i)<<32|uint64(from+k))
			b[k+15] = byte(round)
		}
		db.write(int64(i)*manifest.ChunkSize+int64(from), b)
	}
	for i := 0; i < chunks; i += 2 { // the others are zeros
		fill(i, 0, manifest.ChunkLen(db.size, i), 0)
	}
	w.append(db, how{pack: true, store: true})
	for round := range 4 { // each frame of deltas has four chunks, here of all parts of the database
		for i := 2 * round; i < chunks; i += 16 {
			fill(i, 4096, 9*4096, uint64(round)+1)
		}
		w.append(db, how{pack: round%2 == 0, store: round == 2})
	}
	before := liveBytes()
	c := &comparer{t: t, db: db, every: 300}
	w.packs.requests()
	w.entries.requests()
	var done int64
	check(t, logrep.Restore(t.Context(), w.log(), w.entry, c, &logrep.RestoreOptions{
		Zeroed: true,
		Progress: func(n, total int64) {
			if n < done || total != db.size {
				t.Errorf("%d of %d are done, after %d", n, total, done)
			}
			done = n
		},
	}))
	if done != db.size || c.writes.Load() != chunks/2+1 { // the last one is short, and so not the well-known chunk of zeros
		t.Errorf("%d bytes are done, %d chunks were written", done, c.writes.Load())
	}
	took := int64(c.live.Load()) - int64(before)
	fetched := w.packs.read() + w.entries.read()
	t.Logf("%d MB: %d MB at most were live, %d bytes fetched of %d, %v, %v", db.size>>20, took>>20, fetched, w.live,
		w.packs.requests(), w.entries.requests())
	if took > 64<<20 {
		t.Errorf("%d bytes were in memory", took)
	}
	if fetched > w.live+w.live/10 {
		t.Errorf("%d bytes were fetched, %d are in the frames", fetched, w.live)
	}

	f := w.restoreLarge(t)
	if n := f.fetched; n > w.live+w.live/20 {
		t.Errorf("with pages waiting in the file: %d bytes were fetched, %d are in the frames", n, w.live)
	}
	took = int64(f.live) - int64(before)
	t.Logf("%d MB at most were live", took>>20)
	if took > 32<<20 {
		t.Errorf("with pages waiting in the file: %d bytes were in memory", took)
	}

	s := w.log().Open(w.entry, nil)
	for _, i := range []int{0, 1, 2, 5, manifest.BlockChunks - 1, manifest.BlockChunks, 2 * manifest.BlockChunks, chunks - 1} {
		got := make([]byte, manifest.ChunkLen(db.size, i))
		_, err := s.ReadAt(t.Context(), got, int64(i)*manifest.ChunkSize)
		check(t, err)
		if !bytes.Equal(got, db.chunk(i)) {
			t.Errorf("chunk %d has other bytes", i)
		}
	}
	list, stats := faults(t, w.log(), 10)
	if len(list) > 0 || stats.Read < stats.Versions/20 || stats.Read > stats.Versions/5 {
		t.Errorf("faults %v, %+v", list, stats)
	}
}
