package boule_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/file"
	"github.com/boule-db/boule/store/target"
)

// storeIndex describes the replica in a store with a stored index block, and returns the key of that.
func (p *published) storeIndex(t *testing.T, at int) string {
	t.Helper()
	path := p.manifest(t, at)
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Chunks) < 3 {
		t.Fatalf("the database has %d chunks", len(m.Chunks))
	}
	list := manifest.AppendList(nil, m.Chunks)
	manifest.SetAt(list, 1, manifest.Sum([]byte("another")))
	m.Blocks = []manifest.Block{{
		Stored: manifest.Sum(list), Digest: manifest.Sum(manifest.AppendList(nil, m.Chunks)),
		Overrides: []manifest.Override{{Place: 1, Sum: m.Chunks[1]}},
	}}
	if body, err = manifest.Encode(m); err != nil {
		t.Fatal(err)
	}
	s, err := file.New(p.store(at), nil)
	if err != nil {
		t.Fatal(err)
	}
	key := "chunks/" + m.Blocks[0].Stored.ChunkName()
	put := func(key string, body []byte) {
		t.Helper()
		if _, err := s.Put(t.Context(), key, manifest.Compress(body), store.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	put(key, list)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, manifest.Compress(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(p.store(at), filepath.FromSlash(key))
}

// A replica whose index block is stored is read, refreshed to and restored like any other; without
// the block it is an error.
func TestReplicaWithStoredIndex(t *testing.T) {
	p := publishTo(t, 1, target.LayoutChunks)
	if err := p.conn.Exec(`CREATE TABLE blobs(b); INSERT INTO blobs VALUES (randomblob(300000))`); err != nil {
		t.Fatal(err)
	}
	p.set(t, 7)
	block := p.storeIndex(t, 0)
	for _, policy := range []boule.LoadingPolicy{{}, {Eager: true}, {Partial: true, Min: 1, Max: 2}} {
		cfg := p.with(func(c *boule.Config) { c.LoadingPolicy = policy })
		if got := inReplica(t, p.ref(), cfg, `SELECT x || length(b) || integrity_check FROM t, blobs, pragma_integrity_check`); got != "7300000ok" {
			t.Errorf("%+v: got %s", policy, got)
		}
	}
	out := p.path("restored.db")
	if _, err := boule.Restore(t.Context(), p.ref(), out, p.cfg, nil); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(p.db)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != string(want) {
		t.Errorf("restored %d bytes (%v), want the %d of the database", len(got), err, len(want))
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	if _, err := boule.Restore(t.Context(), p.ref(), p.path("again.db"), p.cfg, nil); err == nil {
		t.Error("restored without the index block")
	}
}
