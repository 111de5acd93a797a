package spooltest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheck damages a sound tree in various ways; each is to be found.
func TestCheck(t *testing.T) {
	chunk := func(dir, sub string) string {
		found, _ := filepath.Glob(filepath.Join(dir, sub, "chunks", "*"))
		return found[0]
	}
	replace := func(path string, data []byte) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o444)
	}
	for _, c := range []struct {
		name   string
		want   string // the invariant; empty: sound
		damage func(dir string, r *spooltest.Remote) error
	}{
		{"sound", "", func(string, *spooltest.Remote) error { return nil }},
		{"writable file", "I1", func(dir string, _ *spooltest.Remote) error { return os.Chmod(chunk(dir, "ready/*"), 0o644) }},
		{"stray file", "I1", func(dir string, _ *spooltest.Remote) error { return os.WriteFile(filepath.Join(dir, "x"), nil, 0o444) }},
		{"stray chunk", "I1", func(dir string, _ *spooltest.Remote) error {
			return os.WriteFile(filepath.Join(dir, "staging", "chunks", "x"), nil, 0o444)
		}},
		{"zero chunk", "I1", func(dir string, _ *spooltest.Remote) error {
			return os.WriteFile(filepath.Join(dir, "staging", "chunks", manifest.ZeroChunk.ChunkName()), make([]byte, manifest.ChunkSize), 0o444)
		}},
		{"metadata of another", "I1", func(dir string, _ *spooltest.Remote) error {
			return replace(filepath.Join(dir, ".metadata"), []byte(`{"version":1,"path":"/other","target":{"id":"t","spec":{}}}`))
		}},
		{"damaged chunk", "I2", func(dir string, _ *spooltest.Remote) error { return replace(chunk(dir, "ready/*"), []byte("x")) }},
		{"damaged manifest", "I20", func(dir string, _ *spooltest.Remote) error {
			return replace(filepath.Join(dir, "staging", "meta", "m"), []byte("x"))
		}},
		{"missing chunk", "I4", func(dir string, _ *spooltest.Remote) error { return os.Remove(chunk(dir, "ready/*")) }},
		{"missing chunk, ready", "I5", func(dir string, _ *spooltest.Remote) error {
			path := chunk(dir, "ready/*")
			return os.Rename(path, filepath.Join(dir, "staging", "chunks", filepath.Base(path)))
		}},
		{"chunk in the store", "", func(dir string, r *spooltest.Remote) error {
			path := chunk(dir, "ready/*")
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			r.Chunks[filepath.Base(path)] = data
			return os.Remove(path)
		}},
		{"two ready snapshots", "I6", func(dir string, _ *spooltest.Remote) error {
			return os.MkdirAll(filepath.Join(dir, "ready", "x", "chunks"), 0o700)
		}},
		{"too much", "I17", func(dir string, _ *spooltest.Remote) error {
			return os.WriteFile(filepath.Join(dir, "staging", "scratch", "x"), make([]byte, 20*manifest.ChunkSize), 0o444)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, err := spool.OpenRoot(t.TempDir(), 0, nil)
			check(t, err)
			p, err := root.Producer(spool.DB{Path: "/db", Dev: 1, Ino: 2}, spool.Target{ID: "t", Spec: json.RawMessage(`{}`)})
			check(t, err)
			defer p.Close()
			stage(t, p)
			remote := spooltest.NewRemote()
			dir := filepath.Join(root.Dir(), filepath.FromSlash(p.Key().String()))
			check(t, c.damage(dir, remote))
			found := spooltest.Check(root.Dir(), &spooltest.Options{
				Remote: func(string) *spooltest.Remote { return remote },
				Size:   func(string) int64 { return 3 * manifest.ChunkSize },
			})
			got := slices.ContainsFunc(found, func(v spooltest.Violation) bool { return v.Invariant == c.want })
			if c.want == "" && len(found) > 0 || c.want != "" && !got {
				t.Errorf("found %v, want %q", found, c.want)
			}
		})
	}
}

// stage makes a ready snapshot of three chunks.
func stage(t *testing.T, p *spool.Producer) {
	t.Helper()
	db := make([]byte, 3*manifest.ChunkSize)
	m := &manifest.Manifest{Header: manifest.HeaderSum(db), Sequence: 1, Size: int64(len(db)), First: db[:manifest.ChunkSize]}
	for i := range 3 {
		data := db[i*manifest.ChunkSize:][:manifest.ChunkSize]
		data[500] = byte(i + 1)
		m.Chunks = append(m.Chunks, manifest.Sum(data))
		if i > 0 {
			check(t, p.StageChunk(m.Chunks[i], data))
		}
	}
	data, err := manifest.Encode(m)
	check(t, err)
	check(t, p.StageManifest("m", data))
	published, err := p.PublishReady("m", m.Chunks[1:])
	check(t, err)
	check(t, p.CollectGarbage(published, m.Chunks[1:], 3))
}
