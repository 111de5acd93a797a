package replica_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
)

// fold describes m with stored index blocks, each of which says of its last place something else,
// and returns the manifest as a reader decodes it, and the content of the blocks.
func fold(t testing.TB, m *manifest.Manifest) (*manifest.Manifest, [][]byte) {
	t.Helper()
	folded := *m
	folded.Blocks = nil
	var blocks [][]byte
	for part := range slices.Chunk(m.Chunks, manifest.BlockChunks) {
		block := manifest.Block{Digest: manifest.Sum(manifest.AppendList(nil, part))}
		stored := manifest.AppendList(nil, part)
		if last := len(part) - 1; last > 0 {
			manifest.SetAt(stored, last, manifest.Fingerprint{Hi: 1, Lo: 2})
			block.Overrides = []manifest.Override{{Place: last, Sum: part[last]}}
		}
		block.Stored = manifest.Sum(stored)
		folded.Blocks = append(folded.Blocks, block)
		blocks = append(blocks, stored)
	}
	encoded, err := manifest.Encode(&folded)
	check(t, err)
	decoded, err := manifest.Decode(encoded)
	check(t, err)
	if m.Size > 0 && decoded.Chunks != nil {
		t.Fatal("it needs no index blocks")
	}
	return decoded, blocks
}

func blockKey(m *manifest.Manifest, i int) string { return "chunks/" + m.Blocks[i].Stored.ChunkName() }

// uploadFolded is upload with stored index blocks.
func (b *bucket) uploadFolded(t testing.TB, db []byte) *manifest.Manifest {
	t.Helper()
	m, blocks := fold(t, b.upload(t, db))
	for i, block := range blocks {
		b.put(t, blockKey(m, i), manifest.Compress(block))
	}
	encoded, err := manifest.Encode(m)
	check(t, err)
	b.put(t, "manifests/"+name, manifest.Compress(encoded))
	return m
}

// readAll reads all of a snapshot.
func readAll(ctx context.Context, m *manifest.Manifest, sources []replica.Source, _ *replica.RestoreOptions) ([]byte, error) {
	s, err := replica.Open(ctx, m, sources, nil)
	if err != nil {
		return nil, err
	}
	p := make([]byte, s.Size())
	n, err := s.ReadAt(ctx, p, 0)
	return p[:n], err
}

func TestStoredIndex(t *testing.T) {
	for _, size := range []int{1, 1000, manifest.ChunkSize, 3*manifest.ChunkSize + 1, 12 * manifest.ChunkSize} {
		db := mixed(size, 5)
		b := newBucket()
		b.uploadFolded(t, db)
		m, _, _, err := replica.FetchManifest(t.Context(), b.sources(), name)
		check(t, err)
		got, err := readAll(t.Context(), m, b.sources(), nil)
		check(t, err)
		wantBytes(t, "ReadAt", got, db)
		for way, restore := range ways {
			got, err := restore(t.Context(), m, b.sources(), nil)
			check(t, err)
			wantBytes(t, way, got, db)
		}
		path := filepath.Join(t.TempDir(), "restored")
		check(t, replica.RestoreFile(t.Context(), m, b.sources(), path, nil))
		got, err = os.ReadFile(path)
		check(t, err)
		wantBytes(t, "RestoreFile", got, db)
	}
}

