package logrep_test

import (
	"bytes"
	"io"
	"sync"
	"testing"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica/logrep"
)

// first remembers how long the first write to each chunk was, and how many there were.
type first struct {
	*buffer
	mu     sync.Mutex
	length map[int64]int
	writes int
}

func (f *first) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	i := off / manifest.ChunkSize
	if _, ok := f.length[i]; !ok {
		f.length[i] = len(p)
		if off%manifest.ChunkSize != 0 {
			f.length[i] = 0
		}
	}
	return f.buffer.WriteAt(p, off)
}

var _ io.WriterAt = (*first)(nil)

// TestScratchIsOfWholeChunks restores pages that come before others of their chunk: a file system that gets them one by one caches, and writes back,
// small pieces.
func TestScratchIsOfWholeChunks(t *testing.T) {
	w := newWriter(t, 3)
	db := &database{size: 40*manifest.ChunkSize + 12345}
	for i := range int64(41) {
		db.write(i*manifest.ChunkSize, w.content(9000))
	}
	e := w.append(db, how{})
	for range 6 {
		for range 20 {
			db.write(w.rng.Int64N(db.size/4096)*4096, w.content(4096))
		}
		e = w.append(db, how{})
	}
	f := &first{buffer: newBuffer(e.Size), length: map[int64]int{}}
	check(t, logrep.Restore(t.Context(), w.log(), e, f, &logrep.RestoreOptions{Written: f}))
	if !bytes.Equal(f.b, db.bytes()) {
		t.Error("other bytes were restored")
	}
	for i := range manifest.Count(e.Size) {
		if got, want := f.length[int64(i)], manifest.ChunkLen(e.Size, i); got != want {
			t.Errorf("chunk %d: the first write was of %d bytes of %d", i, got, want)
		}
	}
	if f.writes <= manifest.Count(e.Size) {
		t.Errorf("%d writes: nothing was waiting", f.writes)
	}
}
