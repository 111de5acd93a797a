package spool_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

const name = "0000-boule%3Ahost%3A0000%2Fdb"

var target = spool.Target{ID: "0123456789abcdef", Spec: json.RawMessage(`{"file":{"directory":"/backup"}}`)}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openRoot(t testing.TB, prefix string, opts *spool.Options) *spool.Root {
	t.Helper()
	r, err := spool.OpenRoot(prefix, 0, opts)
	check(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// makeDB makes a file and returns its identity.
func makeDB(t testing.TB, path string) spool.DB {
	t.Helper()
	check(t, os.WriteFile(path, []byte("database"), 0o600))
	return identify(t, path)
}

func identify(t testing.TB, path string) spool.DB {
	t.Helper()
	dir, err := fsx.OS(filepath.Dir(path))
	check(t, err)
	defer dir.Close()
	info, err := dir.Stat(filepath.Base(path))
	check(t, err)
	return spool.DB{Path: path, Dev: info.Dev, Ino: info.Ino}
}

func producer(t testing.TB, r *spool.Root, db spool.DB) *spool.Producer {
	t.Helper()
	p, err := r.Producer(db, target)
	check(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func consumer(t testing.TB, r *spool.Root, k spool.Key) *spool.Consumer {
	t.Helper()
	c, err := r.Consumer(k)
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// content returns a database of n chunks, all different if the seeds are.
func content(n int, seed byte) []byte {
	db := make([]byte, n*manifest.ChunkSize)
	for i := range n {
		chunk := db[i*manifest.ChunkSize:][:manifest.ChunkSize]
		for j := range chunk {
			chunk[j] = byte(j) ^ seed ^ byte(i*7)
		}
		chunk[0], chunk[1] = seed, byte(i)
	}
	return db
}

func describe(t testing.TB, db []byte, sequence uint64) (*manifest.Manifest, []byte) {
	t.Helper()
	m := &manifest.Manifest{
		Header: manifest.HeaderSum(db), VersionID: []byte{1}, Sequence: sequence, Size: int64(len(db)),
		SourceTime: time.Unix(1, 0), Generator: "test", Writer: "test",
	}
	for chunk := range slices.Chunk(db, manifest.ChunkSize) {
		m.Chunks = append(m.Chunks, manifest.Sum(chunk))
	}
	m.First = db[:min(len(db), manifest.ChunkSize)]
	data, err := manifest.Encode(m)
	check(t, err)
	return m, data
}

// snapshot does what a tracker does, and starts again once if the spool vanishes.
func snapshot(t testing.TB, p *spool.Producer, db []byte, sequence uint64) error {
	t.Helper()
	m, data := describe(t, db, sequence)
	if _, err := p.Staged(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i, f := range m.Chunks {
		if i == 0 || f == manifest.ZeroChunk {
			continue
		}
		if err := p.StageChunk(f, db[i*manifest.ChunkSize:min(len(db), (i+1)*manifest.ChunkSize)]); err != nil {
			return err
		}
	}
	if err := p.StageManifest(name, data); err != nil {
		return err
	}
	published, err := p.PublishReady(name, all(m))
	if err != nil {
		return err
	}
	if err := p.CollectGarbage(published, len(m.Chunks)-1, len(m.Chunks), all(m)); err != nil {
		return err
	}
	if err := p.CleanScratch(); err != nil {
		return err
	}
	return p.Finish()
}

// drain uploads everything and restores the database.
func drain(t testing.TB, r *spool.Root, k spool.Key, remote *spooltest.Remote) []byte {
	t.Helper()
	toy := spooltest.NewToy(remote, func() (*spool.Consumer, error) { return r.Consumer(k) })
	for range 2 {
		check(t, toy.Pass())
	}
	for _, v := range toy.Violations() {
		t.Error(v)
	}
	data, ok := remote.Manifests[name]
	if !ok {
		return nil
	}
	db, err := remote.Restore(data)
	check(t, err)
	return db
}

func judge(t testing.TB, r *spool.Root, remote *spooltest.Remote) {
	t.Helper()
	opts := &spooltest.Options{}
	if remote != nil {
		opts.Remote = func(string) *spooltest.Remote { return remote }
	}
	for _, v := range spooltest.Check(r.Dir(), opts) {
		t.Error(v)
	}
}

// tree lists what is below dir: directories with a slash.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if d.IsDir() {
			rel += "/"
		}
		all = append(all, rel)
		return err
	}))
	slices.Sort(all)
	return all
}

func equal(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("restored %d bytes that differ from the database's %d", len(got), len(want))
	}
}

func spoolDir(r *spool.Root, k spool.Key) string {
	return filepath.Join(r.Dir(), filepath.FromSlash(k.String()))
}

func hasPrefix(names []string, prefix string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, prefix) })
}

// all returns what a manifest references.
func all(m *manifest.Manifest) func(manifest.Fingerprint) bool {
	return func(f manifest.Fingerprint) bool { return slices.Contains(m.Chunks[1:], f) }
}
