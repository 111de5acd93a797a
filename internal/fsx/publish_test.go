package fsx_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/internal/fsx"
)

var errInjected = errors.New("injected")

// failing returns fsys with its call number n failing; calls are counted from 0
// and noted.
func failing(fsys fsx.FS, n int, calls *[]string) fsx.FS {
	return fsx.Faulty(fsys, func(op fsx.Op, name string) error {
		*calls = append(*calls, string(op))
		if len(*calls)-1 == n {
			return fmt.Errorf("%s %s: %w", op, name, errInjected)
		}
		return nil
	})
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	fsys := open(t, dir)
	check(t, fsys.Mkdir("d", 0o777))
	check(t, fsx.Publish(fsys, "s1", "d/a", []byte("first"), 0o444, false))
	check(t, fsx.Publish(fsys, "s2", "d/a", []byte("second"), 0o444, false))
	wantTree(t, dir, map[string]string{"d/": "", "d/a": "first"})
	existed, err := fsx.PublishNew(fsys, "s3", "d/a", []byte("third"), 0o444)
	if !existed || err != nil {
		t.Errorf("PublishNew(existing): got %v, %v", existed, err)
	}
	existed, err = fsx.PublishNew(fsys, "s3", "d/b", []byte("b"), 0o444)
	if existed || err != nil {
		t.Errorf("PublishNew: got %v, %v", existed, err)
	}
	check(t, fsx.Publish(fsys, "s4", "d/a", []byte("fourth"), 0o444, true))
	wantTree(t, dir, map[string]string{"d/": "", "d/a": "fourth", "d/b": "b"})
	for _, name := range []string{"d/a", "d/b"} {
		info, err := fsys.Stat(name)
		check(t, err)
		if got := info.Mode; got != 0o444 {
			t.Errorf("mode of %s: got %v", name, got)
		}
	}
}

func TestPublishFailing(t *testing.T) {
	for _, clobber := range []bool{false, true} {
		for n := 0; ; n++ {
			dir := t.TempDir()
			put(t, dir+"/old", "old")
			var calls []string
			err := fsx.Publish(failing(open(t, dir), n, &calls), "scratch", "new", []byte("new"), 0o444, clobber)
			if n >= len(calls) {
				check(t, err)
				if n < 4 {
					t.Fatalf("only %v were made to fail", calls)
				}
				break
			}
			last := calls[n]
			got := tree(t, dir)
			if last == string(fsx.OpRemove) {
				// Published; a scratch file is left for the next cleaning.
				check(t, err)
				if diff := cmp.Diff(map[string]string{"old": "old", "new": "new", "scratch": "new"}, got); diff != "" {
					t.Errorf("failing %s:\n%s", last, diff)
				}
				continue
			}
			wantIs(t, last, err, errInjected)
			if diff := cmp.Diff(map[string]string{"old": "old"}, got); diff != "" {
				t.Errorf("failing %s:\n%s", last, diff)
			}
		}
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, content := range []string{"one", "two", ""} {
		check(t, fsx.Replace(path, 0o600, func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return err
		}))
		wantTree(t, dir, map[string]string{"f": content})
	}
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode: got %v", info.Mode())
	}
	long := filepath.Join(dir, strings.Repeat("é", 127))
	check(t, fsx.Replace(long, 0o600, func(io.Writer) error { return nil }))
	err = fsx.Replace(filepath.Join(dir, "absent", "f"), 0o600, func(io.Writer) error { return nil })
	wantIs(t, "Replace in an absent directory", err, fs.ErrNotExist)
}

func TestReplaceFailing(t *testing.T) {
	seen := map[string]bool{}
	for n := 0; ; n++ {
		dir := t.TempDir()
		put(t, dir+"/f", "old")
		var calls []string
		err := fsx.ReplaceIn(failing(open(t, dir), n, &calls), "f", 0o644, func(w io.Writer) error {
			_, err := io.WriteString(w, "new")
			return err
		})
		if n >= len(calls) {
			check(t, err)
			wantTree(t, dir, map[string]string{"f": "new"})
			break
		}
		seen[calls[n]] = true
		wantIs(t, calls[n], err, errInjected)
		if calls[n] == string(fsx.OpSyncDir) { // the exception that is documented
			wantTree(t, dir, map[string]string{"f": "new"})
		} else {
			wantTree(t, dir, map[string]string{"f": "old"})
		}
	}
	for _, op := range []fsx.Op{fsx.OpCreate, fsx.OpWrite, fsx.OpSync, fsx.OpClose, fsx.OpRename, fsx.OpSyncDir} {
		if !seen[string(op)] {
			t.Errorf("%s was never made to fail", op)
		}
	}
}

func TestReplaceWhoseWriterFails(t *testing.T) {
	dir := t.TempDir()
	put(t, dir+"/f", "old")
	err := fsx.Replace(dir+"/f", 0o644, func(w io.Writer) error {
		io.WriteString(w, "ne")
		return errInjected
	})
	wantIs(t, "Replace", err, errInjected)
	wantTree(t, dir, map[string]string{"f": "old"})

	func() {
		defer func() { recover() }()
		fsx.Replace(dir+"/f", 0o644, func(io.Writer) error { panic("oh") })
	}()
	wantTree(t, dir, map[string]string{"f": "old"})
}

func TestTempFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	start := func(content string) *fsx.TempFile {
		f, err := fsx.CreateTemp(path)
		check(t, err)
		t.Cleanup(f.Abort)
		_, err = io.WriteString(f.File, content)
		check(t, err)
		return f
	}
	f := start("one")
	check(t, f.Commit(false))
	f.Abort()
	wantTree(t, dir, map[string]string{"f": "one"})
	wantIs(t, "Commit again", f.Commit(false), fs.ErrClosed)

	f = start("two")
	wantIs(t, "Commit without overwriting", f.Commit(false), fs.ErrExist)
	if b, err := os.ReadFile(path); string(b) != "one" || err != nil {
		t.Errorf("after a refused Commit: got %q, %v", b, err)
	}
	check(t, f.Commit(true)) // on second thoughts
	wantTree(t, dir, map[string]string{"f": "two"})

	f = start("three")
	f.Abort()
	f.Abort()
	wantTree(t, dir, map[string]string{"f": "two"})
	wantIs(t, "Commit after Abort", f.Commit(true), fs.ErrClosed)

	_, err := fsx.CreateTemp(filepath.Join(dir, "absent", "f"))
	wantIs(t, "CreateTemp in an absent directory", err, fs.ErrNotExist)
}

func TestTempFileFailing(t *testing.T) {
	for _, old := range []bool{false, true} {
		for _, overwrite := range []bool{false, true} {
			for _, renameNew := range []bool{false, true} {
				for n := 0; ; n++ {
					dir := t.TempDir()
					before := map[string]string{}
					if old {
						put(t, dir+"/f", "old")
						before["f"] = "old"
					}
					var calls []string
					armed := true
					fsys := fsx.Faulty(open(t, dir), func(op fsx.Op, name string) error {
						if !armed {
							return nil
						}
						if op == fsx.OpRenameNew && !renameNew {
							return errors.ErrUnsupported
						}
						calls = append(calls, string(op))
						if len(calls)-1 == n {
							return errInjected
						}
						return nil
					})
					f, err := fsx.CreateTempIn(fsys, "f", 0o644)
					if n == 0 {
						wantIs(t, "create", err, errInjected)
						wantTree(t, dir, before)
						continue
					}
					check(t, err)
					_, err = f.File.WriteAt([]byte("new"), 0)
					if err == nil {
						err = f.Commit(overwrite)
					}
					reached := n < len(calls)
					armed = false
					f.Abort()
					if !reached {
						if old && !overwrite {
							wantIs(t, "Commit", err, fs.ErrExist)
							wantTree(t, dir, before)
						} else {
							check(t, err)
							wantTree(t, dir, map[string]string{"f": "new"})
						}
						break
					}
					switch calls[n] {
					case string(fsx.OpSyncDir), string(fsx.OpRemove):
						wantIs(t, calls[n], err, errInjected)
						wantTree(t, dir, map[string]string{"f": "new"})
					default:
						wantIs(t, calls[n], err, errInjected)
						wantTree(t, dir, before)
					}
				}
			}
		}
	}
}

func TestFaultySeesEverything(t *testing.T) {
	dir := t.TempDir()
	var got []string
	fsys := fsx.Faulty(open(t, dir), func(op fsx.Op, name string) error {
		got = append(got, string(op)+" "+name)
		return nil
	})
	check(t, fsys.MkdirAll("a/b", 0o777))
	sub, err := fsys.Sub("a")
	check(t, err)
	defer sub.Close()
	sub2, err := sub.Sub("b")
	check(t, err)
	defer sub2.Close()
	f, err := sub2.Create("f", 0o644)
	check(t, err)
	f.Write([]byte("x"))
	f.WriteAt([]byte("x"), 1)
	f.ReadAt(make([]byte, 1), 0)
	f.Truncate(1)
	f.Chmod(0o600)
	f.Sync()
	check(t, f.Close())
	r, err := sub2.Open("f")
	check(t, err)
	r.ReadAt(make([]byte, 1), 0)
	r.Stat()
	r.Close()
	sub2.Link("f", "g")
	sub2.Rename("g", "h")
	sub2.RenameNew("h", "i")
	fsys.Mkdir("c", 0o777)
	fsys.RenameDir("c", "d")
	fsys.ReadDir("d")
	fsys.ReadDirBatch("d", 1)
	fsys.ReadFile("a/b/f")
	fsys.Stat("d")
	fsys.Chmod("d", 0o700)
	fsys.SyncDir(".")
	if lock, err := fsys.TryLock("lock"); err == nil {
		lock.Close()
	}
	fsys.Remove("d")
	fsys.RemoveAll("a")
	want := []string{
		"mkdirall a/b", "sub a", "sub a/b", "create a/b/f", "write a/b/f", "write a/b/f", "readat a/b/f", "truncate a/b/f", "fchmod a/b/f", "sync a/b/f", "close a/b/f",
		"open a/b/f", "readat a/b/f", "stat a/b/f", "link a/b/g", "rename a/b/h", "renamenew a/b/i", "mkdir c", "renamedir d",
		"readdir d", "readdir d", "readfile a/b/f", "stat d", "chmod d", "syncdir .", "lock lock", "remove d", "removeall a",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func BenchmarkPublish(b *testing.B) {
	fsys := open(b, b.TempDir())
	check(b, fsys.MkdirAll("staging/scratch", 0o777))
	check(b, fsys.MkdirAll("staging/chunks", 0o777))
	data := bytes.Repeat([]byte("x"), 4096)
	i := 0
	for b.Loop() {
		i++
		check(b, fsx.Publish(fsys, fmt.Sprintf("staging/scratch/%d.tmp", i), fmt.Sprintf("staging/chunks/%d", i), data, 0o444, false))
	}
}
