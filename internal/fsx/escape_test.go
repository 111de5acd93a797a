//go:build linux || darwin || freebsd

package fsx_test

import (
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
)

// everyOp lists the operations on a name, each as something that would touch
// what the name leads to.
var everyOp = map[string]func(f fsx.FS, name string) error{
	"ReadFile":      func(f fsx.FS, n string) error { _, err := f.ReadFile(n); return err },
	"Open":          func(f fsx.FS, n string) error { _, err := f.Open(n); return err },
	"Create":        func(f fsx.FS, n string) error { _, err := f.Create(n, 0o644); return err },
	"ReadDir":       func(f fsx.FS, n string) error { _, err := f.ReadDir(n); return err },
	"ReadDirBatch":  func(f fsx.FS, n string) error { _, err := f.ReadDirBatch(n, 1); return err },
	"Mkdir":         func(f fsx.FS, n string) error { return f.Mkdir(n, 0o755) },
	"MkdirAll":      func(f fsx.FS, n string) error { return f.MkdirAll(n, 0o755) },
	"LinkFrom":      func(f fsx.FS, n string) error { return f.Link(n, "linked") },
	"LinkTo":        func(f fsx.FS, n string) error { return f.Link("own", n) },
	"RenameFrom":    func(f fsx.FS, n string) error { return f.Rename(n, "renamed") },
	"RenameTo":      func(f fsx.FS, n string) error { return f.Rename("own", n) },
	"RenameNewFrom": func(f fsx.FS, n string) error { return f.RenameNew(n, "renamed") },
	"RenameNewTo":   func(f fsx.FS, n string) error { return f.RenameNew("own", n) },
	"RenameDirFrom": func(f fsx.FS, n string) error { return f.RenameDir(n, "renamed") },
	"RenameDirTo":   func(f fsx.FS, n string) error { return f.RenameDir("owndir", n) },
	"Chmod":         func(f fsx.FS, n string) error { return f.Chmod(n, 0o777) },
	"Chgrp":         func(f fsx.FS, n string) error { return f.Chgrp(n, 0) },
	"TryLock":       func(f fsx.FS, n string) error { _, err := f.TryLock(n); return err },
	"Sub":           func(f fsx.FS, n string) error { _, err := f.Sub(n); return err },
	"SyncDir":       func(f fsx.FS, n string) error { return f.SyncDir(n) },
}

// plant makes an outside to protect and an inside that links to it.
func plant(t *testing.T, dir string) (outside string) {
	t.Helper()
	outside = t.TempDir()
	put(t, outside+"/secret", "secret")
	put(t, outside+"/sub/f", "f")
	put(t, dir+"/own", "own")
	put(t, dir+"/owndir/f", "f")
	put(t, dir+"/real/f", "f")
	check(t, os.Symlink(outside, dir+"/abs"))
	check(t, os.Symlink(outside, dir+"/real/abs"))
	check(t, os.Symlink("../..", dir+"/real/up"))
	check(t, os.Symlink(outside+"/secret", dir+"/file"))
	check(t, os.Symlink("/proc/self/root", dir+"/magic"))
	return outside
}

func TestSymlinksLeadNowhere(t *testing.T) {
	through := []string{"abs/secret", "abs/new", "abs/sub", "real/abs/secret", "real/abs/sub/f", "real/up/new", "magic/new"}
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		outside := plant(t, dir)
		before, inside := tree(t, outside), tree(t, dir+"/owndir")
		for name, op := range everyOp {
			for _, target := range through {
				if err := op(fsys, target); err == nil {
					t.Errorf("%s(%s) succeeded", name, target)
				}
			}
		}
		for _, target := range through {
			if _, err := fsys.Stat(target); err == nil {
				t.Errorf("Stat(%s) succeeded", target)
			}
			if err := fsys.Remove(target); err == nil {
				t.Errorf("Remove(%s) succeeded", target)
			}
			if err := fsys.RemoveAll(target); err == nil {
				t.Errorf("RemoveAll(%s) succeeded", target)
			}
		}
		wantTree(t, outside, before)
		wantTree(t, dir+"/owndir", inside)
	})
}

func TestSymlinkAsLastElement(t *testing.T) {
	follows := []string{
		"ReadFile", "Open", "Create", "ReadDir", "ReadDirBatch", "Mkdir", "MkdirAll", "LinkTo", "RenameNewTo",
		"RenameDirFrom", "RenameDirTo", "Chmod", "Chgrp", "TryLock", "Sub", "SyncDir",
	}
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		outside := plant(t, dir)
		before := tree(t, outside)
		for _, name := range follows {
			for _, target := range []string{"abs", "file", "real/abs"} {
				if err := everyOp[name](fsys, target); err == nil {
					t.Errorf("%s(%s) succeeded", name, target)
				}
			}
		}
		// These act on the link itself.
		check(t, fsys.Link("file", "file2"))
		check(t, fsys.Rename("file2", "file3"))
		check(t, fsys.Rename("own", "file3"))
		check(t, fsys.RemoveAll("file"))
		check(t, fsys.RemoveAll("abs"))
		check(t, fsys.RemoveAll("real"))
		wantTree(t, outside, before)
	})
}

func TestSymlinkIsNotFollowed(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		put(t, dir+"/d/f", "f")
		check(t, os.Symlink("f", dir+"/d/l"))
		check(t, os.Symlink("d", dir+"/l"))
		l, err := fsys.Stat("d/l")
		check(t, err)
		if l.Mode&fs.ModeSymlink == 0 {
			t.Errorf("got %+v", l)
		}
		check(t, fsys.Remove("l"))
		check(t, fsys.Remove("d/l"))
		wantTree(t, dir, map[string]string{"d/": "", "d/f": "f"})
	})
}

func TestPipesDoNotBlock(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		check(t, syscall.Mkfifo(dir+"/pipe", 0o666))
		for _, name := range []string{"ReadFile", "Open", "TryLock"} {
			wantIs(t, name, everyOp[name](fsys, "pipe"), fsx.ErrIrregular)
		}
	})
}
