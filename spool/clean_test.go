package spool_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestCleanSiblings(t *testing.T) {
	dir := t.TempDir()
	r := openRoot(t, filepath.Join(dir, "spool"), nil)
	path := filepath.Join(dir, "db")
	old := makeDB(t, path)
	a := producer(t, r, old)
	check(t, os.Rename(path, path+".old")) // which keeps its inode taken
	now := makeDB(t, path)
	b := producer(t, r, now)
	other := producer(t, r, makeDB(t, filepath.Join(dir, "other")))

	// While the path still leads to the file, its spool stays whatever somebody else says.
	check(t, os.Rename(path, path+".new"))
	check(t, os.Rename(path+".old", path))
	r.CleanStale(old)
	if !exists(spoolDir(r, a.Key())) || exists(spoolDir(r, b.Key())) {
		t.Errorf("the spool of the file at the path exists: %v, want true; that of another: %v, want false",
			exists(spoolDir(r, a.Key())), exists(spoolDir(r, b.Key())))
	}
	check(t, os.Rename(path, path+".old"))
	check(t, os.Rename(path+".new", path))
	b = producer(t, r, now)
	r.CleanStale(now)
	if exists(spoolDir(r, a.Key())) || !exists(spoolDir(r, b.Key())) || !exists(spoolDir(r, other.Key())) {
		t.Errorf("old exists: %v, want false; new: %v, other: %v, want true",
			exists(spoolDir(r, a.Key())), exists(spoolDir(r, b.Key())), exists(spoolDir(r, other.Key())))
	}
	// Its producer, still open, makes it again.
	check(t, snapshot(t, a, content(2, 1), 1))
	// A path that cannot be looked at says nothing.
	check(t, os.Remove(path))
	r.CleanStale(now)
	if !exists(spoolDir(r, a.Key())) || !exists(spoolDir(r, b.Key())) {
		t.Error("spools were removed although nothing is known about the file at the path")
	}
}

func TestCleanDangling(t *testing.T) {
	dir := t.TempDir()
	prefix := filepath.Join(dir, "spool")
	r := openRoot(t, prefix, nil)
	deep := filepath.Join(dir, strings.Repeat("d", 100), strings.Repeat("e", 100))
	check(t, os.MkdirAll(deep, 0o700))
	file := filepath.Join(dir, "file")
	check(t, os.WriteFile(file, nil, 0o600))
	var kept, lost []string
	for _, path := range []string{filepath.Join(dir, "db"), filepath.Join(deep, "a long name, to be shortened"), filepath.Join(deep, "b long name, to be shortened")} {
		kept = append(kept, spoolDir(r, producer(t, r, makeDB(t, path)).Key()))
	}
	for _, path := range []string{filepath.Join(dir, "gone"), filepath.Join(deep, "gone: a long name, to be shortened")} {
		db := makeDB(t, path)
		check(t, os.Remove(path))
		lost = append(lost, spoolDir(r, producer(t, r, db).Key()))
	}
	// Below a file there is nothing, but that is not the answer asked for.
	kept = append(kept, spoolDir(r, producer(t, r, spool.DB{Path: filepath.Join(file, "db")}).Key()))
	foreign := filepath.Join(r.Dir(), "something else")
	check(t, os.Mkdir(foreign, 0o700))
	kept = append(kept, foreign)

	r.CleanStale(spool.DB{})
	for _, path := range kept {
		if path != foreign && !exists(path) {
			t.Errorf("%s was removed", path)
		}
	}
	for _, path := range lost {
		if exists(path) {
			t.Errorf("%s is still there", path)
		}
	}
	// Once per process is enough.
	check(t, os.Remove(filepath.Join(dir, "db")))
	r.CleanStale(spool.DB{})
	if !exists(kept[0]) {
		t.Error("dangling spools were looked for again")
	}
	if names := tree(t, prefix); hasPrefix(names, ".gone") {
		t.Errorf("remains of removals: %v", names)
	}
}

// What was never uploaded may be the last that is left of a deleted database: it stays for a day.
func TestCleanDanglingKeepsWhatIsPending(t *testing.T) {
	dir := t.TempDir()
	prefix := filepath.Join(dir, "spool")
	r := openRoot(t, prefix, nil)
	path := filepath.Join(dir, "gone")
	p := producer(t, r, makeDB(t, path))
	check(t, snapshot(t, p, content(3, 1), 1))
	check(t, os.Remove(path))
	spooled := spoolDir(r, p.Key())
	r.CleanStale(spool.DB{})
	if !exists(spooled) {
		t.Fatal("a spool that was not uploaded was removed")
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, sub := range []string{"chunks", "meta"} {
		check(t, os.Chtimes(filepath.Join(spooled, "staging", sub), old, old))
	}
	openRoot(t, prefix, nil).CleanStale(spool.DB{})
	if exists(spooled) {
		t.Error("a spool that nobody uploaded for a day was kept")
	}
}

func TestCleanTaps(t *testing.T) {
	dir := t.TempDir()
	r := openRoot(t, filepath.Join(dir, "spool"), &spool.Options{Hostname: "here"})
	fresh := manifest.Name("here", filepath.Join(dir, "gone"))
	check(t, r.WriteTap(target.ID, fresh, []byte("x")))
	r.CleanStale(spool.DB{})
	if _, _, err := r.Tap(target.ID, fresh); err != nil {
		t.Errorf("the tap of a database that just went away: %v", err)
	}
}
