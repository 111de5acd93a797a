package spool_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

func TestTree(t *testing.T) {
	dir := t.TempDir()
	r := openRoot(t, filepath.Join(dir, "a", "spool"), nil)
	db := makeDB(t, filepath.Join(dir, "db"))
	p := producer(t, r, db)
	want := []string{
		".metadata", "staging/", "staging/chunks/", "staging/meta/", "staging/scratch/",
	}
	if diff := cmp.Diff(want, tree(t, spoolDir(r, p.Key()))); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	meta, err := consumer(t, r, p.Key()).Metadata()
	check(t, err)
	if diff := cmp.Diff(spool.Metadata{Version: 1, Path: db.Path, Target: target}, meta); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	check(t, snapshot(t, p, content(3, 1), 1))
	// Nobody else may look into a spool or write there.
	check(t, filepath.WalkDir(filepath.Join(dir, "a"), func(path string, d fs.DirEntry, err error) error {
		check(t, err)
		info, err := d.Info()
		check(t, err)
		if want := fs.FileMode(0o444); !d.IsDir() && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		if want := fs.FileMode(0o700); d.IsDir() && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	}))
}

func TestPermissionsAreThoseAskedFor(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "spool")
	make := func() {
		r, err := spool.OpenRoot(prefix, 0o077, nil)
		check(t, err)
		check(t, producer(t, r, spool.DB{Path: "/db"}).Close())
	}
	make()
	info, err := os.Stat(prefix)
	check(t, err)
	if got, want := info.Mode().Perm(), fs.FileMode(0o777); got != want {
		t.Errorf("prefix has mode %v, want %v", got, want)
	}
	// An existing one keeps its own.
	check(t, os.Chmod(prefix, 0o710))
	make()
	if info, err = os.Stat(prefix); err != nil || info.Mode().Perm() != 0o710 {
		t.Errorf("prefix has mode %v, want 0710 (%v)", info.Mode(), err)
	}
}

func TestRootIgnoresDriftOfBootTime(t *testing.T) {
	prefix := t.TempDir()
	first := openRoot(t, prefix, nil)
	var seconds int64
	var rest string
	_, err := fmt.Sscanf(filepath.Base(first.Dir()), "boule-%d.%s", &seconds, &rest)
	check(t, err)
	for drift, same := range map[int64]bool{-3: false, -2: true, -1: true, 0: true, 1: true, 2: true, 3: false} {
		check(t, os.RemoveAll(first.Dir()))
		drifted := filepath.Join(prefix, fmt.Sprintf("boule-%d.%s", seconds+drift, rest))
		check(t, os.Mkdir(drifted, 0o700))
		r := openRoot(t, prefix, nil)
		if got := r.Dir() == drifted; got != same {
			t.Errorf("boot time off by %d s: %s, found again: %v, want %v", drift, r.Dir(), got, same)
		}
		check(t, os.RemoveAll(drifted))
	}
}

// A prefix that cannot be used is no error until it is, and may be put right.
func TestPrefixNeedsADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	for _, prefix := range []string{file, filepath.Join(file, "spool")} {
		r := openRoot(t, prefix, nil)
		if _, err := r.Producer(spool.DB{Path: "/db"}, target); err == nil {
			t.Errorf("a spool was made below the file %s", prefix)
		}
		check(t, os.Remove(file))
		check(t, producer(t, r, spool.DB{Path: "/db"}).Close())
		check(t, os.RemoveAll(file))
		check(t, os.WriteFile(file, nil, 0o600))
	}
}

func TestProducerRefusesBadNames(t *testing.T) {
	prefix := t.TempDir()
	r := openRoot(t, prefix, nil)
	for _, path := range []string{"", "db", "/a/../db", "/a\xff", "/a\x00b", "/a/"} {
		if _, err := r.Producer(spool.DB{Path: path}, target); !errors.Is(err, spool.ErrBadPath) {
			t.Errorf("Producer(%q): %v", path, err)
		}
	}
	for _, id := range []string{"", ".", "a/b", "a.b", strings.Repeat("x", 65)} {
		if _, err := r.Producer(spool.DB{Path: "/db"}, spool.Target{ID: id}); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("Producer for target %q: %v", id, err)
		}
	}
	if got := tree(t, prefix); len(got) > 0 {
		t.Errorf("left in the spool: %v", got)
	}
	p := producer(t, r, spool.DB{Path: "/db"})
	for _, name := range []string{"", ".x", "a/b", "..", strings.Repeat("x", 256)} {
		if _, err := p.Staged(name); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("Staged(%q): %v", name, err)
		}
		if err := p.StageManifest(name, nil); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("StageManifest(%q): %v", name, err)
		}
	}
}

