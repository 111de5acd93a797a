//go:build linux || darwin || freebsd

package fsx_test

import (
	"io/fs"
	"os"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
)

func TestOSOfNoDirectory(t *testing.T) {
	dir := t.TempDir()
	_, err := fsx.OS(dir + "/absent")
	wantIs(t, "OS(absent)", err, fs.ErrNotExist)
	put(t, dir+"/f", "")
	if _, err := fsx.OS(dir + "/f"); err == nil {
		t.Error("OS of a file succeeded")
	}
}

// opsOnDeleted find nothing in a directory that was deleted.
var opsOnDeleted = map[string]func(fsx.FS) error{
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
	"Chgrp":     func(f fsx.FS) error { return f.Chgrp("a", 0) },
	"TryLock":   func(f fsx.FS) error { _, err := f.TryLock("a"); return err },
	"Sub":       func(f fsx.FS) error { _, err := f.Sub("a"); return err },
	"Publish":   func(f fsx.FS) error { return fsx.Publish(f, "a", "b", nil, 0o444, false) },
}

func TestDeletedRoot(t *testing.T) {
	onOS(t, func(t *testing.T, fsys fsx.FS, dir string) {
		check(t, os.Remove(dir))
		for name, op := range opsOnDeleted {
			wantIs(t, name, op(fsys), fs.ErrNotExist)
		}
		check(t, os.Mkdir(dir, 0o777)) // for the cleanup of the test
	})
}
