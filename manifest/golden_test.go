package manifest_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden are manifests whose bytes must never change while the version is 2.
var golden = map[string]*manifest.Manifest{
	"empty.manifest":  {Header: manifest.HeaderSum(nil)},
	"small.manifest":  describe(content(300)),
	"chunks.manifest": withZeros(),
	"blocks.manifest": withBlocks(),
}

// withBlocks describes a database whose only index block is stored, and two of whose
// chunks have changed since.
func withBlocks() *manifest.Manifest {
	db := content(20*manifest.ChunkSize - 4096)
	m := describe(db)
	m.Blocks[0].Stored, m.Blocks[0].Overrides = m.Blocks[0].Digest, nil
	for _, place := range []int{7, 19} {
		m.Chunks[place] = sum(place)
		m.Blocks[0].Overrides = append(m.Blocks[0].Overrides, manifest.Override{Place: place, Sum: sum(place)})
	}
	m.Blocks[0].Digest = manifest.Sum(manifest.AppendList(nil, m.Chunks))
	m.Chunks = nil
	return m
}

// withZeros describes a database of three chunks, the middle one well known.
func withZeros() *manifest.Manifest {
	db := make([]byte, 3*manifest.ChunkSize-1000)
	copy(db, "SQLite format 3\x00")
	copy(db[2*manifest.ChunkSize:], "the end")
	return describe(db)
}

func TestGolden(t *testing.T) {
	for name, m := range golden {
		path := filepath.Join("testdata", name)
		b, err := manifest.Encode(m)
		check(t, err)
		if *update {
			check(t, os.WriteFile(path, b, 0o644))
		}
		want, err := os.ReadFile(path)
		check(t, err)
		if !bytes.Equal(b, want) {
			t.Errorf("%s: encoded differently", name)
		}
		got, err := manifest.Decode(want)
		check(t, err)
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestGoldenBlock reads the index block that lies beside blocks.manifest.
func TestGoldenBlock(t *testing.T) {
	path := filepath.Join("testdata", "blocks.index")
	db := content(20*manifest.ChunkSize - 4096)
	list := describe(db).Chunks
	if *update {
		check(t, os.WriteFile(path, manifest.AppendList(nil, list), 0o644))
	}
	stored, err := os.ReadFile(path)
	check(t, err)
	b, err := os.ReadFile(filepath.Join("testdata", "blocks.manifest"))
	check(t, err)
	m, err := manifest.Decode(b)
	check(t, err)
	got, err := m.List(shelf{manifest.Sum(stored): stored}.read)
	check(t, err)
	list[7], list[19] = sum(7), sum(19)
	if diff := cmp.Diff(list, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
