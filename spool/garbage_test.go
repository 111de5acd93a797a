package spool_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

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

// distinct is content of which no two chunks are the same, however many there are.
func distinct(n int, seed byte) []byte {
	db := content(n, seed)
	for i := range n {
		binary.BigEndian.PutUint16(db[(i+1)*manifest.ChunkSize-8:], uint16(i+1))
	}
	return db
}

// stageInLaps stages chunks as a snapshot does that gives way now and then, and returns the manifest.
func stageInLaps(t *testing.T, p *spool.Producer, db []byte, sequence uint64) (*manifest.Manifest, []byte) {
	t.Helper()
	if _, err := p.Staged(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	m, data := describe(t, db, sequence)
	for i, f := range m.Chunks[1:] {
		check(t, p.StageChunk(f, db[(i+1)*manifest.ChunkSize:][:manifest.ChunkSize]))
		if i%10 == 9 {
			check(t, p.PrepareReady())
		}
	}
	check(t, p.PrepareReady())
	return m, data
}

// Much garbage is not removed at once, but soon, and never what is needed; nor does it become more and more.
func TestMuchGarbage(t *testing.T) {
	const n = 700
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	c := consumer(t, r, p.Key())
	remote := spooltest.NewRemote()
	staged := func() int {
		names, err := c.StagedChunks()
		check(t, err)
		return len(names)
	}
	distinct := func(seed byte) []byte { return distinct(n, seed) }
	m, data := stageInLaps(t, p, distinct(1), 1)
	check(t, p.StageManifest(name, data))
	for published := false; !published; {
		var err error
		published, err = p.PublishReady(name, all(m))
		check(t, err)
		check(t, p.CollectGarbage(published, n, 1, all(m))) // when it is published all of it is garbage
	}
	before := staged()
	if before == 0 || before > n {
		t.Fatalf("%d chunks are left of %d", before, n)
	}
	db := distinct(1)
	for i := byte(2); staged() > 0 && i < 20; i++ { // small ones, of which the first waits behind ready
		db[5*manifest.ChunkSize] = i
		m, data := describe(t, db, uint64(i))
		check(t, p.StageChunk(m.Chunks[5], db[5*manifest.ChunkSize:6*manifest.ChunkSize]))
		check(t, p.StageManifest(name, data))
		last := m.Chunks[5]
		check(t, p.CollectGarbage(false, n-1, 1, func(f manifest.Fingerprint) bool { return f == last }))
		judge(t, r, remote)
		now := staged()
		if now <= int(i) { // what these small ones leave goes from time to time
			break
		}
		if now >= before {
			t.Fatalf("%d chunks are left of %d", now, before)
		}
		before = now
	}
	if before := staged(); before > 20 {
		t.Errorf("%d chunks are left", before)
	}
	for i := range byte(5) {
		check(t, snapshot(t, p, distinct(30+i), 100+uint64(i)))
		if got := staged(); got > 2*n+256 {
			t.Errorf("%d chunks are staged", got)
		}
	}
	equal(t, drain(t, r, p.Key(), remote), distinct(34))
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
	const n = 300
	chunks := filepath.Join(scratch, "1.2.3.tmp", "x", "chunks")
	check(t, os.MkdirAll(chunks, 0o700))
	for i := range n {
		check(t, os.WriteFile(filepath.Join(chunks, strconv.Itoa(i)), nil, 0o400))
	}
	check(t, os.WriteFile(filepath.Join(scratch, "fresh.tmp"), nil, 0o400))
	check(t, p.CleanScratch())
	if got := tree(t, scratch); len(got) != n+4 {
		t.Errorf("%d of what is young are left in scratch", len(got))
	}
	old := producer(t, openRoot(t, filepath.Dir(r.Dir()), &spool.Options{ScratchAge: -1}), spool.DB{Path: "/db", Dev: 1, Ino: 2})
	check(t, old.CleanScratch())
	if got := tree(t, scratch); len(got) == 0 || len(got) > n/2 || hasPrefix(got, "1.2.3.tmp") {
		t.Errorf("left in scratch of a large directory, at first: %v", got)
	}
	check(t, p.CleanScratch()) // nobody can need what was renamed, however young it is
	if got := tree(t, scratch); len(got) > 0 {
		t.Errorf("left in scratch: %v", got)
	}
}

// What is staged again before it is removed as garbage stays, also when the producer ends.
func TestGarbageStagedAgain(t *testing.T) {
	const n = 700
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	remote := spooltest.NewRemote()
	check(t, snapshot(t, p, content(2, 0), 1)) // occupies ready
	db := distinct(n, 1)
	m, data := stageInLaps(t, p, db, 2)
	check(t, p.StageManifest(name, data))
	check(t, p.Finish())
	_, data = stageInLaps(t, p, content(2, 5), 3)
	check(t, p.StageManifest(name, data))
	check(t, p.CollectGarbage(false, n, 3*n, all(&manifest.Manifest{Chunks: []manifest.Fingerprint{{}}})))
	check(t, p.Finish())
	for i, f := range m.Chunks[1:] {
		check(t, p.StageChunk(f, db[(i+1)*manifest.ChunkSize:][:manifest.ChunkSize]))
	}
	_, data = describe(t, db, 4)
	check(t, p.StageManifest(name, data))
	check(t, p.Finish())
	if !p.Unswept() {
		t.Fatal("nothing is left to remove")
	}
	check(t, p.Close())
	judge(t, r, remote)
	equal(t, drain(t, r, p.Key(), remote), db)
}
