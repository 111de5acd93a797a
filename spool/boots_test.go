package spool_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// bootAt returns a boot that began some time after now.
func bootAt(after time.Duration, digit string) instance.ID {
	return instance.ID{Time: time.Now().Add(after).Unix(), UUID: "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f" + digit}
}

// Processes that are told boot times that differ by up to 2 s meet in one directory, whoever made it, and
// whether they write or read.
func TestBootTimesThatDifferMeet(t *testing.T) {
	db := spool.DB{Path: "/db", Dev: 1, Ino: 2}
	for drift := int64(-4); drift <= 4; drift++ {
		prefix := filepath.Join(t.TempDir(), "spool")
		boot := bootAt(-time.Hour, "0")
		writer := openRoot(t, prefix, &spool.Options{Boot: boot})
		boot.Time += drift
		reader := openRoot(t, prefix, &spool.Options{Boot: boot}) // before there is anything
		p := producer(t, writer, db)
		check(t, snapshot(t, p, content(3, 1), 1))
		check(t, writer.WriteTap(target.ID, name, []byte("tap")))

		con, cerr := reader.Consumer(p.Key())
		if cerr == nil {
			con.Close()
		}
		_, _, terr := reader.Tap(target.ID, name)
		infos, err := reader.Spools()
		check(t, err)
		meet := drift >= -2 && drift <= 2
		if (cerr == nil) != meet || (terr == nil) != meet || (len(infos) == 1) != meet {
			t.Errorf("off by %d s: consumer %v, tap %v, %d spools; want them to meet: %v", drift, cerr, terr, len(infos), meet)
		}
		check(t, producer(t, reader, db).Close())
		if (reader.Dir() == writer.Dir()) != meet {
			t.Errorf("off by %d s: %s and %s", drift, writer.Dir(), reader.Dir())
		}
	}
}

// Two processes that make the directory of the boot at the same time, under different names, agree in the end.
func TestBootTimesThatDifferMeetAfterARace(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "spool")
	db := spool.DB{Path: "/db", Dev: 1, Ino: 2}
	boot := bootAt(-time.Hour, "0")
	second := boot
	second.Time--
	b := openRoot(t, prefix, &spool.Options{Boot: second})
	raced := false
	a := openRoot(t, prefix, &spool.Options{Boot: boot, WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, dir string) error {
			if op == fsx.OpMkdir && dir == "boule-"+boot.String()+"-v2" && !raced {
				raced = true
				return producer(t, b, db).Close()
			}
			return nil
		})
	}})
	pa := producer(t, a, db)
	if !raced || len(tree(t, a.Dir())) == 0 || len(tree(t, b.Dir())) == 0 {
		t.Fatal("there was no race")
	}
	pb := producer(t, b, db)
	err := snapshot(t, pa, content(3, 1), 1)
	if errors.Is(err, spool.ErrVanished) {
		err = snapshot(t, pa, content(3, 1), 1)
	}
	check(t, err)
	if a.Dir() != b.Dir() {
		t.Errorf("%s and %s", a.Dir(), b.Dir())
	}
	if _, err := pb.Staged(name); err != nil {
		t.Errorf("one does not see what the other staged: %v", err)
	}
}

func unflushed(t *testing.T, r *spool.Root) []string {
	t.Helper()
	all, err := r.Unflushed()
	check(t, err)
	names := []string{}
	for _, u := range all {
		names = append(names, filepath.Base(u.Path))
		if diff := cmp.Diff(target, u.Target); diff != "" {
			t.Errorf("target of %s:\n%s", u.Path, diff)
		}
	}
	return names
}

