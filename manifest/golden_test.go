package manifest_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden are manifests whose bytes must never change while the version is 1.
var golden = map[string]*manifest.Manifest{
	"empty.manifest":  {Header: manifest.HeaderSum(nil)},
	"small.manifest":  describe(content(300)),
	"chunks.manifest": withZeros(),
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

func FuzzDecode(f *testing.F) {
	for _, m := range golden {
		b, err := manifest.Encode(m)
		check(f, err)
		f.Add(b)
		f.Add(manifest.Compress(b))
		f.Add(append(bytes.Clone(b), 0xa0, 0x01, 0x05)) // an unknown field
		f.Add(b[:len(b)/2])
	}
	f.Add(protowire.AppendVarint([]byte{0x08}, 2))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := manifest.Decode(b)
		if err != nil {
			if m != nil {
				t.Error("a manifest and an error")
			}
			return
		}
		again, err := manifest.Encode(m)
		check(t, err)
		got, err := manifest.Decode(again)
		check(t, err)
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("(-decoded +decoded again):\n%s", diff)
		}
		third, err := manifest.Encode(got)
		check(t, err)
		if !bytes.Equal(third, again) {
			t.Error("encoded differently")
		}
	})
}

func FuzzDecompressChunk(f *testing.F) {
	f.Add(manifest.Compress(content(1000)))
	f.Add(manifest.Compress(make([]byte, manifest.ChunkSize)))
	f.Add(content(100))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := manifest.DecompressChunk(manifest.Compress(b), manifest.Sum(b))
		if len(b) > manifest.ChunkSize {
			wantIs(t, "too large", err, manifest.ErrCorrupt)
		} else if err != nil || !bytes.Equal(got, b) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		if got, err := manifest.DecompressChunk(b, manifest.ZeroChunk); err == nil && len(got) != manifest.ChunkSize {
			t.Errorf("got %d bytes", len(got))
		}
	})
}
