//go:build linux || darwin || freebsd

package fsx_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/internal/fsx"
)

// onOS runs a test on both ways to resolve names.
func onOS(t *testing.T, test func(t *testing.T, fsys fsx.FS, dir string)) {
	t.Helper()
	for _, way := range []string{"default", "walking"} {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			fsys := open(t, dir)
			if way == "walking" {
				fsx.Walking(fsys)
			}
			test(t, fsys, dir)
		})
	}
}

func TestCreateAndRead(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		check(t, fsys.Mkdir("d", 0o777))
		for _, name := range []string{"a", "d/b"} {
			create(t, fsys, name, "content of "+name)
			b, err := fsys.ReadFile(name)
			check(t, err)
			if got, want := string(b), "content of "+name; got != want {
				t.Errorf("ReadFile(%s): got %q, want %q", name, got, want)
			}
			_, err = fsys.Create(name, 0o644)
			wantIs(t, "Create again", err, fs.ErrExist)
		}
		wantTree(t, dir, map[string]string{"a": "content of a", "d/": "", "d/b": "content of d/b"})

		_, err := fsys.ReadFile("absent")
		wantIs(t, "ReadFile(absent)", err, fs.ErrNotExist)
		var pathErr *fs.PathError
		if !errors.As(err, &pathErr) || pathErr.Path != filepath.Join(dir, "absent") {
			t.Errorf("got %#v, want a PathError with the whole path", err)
		}
		_, err = fsys.ReadFile("absent/a")
		wantIs(t, "ReadFile(absent/a)", err, fs.ErrNotExist)
		_, err = fsys.Create("absent/a", 0o644)
		wantIs(t, "Create(absent/a)", err, fs.ErrNotExist)
		_, err = fsys.ReadFile("d")
		wantIs(t, "ReadFile(directory)", err, fsx.ErrIrregular)
		_, err = fsys.Open("d")
		wantIs(t, "Open(directory)", err, fsx.ErrIrregular)
	})
}

func TestReadFileOfManySizes(t *testing.T) {
	fsys := open(t, t.TempDir())
	for _, size := range []int{0, 1, 4095, 4096, 65536, 1 << 20} {
		want := strings.Repeat("x", size)
		create(t, fsys, "f", want)
		b, err := fsys.ReadFile("f")
		check(t, err)
		if string(b) != want {
			t.Errorf("size %d: got %d bytes", size, len(b))
		}
		check(t, fsys.Remove("f"))
	}
}

func TestOpen(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/d/f", "0123456789")
		f, err := fsys.Open("d/f")
		check(t, err)
		check(t, fsys.Remove("d/f")) // it stays open

		p := make([]byte, 4)
		n, err := f.ReadAt(p, 3)
		if n != 4 || err != nil || string(p) != "3456" {
			t.Errorf("ReadAt(3): got %d, %v, %q", n, err, p)
		}
		n, err = f.ReadAt(p, 8)
		if n != 2 || !errors.Is(err, io.EOF) || string(p[:n]) != "89" {
			t.Errorf("ReadAt(8): got %d, %v, %q", n, err, p[:n])
		}
		n, err = f.ReadAt(p, -1)
		if n != 0 || err == nil {
			t.Errorf("ReadAt(-1): got %d, %v", n, err)
		}
		info, err := f.Stat()
		check(t, err)
		if info.Name != "f" || info.Size != 10 || info.Ino == 0 {
			t.Errorf("Stat: got %+v", info)
		}
		check(t, f.Close())
		_, err = f.ReadAt(p, 0)
		wantIs(t, "ReadAt after Close", err, fs.ErrClosed)
		wantIs(t, "Close again", f.Close(), fs.ErrClosed)
	})
}

