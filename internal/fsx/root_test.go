//go:build linux || darwin || freebsd

package fsx_test

import (
	"io/fs"
	"os"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
)

func TestSub(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/a/b/f", "f")
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
	})
}

func TestClosed(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		check(t, fsys.Close())
		_, err := fsys.ReadFile("f")
		wantIs(t, "ReadFile", err, fs.ErrClosed)
		wantIs(t, "Link", fsys.Link("a", "b"), fs.ErrClosed)
		wantIs(t, "Close", fsys.Close(), fs.ErrClosed)
	})
}

func TestOSOfNoDirectory(t *testing.T) {
	dir := t.TempDir()
	_, err := fsx.OS(dir + "/absent")
	wantIs(t, "OS(absent)", err, fs.ErrNotExist)
	put(t, dir+"/f", "")
	if _, err := fsx.OS(dir + "/f"); err == nil {
		t.Error("OS of a file succeeded")
	}
}

func TestDeletedRoot(t *testing.T) {
	ops := map[string]func(fsx.FS) error{
		"ReadFile":  func(f fsx.FS) error { _, err := f.ReadFile("a"); return err },
		"Open":      func(f fsx.FS) error { _, err := f.Open("a"); return err },
		"Create":    func(f fsx.FS) error { _, err := f.Create("a", 0o644); return err },
		"Stat":      func(f fsx.FS) error { _, err := f.Stat("a"); return err },
		"StatRoot":  func(f fsx.FS) error { _, err := f.Stat("."); return err },
		"ReadDir":   func(f fsx.FS) error { _, err := f.ReadDir("."); return err },
		"Mkdir":     func(f fsx.FS) error { return f.Mkdir("a", 0o755) },
		"MkdirAll":  func(f fsx.FS) error { return f.MkdirAll("a/b", 0o755) },
		"Link":      func(f fsx.FS) error { return f.Link("a", "b") },
		"Rename":    func(f fsx.FS) error { return f.Rename("a", "b") },
		"RenameDir": func(f fsx.FS) error { return f.RenameDir("a", "b") },
		"Remove":    func(f fsx.FS) error { return f.Remove("a") },
		"Chmod":     func(f fsx.FS) error { return f.Chmod("a", 0o755) },
		"TryLock":   func(f fsx.FS) error { _, err := f.TryLock("a"); return err },
		"Sub":       func(f fsx.FS) error { _, err := f.Sub("a"); return err },
		"Publish":   func(f fsx.FS) error { return fsx.Publish(f, "a", "b", nil, false) },
	}
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		check(t, os.Remove(dir))
		for name, op := range ops {
			wantIs(t, name, op(fsys), fs.ErrNotExist)
		}
		check(t, os.Mkdir(dir, 0o777)) // for the cleanup of the test
	})
}