// Directories of earlier boots go; what they had not uploaded is logged, and told until the database is
// staged again, however often the machine is restarted meanwhile.
func TestEarlierBootsAreCleanedAndReported(t *testing.T) {
	dir := t.TempDir()
	prefix := filepath.Join(dir, "spool")
	first := openRoot(t, prefix, &spool.Options{Boot: bootAt(-time.Hour, "1")})
	dbs := map[string]spool.DB{}
	for i, file := range []string{"uploaded", "pending", "manifest", "deleted"} {
		dbs[file] = makeDB(t, filepath.Join(dir, file))
		p := producer(t, first, dbs[file])
		db := content(3, byte(i))
		check(t, snapshot(t, p, db, 1))
		if file == "uploaded" || file == "manifest" { // of the latter, all but the tap
			equal(t, drain(t, first, p.Key(), spooltest.NewRemote()), db)
		}
		if file == "uploaded" {
			_, data := describe(t, db, 1)
			check(t, first.WriteTap(target.ID, name, data))
		}
		check(t, p.Close())
	}
	check(t, os.Remove(dbs["deleted"].Path))

	var log bytes.Buffer
	options := func(boot instance.ID) *spool.Options {
		return &spool.Options{Boot: boot, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	}
	second := openRoot(t, prefix, options(bootAt(time.Hour, "2")))
	want := []string{"manifest", "pending"}
	if diff := cmp.Diff(want, unflushed(t, second)); diff != "" {
		t.Errorf("before cleaning (-want +got):\n%s", diff)
	}
	second.CleanStale(spool.DB{})
	if exists(first.Dir()) {
		t.Error("the directory of the earlier boot is still there")
	}
	if diff := cmp.Diff(want, unflushed(t, second)); diff != "" {
		t.Errorf("after cleaning (-want +got):\n%s", diff)
	}
	for file, db := range dbs {
		if got, want := strings.Contains(log.String(), db.Path), file == "manifest" || file == "pending"; got != want {
			t.Errorf("%s is logged: %v, want %v\n%s", file, got, want, &log)
		}
	}
	check(t, snapshot(t, producer(t, second, dbs["pending"]), content(3, 1), 2))
	if diff := cmp.Diff([]string{"manifest"}, unflushed(t, second)); diff != "" {
		t.Errorf("after a snapshot of one (-want +got):\n%s", diff)
	}
	third := openRoot(t, prefix, options(bootAt(2*time.Hour, "3")))
	third.CleanStale(spool.DB{})
	if diff := cmp.Diff(want, unflushed(t, third)); diff != "" { // "pending" was not uploaded this time either
		t.Errorf("after another restart (-want +got):\n%s", diff)
	}
	if names := tree(t, prefix); exists(second.Dir()) || hasPrefix(names, ".gone") {
		t.Errorf("remains: %v", names)
	}
	for _, v := range spooltest.Check(third.Dir(), nil) {
		t.Error(v)
	}
}

// On a filesystem that machines share, the directory of another machine's boot stays: if anything in it
// changed since this boot began, and for a week if it is of another host.
func TestBootOfAnotherMachineIsKept(t *testing.T) {
	for what, c := range map[string]struct {
		writer  string // name of the host
		restart time.Duration
		later   time.Duration
		kept    bool
	}{
		"changed since":                  {"here", -time.Minute, 0, true},
		"of this host":                   {"here", time.Minute, 0, false},
		"of another host":                {"there", time.Minute, time.Hour, true},
		"of another host, a week ago":    {"there", time.Minute, 8 * 24 * time.Hour, false},
		"of another host, changed since": {"there", -time.Minute, 8 * 24 * time.Hour, true},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			prefix := filepath.Join(dir, "spool")
			first := openRoot(t, prefix, &spool.Options{Boot: bootAt(-time.Hour, "1")})
			db := makeDB(t, filepath.Join(dir, "db"))
			p := producer(t, first, db)
			_, data := describe(t, content(1, 1), 1)
			check(t, p.StageManifest(manifest.Name(c.writer, db.Path), data))
			strange := []string{"boule-x-v1", "boule-1.2", "other"}
			for _, name := range strange {
				check(t, os.Mkdir(filepath.Join(prefix, name), 0o700))
			}
			second := openRoot(t, prefix, &spool.Options{
				Boot: bootAt(c.restart, "2"), Hostname: "here",
				Now: func() time.Time { return time.Now().Add(c.later) },
			})
			producer(t, second, db)
			second.CleanStale(db)
			if exists(first.Dir()) != c.kept {
				t.Errorf("kept: %v, want %v", !c.kept, c.kept)
			}
			for _, name := range append(strange, filepath.Base(second.Dir())) {
				if !exists(filepath.Join(prefix, name)) {
					t.Errorf("%s was removed", name)
				}
			}
		})
	}
}

// Spools of deleted databases go also if their names had to be shortened, and those whose names differ
// only in the extension do not get into each other's way, even when nothing can be removed for good.
func TestShortenedAndSimilarNamesAreCleaned(t *testing.T) {
	dir := t.TempDir()
	prefix := filepath.Join(dir, "spool")
	long := filepath.Join(dir, strings.Repeat("d", 120), strings.Repeat("e", 120))
	check(t, os.MkdirAll(long, 0o700))
	stuck := true
	r := openRoot(t, prefix, &spool.Options{WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, name string) error {
			if op == fsx.OpRemoveAll && stuck {
				return &fs.PathError{Op: "remove", Path: name, Err: syscall.EIO}
			}
			return nil
		})
	}})
	var keys []spool.Key
	for _, path := range []string{
		filepath.Join(dir, "a"), filepath.Join(dir, "a.db"), filepath.Join(dir, "a.sqlite"),
		filepath.Join(long, "a"), filepath.Join(long, "a.db"), filepath.Join(long, "a.sqlite"),
	} {
		db := makeDB(t, path)
		keys = append(keys, producer(t, r, db).Key())
		check(t, os.Remove(path))
	}
	r.CleanStale(spool.DB{})
	for _, key := range keys {
		if exists(spoolDir(r, key)) {
			t.Errorf("the spool %s is still there", key)
		}
	}
	if gone := len(tree(t, prefix)); gone <= len(keys) {
		t.Errorf("there are %d files, want those that could not be removed", gone)
	}
	stuck = false
	openRoot(t, prefix, nil).CleanStale(spool.DB{})
	if names := tree(t, prefix); len(names) != 1 {
		t.Errorf("there is more than the directory of the boot: %v", names)
	}
}