func TestStat(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		before := time.Now().Add(-time.Minute)
		put(t, dir+"/d/f", "0123")
		check(t, os.Symlink("f", dir+"/d/l"))
		check(t, os.Link(dir+"/d/f", dir+"/g"))
		check(t, os.Chmod(dir+"/d", 0o777|fs.ModeSticky))

		f, err := fsys.Stat("d/f")
		check(t, err)
		if f.Name != "f" || f.Size != 4 || f.Mode != 0o644 || f.IsDir() {
			t.Errorf("file: got %+v", f)
		}
		if f.ModTime.Before(before) || f.ChangeTime.Before(before) {
			t.Errorf("times: got %+v", f)
		}
		g, err := fsys.Stat("g")
		check(t, err)
		if g.Dev != f.Dev || g.Ino != f.Ino {
			t.Errorf("links: got %+v and %+v, want the same inode", f, g)
		}
		d, err := fsys.Stat("d")
		check(t, err)
		if !d.IsDir() || d.Mode != fs.ModeDir|fs.ModeSticky|0o777 {
			t.Errorf("directory: got %+v", d)
		}
		l, err := fsys.Stat("d/l")
		check(t, err)
		if l.Mode&fs.ModeSymlink == 0 {
			t.Errorf("link: got %+v, want not followed", l)
		}
		root, err := fsys.Stat(".")
		check(t, err)
		if !root.IsDir() {
			t.Errorf("root: got %+v", root)
		}
		_, err = fsys.Stat("d/absent")
		wantIs(t, "Stat(absent)", err, fs.ErrNotExist)
	})
}

func TestReadDir(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		want := []string{"a", "b", "c"}
		for _, name := range want {
			put(t, dir+"/d/"+name, "")
		}
		check(t, os.Mkdir(dir+"/empty", 0o777))
		for name, want := range map[string][]string{"d": want, ".": {"d", "empty"}, "empty": nil} {
			got, err := fsys.ReadDir(name)
			check(t, err)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("ReadDir(%s): got %v, want %v", name, got, want)
			}
		}
		got, err := fsys.ReadDirBatch("d", 2)
		check(t, err)
		if len(got) != 2 {
			t.Errorf("ReadDirBatch(2): got %v", got)
		}
		got, err = fsys.ReadDirBatch("empty", 2)
		if len(got) != 0 || err != nil {
			t.Errorf("ReadDirBatch(empty): got %v, %v", got, err)
		}
		_, err = fsys.ReadDir("absent")
		wantIs(t, "ReadDir(absent)", err, fs.ErrNotExist)
		if _, err = fsys.ReadDir("d/a"); err == nil {
			t.Error("ReadDir of a file succeeded")
		}
	})
}

func TestMkdir(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		check(t, fsys.MkdirAll("a/b/c", 0o755))
		check(t, fsys.MkdirAll("a/b/c", 0o755))
		check(t, fsys.MkdirAll("a/b/d", 0o755))
		check(t, fsys.MkdirAll(".", 0o755))
		wantIs(t, "Mkdir(existing)", fsys.Mkdir("a", 0o755), fs.ErrExist)
		wantIs(t, "Mkdir(absent/x)", fsys.Mkdir("absent/x", 0o755), fs.ErrNotExist)
		put(t, dir+"/f", "x")
		if err := fsys.MkdirAll("f", 0o755); err == nil {
			t.Error("MkdirAll over a file succeeded")
		}
		if err := fsys.MkdirAll("f/g", 0o755); err == nil {
			t.Error("MkdirAll below a file succeeded")
		}
		wantTree(t, dir, map[string]string{"a/": "", "a/b/": "", "a/b/c/": "", "a/b/d/": "", "f": "x"})
	})
}

func TestLink(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/d/a", "a")
		put(t, dir+"/e/b", "b")
		check(t, fsys.Link("d/a", "e/a"))
		check(t, fsys.Link("d/a", "d/a2"))
		check(t, fsys.Link("d/a", "top"))
		err := fsys.Link("d/a", "e/b")
		wantIs(t, "Link(existing)", err, fs.ErrExist)
		var linkErr *os.LinkError
		if !errors.As(err, &linkErr) || linkErr.New != filepath.Join(dir, "e/b") {
			t.Errorf("got %#v, want a LinkError with whole paths", err)
		}
		wantIs(t, "Link(absent)", fsys.Link("d/absent", "e/c"), fs.ErrNotExist)
		wantIs(t, "Link(to absent directory)", fsys.Link("d/a", "absent/c"), fs.ErrNotExist)
		wantTree(t, dir, map[string]string{"d/": "", "d/a": "a", "d/a2": "a", "e/": "", "e/a": "a", "e/b": "b", "top": "a"})
	})
}

func TestRename(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/d/a", "a")
		put(t, dir+"/e/b", "b")
		check(t, fsys.Rename("d/a", "e/b"))
		wantTree(t, dir, map[string]string{"d/": "", "e/": "", "e/b": "a"})
		wantIs(t, "Rename(absent)", fsys.Rename("d/a", "e/b"), fs.ErrNotExist)
		if err := fsys.Rename("e/b", "d"); err == nil {
			t.Error("Rename of a file onto a directory succeeded")
		}
		wantTree(t, dir, map[string]string{"d/": "", "e/": "", "e/b": "a"})
	})
}

