package spool_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

func TestGarbage(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	c := consumer(t, r, p.Key())
	check(t, snapshot(t, p, content(2, 0), 1)) // occupies ready
	// With ready occupied for ever, what is staged stays bounded.
	const n = 40
	most := 0
	for i := range 200 {
		db := content(n, 1)
		db[(1+i%(n-1))*manifest.ChunkSize+5] = byte(i) ^ 0xaa
		m, data := describe(t, db, uint64(2+i))
		for j, f := range m.Chunks[1:] {
			check(t, p.StageChunk(f, db[(j+1)*manifest.ChunkSize:][:manifest.ChunkSize]))
		}
		check(t, p.StageManifest(name, data))
		check(t, p.CollectGarbage(false, len(m.Chunks)-1, 1, all(m)))
		names, err := c.StagedChunks()
		check(t, err)
		most = max(most, len(names))
	}
	if most > 3*n {
		t.Errorf("%d chunks were staged at once for a database of %d", most, n)
	}
}

func TestGarbageSparesOtherManifests(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	remote := spooltest.NewRemote()
	// Another process replicates the same file under another host name.
	other := content(3, 7)
	m, data := describe(t, other, 1)
	for i, f := range m.Chunks[1:] {
		check(t, p.StageChunk(f, other[(i+1)*manifest.ChunkSize:][:manifest.ChunkSize]))
	}
	check(t, p.StageManifest("other", data))
	for i := range byte(4) {
		check(t, snapshot(t, p, content(3, i), uint64(i)))
		judge(t, r, remote)
	}
	equal(t, drain(t, r, p.Key(), remote), content(3, 3))
	db, err := remote.Restore(remote.Manifests["other"])
	check(t, err)
	equal(t, db, other)
}

func TestScratchIsCleaned(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	scratch := filepath.Join(spoolDir(r, p.Key()), "staging", "scratch")
	check(t, os.MkdirAll(filepath.Join(scratch, "1.2.3.tmp", "x", "chunks"), 0o700))
	check(t, os.WriteFile(filepath.Join(scratch, "fresh.tmp"), nil, 0o400))
	check(t, p.CleanScratch())
	if diff := cmp.Diff([]string{"fresh.tmp"}, tree(t, scratch)); diff != "" {
		t.Errorf("scratch (-want +got):\n%s", diff)
	}
	old := producer(t, openRoot(t, filepath.Dir(r.Dir()), &spool.Options{ScratchAge: -1}), spool.DB{Path: "/db", Dev: 1, Ino: 2})
	check(t, old.CleanScratch())
	if got := tree(t, scratch); len(got) > 0 {
		t.Errorf("left in scratch: %v", got)
	}
}
