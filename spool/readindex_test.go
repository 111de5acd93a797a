package spool_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// An index block is read where the tracker keeps it, or else among the staged chunks, and is what
// its name says.
func TestReadIndexBlock(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	check(t, snapshot(t, p, content(4, 1), 1))
	c := consumer(t, r, p.Key())
	block := manifest.AppendList(nil, []manifest.Fingerprint{{Lo: 1}, {Lo: 2}})
	sum := manifest.Sum(block)
	read := func(f manifest.Fingerprint, want []byte, wantErr error) {
		t.Helper()
		if got, err := c.ReadIndexBlock(f); !errors.Is(err, wantErr) || string(got) != string(want) {
			t.Errorf("got %x, %v, want %x, %v", got, err, want, wantErr)
		}
	}
	read(sum, nil, fs.ErrNotExist)
	check(t, p.StageChunk(sum, block))
	read(sum, block, nil)
	check(t, c.RemoveStagedChunk(sum.ChunkName()))
	read(sum, nil, fs.ErrNotExist)

	dir := filepath.Join(r.Dir(), p.Key().String(), "staging", "index")
	check(t, os.MkdirAll(dir, 0o700))
	check(t, os.WriteFile(filepath.Join(dir, sum.ChunkName()), block, 0o600))
	read(sum, block, nil)
	check(t, os.WriteFile(filepath.Join(dir, sum.ChunkName()), block[:16], 0o600))
	read(sum, nil, spool.ErrCorrupt)
	check(t, os.WriteFile(filepath.Join(dir, sum.ChunkName()), make([]byte, manifest.ChunkSize+1), 0o600))
	read(sum, nil, spool.ErrCorrupt)
	odd := manifest.Sum([]byte("odd"))
	check(t, p.StageChunk(odd, []byte("odd")))
	read(odd, nil, manifest.ErrCorrupt)
}