// An index block is fetched when it is needed first, and not again.
func TestIndexIsFetchedOnce(t *testing.T) {
	db := content(8*manifest.ChunkSize, 1)
	b := newBucket()
	m := b.uploadFolded(t, db)
	cache := replica.NewCache(64 << 20)
	open := func() *replica.Snapshot {
		t.Helper()
		s, err := replica.Open(t.Context(), m, b.sources(), cache)
		check(t, err)
		return s
	}
	count := func() (n int) {
		for _, c := range b.faulty.Calls() {
			if c.Key == blockKey(m, 0) {
				n++
			}
		}
		return n
	}
	s := open()
	_, err := s.ReadAt(t.Context(), make([]byte, 1000), 50)
	check(t, err)
	if n := len(b.faulty.Calls()); n != 0 {
		t.Errorf("%d requests for what the manifest has", n)
	}
	_, err = s.ReadAt(t.Context(), make([]byte, 3*manifest.ChunkSize), 50)
	check(t, err)
	check(t, open().Prefetch(t.Context(), -1, 0)) // of another snapshot, through the same cache
	if n := count(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	if n := len(b.faulty.Calls()); n != 8 {
		t.Errorf("%d requests", n)
	}
}

// An index block that a source lacks or that is damaged there comes from the next.
func TestIndexFailover(t *testing.T) {
	db := content(4*manifest.ChunkSize, 2)
	for _, how := range []string{"absent", "damaged", "another", "failing"} {
		bad, good := newBucket(), newBucket()
		bad.uploadFolded(t, db)
		m := good.uploadFolded(t, db)
		switch how {
		case "absent":
			check(t, bad.raw.Delete(t.Context(), blockKey(m, 0)))
		case "damaged":
			bad.put(t, blockKey(m, 0), []byte("x"))
		case "another":
			bad.put(t, blockKey(m, 0), manifest.Compress(db[:64]))
		case "failing":
			bad.faulty.SetPlan(storefault.Always(storefault.Fault{Fail: true}))
		}
		sources := []replica.Source{bad.source("bad"), good.source("good")}
		for way, restore := range ways {
			got, err := restore(t.Context(), m, sources, nil)
			check(t, err)
			wantBytes(t, how+" "+way, got, db)
		}
		got, err := readAll(t.Context(), m, sources, nil)
		check(t, err)
		wantBytes(t, how, got, db)
	}
}

// Without an intact index block there is an error that names it, and nothing wrong is restored.
func TestIndexOfNobody(t *testing.T) {
	db := content(4*manifest.ChunkSize, 3)
	for _, c := range []struct {
		what  string
		spoil func(b *bucket, m *manifest.Manifest)
		want  error
		part  string
	}{
		{"absent", func(b *bucket, m *manifest.Manifest) {
			check(t, b.raw.Delete(context.Background(), blockKey(m, 0)))
		}, replica.ErrMissing, "index block 0"},
		{"damaged", func(b *bucket, m *manifest.Manifest) { b.put(t, blockKey(m, 0), []byte("x")) }, manifest.ErrCorrupt, "index block 0"},
		{"not a list", func(b *bucket, m *manifest.Manifest) {
			m.Blocks[0].Stored = manifest.Sum([]byte("x"))
			b.put(t, blockKey(m, 0), manifest.Compress([]byte("x")))
		}, manifest.ErrCorrupt, "index block"},
		{"another list", func(b *bucket, m *manifest.Manifest) { m.Blocks[0].Digest.Lo++ }, manifest.ErrCorrupt, "block 0"},
	} {
		b := newBucket()
		m := b.uploadFolded(t, db)
		c.spoil(b, m)
		all := map[string]func(context.Context, *manifest.Manifest, []replica.Source, *replica.RestoreOptions) ([]byte, error){"ReadAt": readAll}
		for way, restore := range ways {
			all[way] = restore
		}
		all["Prefetch"] = func(ctx context.Context, m *manifest.Manifest, sources []replica.Source, _ *replica.RestoreOptions) ([]byte, error) {
			s, err := replica.Open(ctx, m, sources, nil)
			check(t, err)
			return nil, s.Prefetch(ctx, -1, 0)
		}
		for way, restore := range all {
			_, err := restore(t.Context(), m, b.sources(), nil)
			wantIs(t, c.what+" "+way, err, c.want)
			if err != nil && !strings.Contains(err.Error(), c.part) {
				t.Errorf("%s %s: %v does not name it", c.what, way, err)
			}
		}
	}
}

// A sparse is a database of zeros but for some chunks, as it is restored.
type sparse struct {
	mu     sync.Mutex
	at     int64
	chunks map[int64][]byte
}

var zeroChunk [manifest.ChunkSize]byte

func (s *sparse) Write(p []byte) (int, error) {
	defer func() { s.at += int64(len(p)) }()
	return s.WriteAt(p, s.at)
}

func (s *sparse) WriteAt(p []byte, off int64) (int, error) {
	if !bytes.Equal(p, zeroChunk[:]) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.chunks[off/manifest.ChunkSize] = bytes.Clone(p)
	}
	return len(p), nil
}

// A database of more blocks than are kept, nearly all of it zeros.
func TestIndexOfManyBlocks(t *testing.T) {
	const blocks = 20
	first, other := content(manifest.ChunkSize, 1), content(manifest.ChunkSize, 2)
	list := slices.Repeat([]manifest.Fingerprint{manifest.ZeroChunk}, blocks*manifest.BlockChunks-5)
	list[0] = manifest.Sum(first)
	var places []int64
	for b := range blocks {
		i := b*manifest.BlockChunks + 100 + b
		list[i] = manifest.Sum(other)
		places = append(places, int64(i))
	}
	m, content := fold(t, &manifest.Manifest{
		Header: manifest.HeaderSum(first), First: first, Size: int64(len(list)) * manifest.ChunkSize, Chunks: list,
	})
	b := newBucket()
	b.put(t, "chunks/"+manifest.Sum(other).ChunkName(), manifest.Compress(other))
	for i, block := range content {
		b.put(t, blockKey(m, i), manifest.Compress(block))
	}

	s, err := replica.Open(t.Context(), m, b.sources(), nil)
	check(t, err)
	p := make([]byte, 200)
	for range 2 {
		for _, i := range places {
			_, err := s.ReadAt(t.Context(), p, (i+1)*manifest.ChunkSize-100)
			check(t, err)
			wantBytes(t, "ReadAt", p, append(bytes.Clone(other[manifest.ChunkSize-100:]), make([]byte, 100)...))
		}
	}
	verify := func(what string, got *sparse) {
		t.Helper()
		if len(got.chunks) != blocks+1 {
			t.Errorf("%s: %d chunks are not zero", what, len(got.chunks))
		}
		for _, i := range places {
			wantBytes(t, what, got.chunks[i], other)
		}
	}
	b.faulty.SetPlan(nil)
	to := &sparse{chunks: map[int64][]byte{}}
	check(t, replica.RestoreTo(t.Context(), m, b.sources(), to, nil))
	verify("RestoreTo", to)
	b.faulty.SetPlan(nil)
	at := &sparse{chunks: map[int64][]byte{}}
	check(t, replica.Restore(t.Context(), m, b.sources(), at, &replica.RestoreOptions{Zeroed: true}))
	verify("Restore", at)
	// A chunk is fetched once per window of 16 blocks.
	if n := b.faulty.Count(store.VerbGet); n != blocks+2 {
		t.Errorf("Restore took %d requests, want %d", n, blocks+2)
	}

	// A block that is missing at the end is told, however much was restored before.
	check(t, b.raw.Delete(t.Context(), blockKey(m, blocks-1)))
	wantIs(t, "Restore", replica.Restore(t.Context(), m, b.sources(), at, &replica.RestoreOptions{Zeroed: true}), replica.ErrMissing)
	wantIs(t, "RestoreTo", replica.RestoreTo(t.Context(), m, b.sources(), io.Discard, nil), replica.ErrMissing)
}
