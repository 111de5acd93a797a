package spool_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

func TestTree(t *testing.T) {
	dir := t.TempDir()
	r := openRoot(t, filepath.Join(dir, "a", "spool"), nil)
	db := makeDB(t, filepath.Join(dir, "db"))
	p := producer(t, r, db)
	want := []string{
		".metadata", "staging/", "staging/chunks/", "staging/index/", "staging/meta/", "staging/scratch/",
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
		if want := fs.FileMode(0o400); !d.IsDir() && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		if want := fs.FileMode(0o700); d.IsDir() && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	}))
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
	if got := tree(t, filepath.Join(spoolDir(r, p.Key()), "staging")); len(got) != 4 {
		t.Errorf("left in staging: %v", got)
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
