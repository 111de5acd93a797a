//go:build linux || darwin || freebsd

package fsx_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/internal/fsx"
)

// kinds are the ways to have an empty FS.
var kinds = map[string]func(t *testing.T) fsx.FS{
	"OS":           func(t *testing.T) fsx.FS { return open(t, t.TempDir()) },
	"walking":      func(t *testing.T) fsx.FS { return fsx.Walking(open(t, t.TempDir())) },
	"Mem":          func(*testing.T) fsx.FS { return fsx.NewMem(nil) },
	"Faulty OS":    func(t *testing.T) fsx.FS { return fsx.Faulty(open(t, t.TempDir()), noFault) },
	"Faulty Mem":   func(*testing.T) fsx.FS { return fsx.Faulty(fsx.NewMem(nil), noFault) },
	"a Sub of Mem": func(t *testing.T) fsx.FS { return subOf(t, fsx.NewMem(nil)) },
}

func noFault(fsx.Op, string) error { return nil }

func subOf(t *testing.T, fsys fsx.FS) fsx.FS {
	check(t, fsys.MkdirAll("some/where", 0o777))
	sub, err := fsys.Sub("some/where")
	check(t, err)
	return sub
}

// onAll runs a test on all kinds.
func onAll(t *testing.T, test func(t *testing.T, fsys fsx.FS)) {
	t.Helper()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) { test(t, kind(t)) })
	}
}

// onOS runs a test on both ways to resolve names in a directory that the test can
// reach by itself.
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
	onAll(t, func(t *testing.T, fsys fsx.FS) {
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
		wantFS(t, fsys, map[string]string{"a": "content of a", "d/": "", "d/b": "content of d/b"})

		_, err := fsys.ReadFile("absent")
		wantIs(t, "ReadFile(absent)", err, fs.ErrNotExist)
		var pathErr *fs.PathError
		if !errors.As(err, &pathErr) || !strings.HasSuffix(pathErr.Path, "absent") {
			t.Errorf("got %#v, want a PathError with the path", err)
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
	onAll(t, func(t *testing.T, fsys fsx.FS) {
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
	})
}

func TestOpen(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "d/f", "0123456789")
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
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		before := time.Now().Add(-time.Minute)
		place(t, fsys, "d/f", "0123")
		check(t, fsys.Link("d/f", "g"))
		check(t, fsys.Chmod("d", 0o777|fs.ModeSticky))

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
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		want := []string{"a", "b", "c"}
		for _, name := range want {
			place(t, fsys, "d/"+name, "")
		}
		check(t, fsys.Mkdir("empty", 0o777))
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

func TestChmod(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "d/a", "a")
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
	onAll(t, func(t *testing.T, fsys fsx.FS) {
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

func TestIdentity(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "d/f", "f")
		first, err := fsys.Stat("d/f")
		check(t, err)
		changed := func(what, name string) {
			t.Helper()
			info, err := fsys.Stat(name)
			check(t, err)
			if info.Ino != first.Ino || info.Dev != first.Dev || info.ModTime != first.ModTime {
				t.Errorf("%s: got %+v, want the same file as %+v", what, info, first)
			}
			if !info.ChangeTime.After(first.ChangeTime) {
				t.Errorf("%s: change time %v does not follow %v", what, info.ChangeTime, first.ChangeTime)
			}
			first = info
		}
		// The clocks of file systems are coarse.
		tick := func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("tick%d", i)
				place(t, fsys, name, "")
				info, err := fsys.Stat(name)
				check(t, err)
				check(t, fsys.Remove(name))
				if info.ChangeTime.After(first.ChangeTime) {
					return
				}
			}
		}
		tick()
		check(t, fsys.Link("d/f", "g"))
		changed("link", "d/f")
		tick()
		check(t, fsys.Rename("d/f", "h"))
		changed("rename", "h")
		tick()
		check(t, fsys.Remove("g"))
		changed("removal of a link", "h")
		tick()
		check(t, fsys.Chmod("h", 0o600))
		changed("chmod", "h")
		place(t, fsys, "g", "other")
		tick()
		check(t, fsys.Link("h", "i"))
		check(t, fsys.Rename("i", "g"))
		changed("rename over another", "g")
		check(t, fsys.Rename("g", "h")) // two names of one file: nothing happens
		wantFS(t, fsys, map[string]string{"d/": "", "g": "f", "h": "f"})
	})
}

func TestSub(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "a/b/f", "f")
		sub, err := fsys.Sub("a/b")
		check(t, err)
		defer sub.Close()
		check(t, fsys.RenameDir("a", "z"))
		b, err := sub.ReadFile("f") // by handle
		check(t, err)
		if string(b) != "f" {
			t.Errorf("got %q", b)
		}
		_, err = fsys.Sub("absent")
		wantIs(t, "Sub(absent)", err, fs.ErrNotExist)
		if _, err := fsys.Sub("z/b/f"); err == nil {
			t.Error("Sub of a file succeeded")
		}
		check(t, sub.SyncDir("."))
		check(t, fsys.Close())
		create(t, sub, "g", "g")
		wantFS(t, sub, map[string]string{"f": "f", "g": "g"})
	})
}

func TestDeletedSub(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		check(t, fsys.Mkdir("d", 0o777))
		sub, err := fsys.Sub("d")
		check(t, err)
		defer sub.Close()
		check(t, fsys.Remove("d"))
		for name, op := range opsOnDeleted {
			wantIs(t, name, op(sub), fs.ErrNotExist)
		}
	})
}

func TestClosed(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		check(t, fsys.Close())
		_, err := fsys.ReadFile("f")
		wantIs(t, "ReadFile", err, fs.ErrClosed)
		wantIs(t, "Link", fsys.Link("a", "b"), fs.ErrClosed)
		wantIs(t, "Close", fsys.Close(), fs.ErrClosed)
	})
}

func TestBadNames(t *testing.T) {
	bad := []string{"", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "a//b", "a/", "./a", "a/./b", "a\x00b"}
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "own", "own")
		place(t, fsys, "owndir/f", "f")
		place(t, fsys, "a/b", "b")
		before := treeOf(t, fsys)
		for name, op := range everyOp {
			for _, n := range bad {
				if err := op(fsys, n); err == nil {
					t.Errorf("%s(%q) succeeded", name, n)
				}
			}
		}
		for _, n := range append(bad, ".") {
			if err := fsys.Remove(n); err == nil {
				t.Errorf("Remove(%q) succeeded", n)
			}
			if err := fsys.RemoveAll(n); err == nil {
				t.Errorf("RemoveAll(%q) succeeded", n)
			}
		}
		wantFS(t, fsys, before)
	})
}

func TestOddNames(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		for _, n := range []string{"#a#b%2F", "...", "..a", "a b", "ü", "back\\slash"} {
			create(t, fsys, n, n)
			b, err := fsys.ReadFile(n)
			check(t, err)
			if string(b) != n {
				t.Errorf("%q: got %q", n, b)
			}
		}
	})
}