func TestRenameNew(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/a", "a")
		put(t, dir+"/b", "b")
		if err := fsys.RenameNew("a", "b"); !errors.Is(err, fs.ErrExist) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("RenameNew(existing): got %v", err)
		}
		wantTree(t, dir, map[string]string{"a": "a", "b": "b"})
		err := fsys.RenameNew("a", "c")
		if errors.Is(err, errors.ErrUnsupported) {
			wantTree(t, dir, map[string]string{"a": "a", "b": "b"})
			return
		}
		check(t, err)
		wantTree(t, dir, map[string]string{"c": "a", "b": "b"})
	})
}

func TestRenameDir(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/tmp/u/chunks/a", "a")
		check(t, fsys.RenameDir("tmp", "ready")) // onto nothing
		check(t, os.Mkdir(dir+"/consuming", 0o777))
		check(t, fsys.RenameDir("ready", "consuming")) // onto an empty one
		want := map[string]string{"consuming/": "", "consuming/u/": "", "consuming/u/chunks/": "", "consuming/u/chunks/a": "a"}
		wantTree(t, dir, want)

		put(t, dir+"/ready/v/b", "b")
		wantIs(t, "RenameDir(not empty)", fsys.RenameDir("ready", "consuming"), fs.ErrExist)
		wantIs(t, "RenameDir(absent)", fsys.RenameDir("absent", "consuming"), fs.ErrNotExist)
		put(t, dir+"/f", "f")
		put(t, dir+"/g", "g")
		if err := fsys.RenameDir("f", "g"); err == nil {
			t.Error("RenameDir of a file succeeded")
		}
		if err := fsys.RenameDir("ready", "f"); err == nil {
			t.Error("RenameDir onto a file succeeded")
		}
		want["ready/"], want["ready/v/"], want["ready/v/b"], want["f"], want["g"] = "", "", "b", "f", "g"
		wantTree(t, dir, want)
	})
}

func TestRemove(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/d/a", "a")
		put(t, dir+"/e/f/g/h", "h")
		check(t, os.Symlink("d", dir+"/e/link"))
		check(t, os.Symlink(dir+"/d", dir+"/link"))
		wantIs(t, "Remove(not empty)", fsys.Remove("d"), fs.ErrExist)
		wantIs(t, "Remove(absent)", fsys.Remove("d/b"), fs.ErrNotExist)
		check(t, fsys.Remove("link")) // the link itself
		check(t, fsys.RemoveAll("e"))
		check(t, fsys.RemoveAll("e"))
		check(t, fsys.RemoveAll("absent/e"))
		wantTree(t, dir, map[string]string{"d/": "", "d/a": "a"})
		check(t, fsys.Remove("d/a"))
		check(t, fsys.Remove("d"))
		wantTree(t, dir, map[string]string{})
	})
}

func TestRemoveAllOfALargeDirectory(t *testing.T) {
	fsys := open(t, t.TempDir())
	check(t, fsys.MkdirAll("d/sub", 0o777))
	for i := range 1000 {
		create(t, fsys, "d/sub/f"+strings.Repeat("x", i%100)+string(rune('a'+i%26))+time.Duration(i).String(), "")
	}
	check(t, fsys.RemoveAll("d"))
	_, err := fsys.Stat("d")
	wantIs(t, "Stat after RemoveAll", err, fs.ErrNotExist)
}

func TestChmod(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/d/a", "a")
		check(t, fsys.Chmod("d", 0o777))
		check(t, fsys.Chmod("d/a", 0o444))
		for name, want := range map[string]fs.FileMode{"d": 0o777, "d/a": 0o444} {
			info, err := fsys.Stat(name)
			check(t, err)
			if got := info.Mode.Perm(); got != want {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
		wantIs(t, "Chmod(absent)", fsys.Chmod("absent", 0o777), fs.ErrNotExist)
	})
}

func TestTryLock(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		check(t, fsys.Mkdir("d", 0o777))
		lock, err := fsys.TryLock("d/lock")
		check(t, err)
		_, err = fsys.TryLock("d/lock")
		wantIs(t, "TryLock of a locked file", err, fsx.ErrLocked)
		check(t, lock.Close())
		lock, err = fsys.TryLock("d/lock")
		check(t, err)
		check(t, lock.Close())
		_, err = fsys.TryLock("d")
		if err == nil {
			t.Error("TryLock of a directory succeeded")
		}
	})
}