func TestStaging(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	if _, err := p.Staged(name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Staged in a new spool: %v", err)
	}
	for i := range uint64(3) {
		_, data := describe(t, content(1, byte(i)), i)
		check(t, p.StageManifest(name, data))
		got, err := p.Staged(name)
		check(t, err)
		equal(t, got, data)
	}
	chunk := content(1, 9)
	f := manifest.Sum(chunk)
	check(t, p.StageChunk(f, chunk))
	check(t, p.StageChunk(f, chunk))
	c := consumer(t, r, p.Key())
	got, err := c.ReadStagedChunk(f.ChunkName())
	check(t, err)
	equal(t, got, chunk)
	check(t, c.RemoveStagedChunk(f.ChunkName()))
	check(t, c.RemoveStagedChunk(f.ChunkName()))
	if _, err := c.ReadStagedChunk(f.ChunkName()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading a chunk that is gone: %v", err)
	}
	check(t, p.DropStaged(name))
	check(t, p.DropStaged(name))
	if _, err := p.Staged(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Staged after DropStaged: %v", err)
	}
	if got := tree(t, filepath.Join(spoolDir(r, p.Key()), "staging")); len(got) != 3 {
		t.Errorf("left in staging: %v", got)
	}
}

func TestReadyIsPublishedOnceUntilTaken(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	remote := spooltest.NewRemote()
	first, second := content(4, 1), content(4, 2)
	check(t, snapshot(t, p, first, 1))
	judge(t, r, remote)
	c := consumer(t, r, p.Key())
	if names, err := c.StagedChunks(); err != nil || len(names) > 0 {
		t.Errorf("staged chunks after publication: %v, %v", names, err)
	}
	check(t, snapshot(t, p, second, 2))
	judge(t, r, remote)
	names, err := c.StagedChunks()
	check(t, err)
	if len(names) != 3 {
		t.Errorf("%d chunks are staged while ready is occupied, want 3", len(names))
	}
	if quiet, err := c.Quiescent(); quiet || err != nil {
		t.Errorf("Quiescent = %v, %v", quiet, err)
	}

	b, err := c.TakeReady()
	check(t, err)
	left, err := b.Chunks()
	check(t, err)
	if len(left) != 3 {
		t.Errorf("the batch has %d chunks, want 3", len(left))
	}
	if err := b.ChunksDone(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("ChunksDone with chunks left: %v", err)
	}
	// Another consumer takes the same batch, and what is published now waits.
	check(t, snapshot(t, p, second, 3))
	again, err := consumer(t, r, p.Key()).TakeReady()
	check(t, err)
	if again.Name() != b.Name() {
		t.Errorf("a second consumer took %s, want %s", again.Name(), b.Name())
	}
	check(t, again.Close())
	check(t, b.Close())
	judge(t, r, remote)

	equal(t, drain(t, r, p.Key(), remote), second)
	judge(t, r, remote)
	if quiet, err := c.Quiescent(); !quiet || err != nil {
		t.Errorf("Quiescent after draining = %v, %v", quiet, err)
	}
	if b, err := c.TakeReady(); b != nil || err != nil {
		t.Errorf("TakeReady of nothing = %v, %v", b, err)
	}
}

func TestPublicationChangesIdentityOfStagedManifest(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	m, data := describe(t, content(1, 1), 1)
	check(t, p.StageManifest(name, data))
	c := consumer(t, r, p.Key())
	open := func() *spool.StagedManifest {
		all, err := c.StagedManifests()
		check(t, err)
		if len(all) != 1 || all[0].Name != name {
			t.Fatalf("staged manifests: %v", all)
		}
		t.Cleanup(func() { all[0].Close() })
		return all[0]
	}
	same := func(s *spool.StagedManifest) bool {
		ok, err := c.Unchanged(s)
		check(t, err)
		return ok
	}
	staged := open()
	if !same(staged) {
		t.Error("an untouched manifest changed")
	}
	got, err := staged.Bytes()
	check(t, err)
	equal(t, got, data)
	// The clock of the filesystem is coarse.
	deadline := time.Now().Add(10 * time.Second)
	for changed := false; !changed && time.Now().Before(deadline); {
		published, err := p.PublishReady(name, m.Chunks[1:])
		check(t, err)
		if !published {
			t.Fatal("not published")
		}
		changed = !same(staged)
		b, err := c.TakeReady()
		check(t, err)
		check(t, b.RemoveManifest(name))
		check(t, b.Finish())
	}
	if same(staged) {
		t.Error("publication did not change the manifest")
	}
	staged = open()
	check(t, p.StageManifest(name, data))
	if same(staged) {
		t.Error("a replaced manifest is unchanged")
	}
	staged = open()
	check(t, p.DropStaged(name))
	if same(staged) {
		t.Error("a dropped manifest is unchanged")
	}
}

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
		check(t, p.CollectGarbage(false, m.Chunks[1:], 1))
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

