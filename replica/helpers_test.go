package replica_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

const name = "1563-boule%3Atest.com%3A2b53%2F%2Ftmp%2Ftest.db"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

// content returns size bytes; different seeds give different ones.
func content(size int, seed byte) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// mixed returns a database in which chunks repeat, are zeros, and are unique.
func mixed(size int, seed byte) []byte {
	b := content(size, seed)
	for i := 1; (i+1)*manifest.ChunkSize <= size; i++ {
		chunk := b[i*manifest.ChunkSize : (i+1)*manifest.ChunkSize]
		switch i % 5 {
		case 1:
			clear(chunk)
		case 2, 4:
			copy(chunk, b[:manifest.ChunkSize]) // like the first
			chunk[0] ^= byte(i % 3)
		}
	}
	return b
}

// describe returns a manifest of db.
func describe(db []byte) *manifest.Manifest {
	m := &manifest.Manifest{
		Header:     manifest.HeaderSum(db),
		Sequence:   17,
		Size:       int64(len(db)),
		SourceTime: time.Unix(1700000123, 0).UTC(),
		First:      append([]byte(nil), db[:min(len(db), manifest.ChunkSize)]...),
	}
	for i := range manifest.Count(m.Size) {
		m.Chunks = append(m.Chunks, manifest.Sum(chunkOf(db, i)))
	}
	m.Blocks = manifest.InlineBlocks(m.Chunks) // as it is decoded
	return m
}

func chunkOf(db []byte, i int) []byte {
	return db[i*manifest.ChunkSize : min((i+1)*manifest.ChunkSize, len(db))]
}

// A bucket is a source in memory that can be made to fail.
type bucket struct {
	raw    *mem.Store
	faulty *storefault.Store
}

func newBucket() *bucket {
	raw := mem.New()
	return &bucket{raw, storefault.New(raw, nil)}
}

func (b *bucket) source(name string) replica.Source {
	return replica.Source{Name: name, Chunks: store.WithPrefix(b.faulty, "chunks/"), Manifests: store.WithPrefix(b.faulty, "manifests/")}
}

// sources returns b as the only source.
func (b *bucket) sources() []replica.Source { return []replica.Source{b.source("only")} }

func (b *bucket) put(t testing.TB, key string, body []byte) {
	t.Helper()
	_, err := b.raw.Put(context.Background(), key, body, store.Condition{})
	check(t, err)
}

// upload puts a snapshot of db into the bucket, without what travels in the manifest.
func (b *bucket) upload(t testing.TB, db []byte) *manifest.Manifest {
	t.Helper()
	m := describe(db)
	for i, f := range m.Chunks {
		if f != manifest.ZeroChunk && f != m.Chunks[0] {
			b.put(t, "chunks/"+f.ChunkName(), manifest.Compress(chunkOf(db, i)))
		}
	}
	encoded, err := manifest.Encode(m)
	check(t, err)
	b.put(t, "manifests/"+name, manifest.Compress(encoded))
	return m
}

// files returns the content of all files in a directory.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		check(t, err)
		all[e.Name()] = string(b)
	}
	return all
}

func wantFiles(t testing.TB, what, dir string, want map[string]string) {
	t.Helper()
	got := files(t, dir)
	for name, text := range want {
		if g, ok := got[name]; !ok {
			t.Errorf("%s: %s is missing", what, name)
		} else if g != text {
			t.Errorf("%s: %s has %d bytes, not the %d that it should have", what, name, len(g), len(text))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s was left behind", what, name)
		}
	}
}

// A buffer is an io.WriterAt in memory, not zero at first.
type buffer struct{ b []byte }

func newBuffer(size int64) *buffer { return &buffer{bytes.Repeat([]byte{0xee}, int(size))} }

func (b *buffer) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(b.b)) {
		return 0, fs.ErrInvalid
	}
	return copy(b.b[off:], p), nil
}

func wantBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes, want %d others", what, len(got), len(want))
	}
}