func TestMetadataIsMadeAgain(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	check(t, snapshot(t, p, content(2, 1), 1))
	check(t, os.Remove(filepath.Join(spoolDir(r, p.Key()), ".metadata")))
	if _, err := p.Staged(name); err != nil {
		t.Fatalf("Staged: %v", err)
	}
	if _, err := consumer(t, r, p.Key()).Metadata(); err != nil {
		t.Error(err)
	}
}

func TestSpools(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	if got, err := r.Spools(); len(got) > 0 || err != nil {
		t.Errorf("spools of an empty root: %v, %v", got, err)
	}
	long := "/" + strings.Repeat("x", 300)
	a := producer(t, r, spool.DB{Path: "/a", Dev: 1, Ino: 2})
	b := producer(t, r, spool.DB{Path: long, Dev: 3, Ino: 4})
	check(t, snapshot(t, a, content(3, 1), 1))
	check(t, snapshot(t, a, content(3, 2), 2))
	got, err := r.Spools()
	check(t, err)
	if len(got) != 2 {
		t.Fatalf("%d spools, want 2: %v", len(got), got)
	}
	chunks := int64(2 * manifest.ChunkSize)
	for i := range got {
		for _, u := range []*spool.Usage{&got[i].Staged, &got[i].Ready} {
			if u.Manifests > 0 && (u.Bytes <= chunks || u.Bytes > chunks+manifest.ChunkSize+1000) {
				t.Errorf("usage %+v", *u)
			}
			u.Bytes = 0
		}
	}
	want := []spool.Info{
		{Key: a.Key(), Path: "/a", Target: target, Staged: spool.Usage{Chunks: 2, Manifests: 1}, Ready: spool.Usage{Chunks: 2, Manifests: 1}},
		{Key: b.Key(), Path: long, Target: target},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spools (-want +got):\n%s", diff)
	}
	if !got[0].Pending() || got[1].Pending() {
		t.Errorf("pending: %v, %v", got[0].Pending(), got[1].Pending())
	}
	check(t, os.RemoveAll(filepath.Dir(r.Dir())))
	if got, err := r.Spools(); len(got) > 0 || err != nil {
		t.Errorf("spools without a prefix: %v, %v", got, err)
	}
}

func TestTap(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	if _, _, err := r.Tap(target.ID, name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Tap of nothing: %v", err)
	}
	for _, data := range []string{"one", "two"} {
		check(t, r.WriteTap(target.ID, name, []byte(data)))
		got, at, err := r.Tap(target.ID, name)
		check(t, err)
		if string(got) != data || time.Since(at) > time.Minute {
			t.Errorf("Tap = %q at %v, want %q", got, at, data)
		}
	}
	check(t, os.RemoveAll(filepath.Dir(r.Dir())))
	check(t, r.WriteTap(target.ID, name, []byte("three")))
	for _, bad := range [][2]string{{"..", name}, {target.ID, "../x"}, {target.ID, ".x"}} {
		if err := r.WriteTap(bad[0], bad[1], nil); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("WriteTap(%q): %v", bad, err)
		}
	}
}

func TestLockMeta(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	a, b := consumer(t, r, p.Key()), consumer(t, r, p.Key())
	synctest.Test(t, func(t *testing.T) {
		unlock, err := a.LockMeta(t.Context())
		check(t, err)
		start := time.Now()
		// The lock is busy, but does not hold anybody up for ever.
		free, err := b.LockMeta(t.Context())
		check(t, err)
		if wait := time.Since(start); wait < 2*time.Second || wait > 4*time.Second {
			t.Errorf("waited %v for a busy lock", wait)
		}
		free()
		unlock()
		start = time.Now()
		unlock, err = b.LockMeta(t.Context())
		check(t, err)
		unlock()
		if wait := time.Since(start); wait > 0 {
			t.Errorf("waited %v for a free lock", wait)
		}
	})
}
