//go:build linux || darwin || freebsd

package fsx_test

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
)

func TestMkdir(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		check(t, fsys.MkdirAll("a/b/c", 0o755))
		check(t, fsys.MkdirAll("a/b/c", 0o755))
		check(t, fsys.MkdirAll("a/b/d", 0o755))
		check(t, fsys.MkdirAll(".", 0o755))
		wantIs(t, "Mkdir(existing)", fsys.Mkdir("a", 0o755), fs.ErrExist)
		wantIs(t, "Mkdir(absent/x)", fsys.Mkdir("absent/x", 0o755), fs.ErrNotExist)
		place(t, fsys, "f", "x")
		if err := fsys.MkdirAll("f", 0o755); err == nil {
			t.Error("MkdirAll over a file succeeded")
		}
		if err := fsys.MkdirAll("f/g", 0o755); err == nil {
			t.Error("MkdirAll below a file succeeded")
		}
		wantFS(t, fsys, map[string]string{"a/": "", "a/b/": "", "a/b/c/": "", "a/b/d/": "", "f": "x"})
	})
}

func TestLink(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "d/a", "a")
		place(t, fsys, "e/b", "b")
		check(t, fsys.Link("d/a", "e/a"))
		check(t, fsys.Link("d/a", "d/a2"))
		check(t, fsys.Link("d/a", "top"))
		err := fsys.Link("d/a", "e/b")
		wantIs(t, "Link(existing)", err, fs.ErrExist)
		var linkErr *os.LinkError
		if !errors.As(err, &linkErr) || !strings.HasSuffix(linkErr.New, "e/b") {
			t.Errorf("got %#v, want a LinkError with the paths", err)
		}
		wantIs(t, "Link(absent)", fsys.Link("d/absent", "e/c"), fs.ErrNotExist)
		wantIs(t, "Link(to absent directory)", fsys.Link("d/a", "absent/c"), fs.ErrNotExist)
		wantFS(t, fsys, map[string]string{"d/": "", "d/a": "a", "d/a2": "a", "e/": "", "e/a": "a", "e/b": "b", "top": "a"})
	})
}

func TestRename(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "d/a", "a")
		place(t, fsys, "e/b", "b")
		check(t, fsys.Rename("d/a", "e/b"))
		wantFS(t, fsys, map[string]string{"d/": "", "e/": "", "e/b": "a"})
		wantIs(t, "Rename(absent)", fsys.Rename("d/a", "e/b"), fs.ErrNotExist)
		if err := fsys.Rename("e/b", "d"); err == nil {
			t.Error("Rename of a file onto a directory succeeded")
		}
		wantFS(t, fsys, map[string]string{"d/": "", "e/": "", "e/b": "a"})
	})
}

func TestRenameNew(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "a", "a")
		place(t, fsys, "b", "b")
		if err := fsys.RenameNew("a", "b"); !errors.Is(err, fs.ErrExist) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("RenameNew(existing): got %v", err)
		}
		wantFS(t, fsys, map[string]string{"a": "a", "b": "b"})
		err := fsys.RenameNew("a", "c")
		if errors.Is(err, errors.ErrUnsupported) {
			wantFS(t, fsys, map[string]string{"a": "a", "b": "b"})
			return
		}
		check(t, err)
		wantFS(t, fsys, map[string]string{"c": "a", "b": "b"})
	})
}

func TestRenameDir(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "tmp/u/chunks/a", "a")
		check(t, fsys.RenameDir("tmp", "ready")) // onto nothing
		check(t, fsys.Mkdir("consuming", 0o777))
		check(t, fsys.RenameDir("ready", "consuming")) // onto an empty one
		want := map[string]string{"consuming/": "", "consuming/u/": "", "consuming/u/chunks/": "", "consuming/u/chunks/a": "a"}
		wantFS(t, fsys, want)

		place(t, fsys, "ready/v/b", "b")
		wantIs(t, "RenameDir(not empty)", fsys.RenameDir("ready", "consuming"), fs.ErrExist)
		wantIs(t, "RenameDir(absent)", fsys.RenameDir("absent", "consuming"), fs.ErrNotExist)
		place(t, fsys, "f", "f")
		place(t, fsys, "g", "g")
		if err := fsys.RenameDir("f", "g"); err == nil {
			t.Error("RenameDir of a file succeeded")
		}
		if err := fsys.RenameDir("ready", "f"); err == nil {
			t.Error("RenameDir onto a file succeeded")
		}
		want["ready/"], want["ready/v/"], want["ready/v/b"], want["f"], want["g"] = "", "", "b", "f", "g"
		wantFS(t, fsys, want)
	})
}

func TestRemove(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		place(t, fsys, "d/a", "a")
		place(t, fsys, "e/f/g/h", "h")
		wantIs(t, "Remove(not empty)", fsys.Remove("d"), fs.ErrExist)
		wantIs(t, "Remove(absent)", fsys.Remove("d/b"), fs.ErrNotExist)
		check(t, fsys.RemoveAll("e"))
		check(t, fsys.RemoveAll("e"))
		check(t, fsys.RemoveAll("absent/e"))
		wantFS(t, fsys, map[string]string{"d/": "", "d/a": "a"})
		check(t, fsys.Remove("d/a"))
		check(t, fsys.Remove("d"))
		wantFS(t, fsys, map[string]string{})
	})
}

func TestRemoveAllOfALargeDirectory(t *testing.T) {
	onAll(t, func(t *testing.T, fsys fsx.FS) {
		check(t, fsys.MkdirAll("d/sub", 0o777))
		for i := range 300 {
			f, err := fsys.Create("d/sub/f"+strings.Repeat("x", i%100)+strconv.Itoa(i), 0o644)
			check(t, err)
			check(t, f.Close())
		}
		check(t, fsys.RemoveAll("d"))
		_, err := fsys.Stat("d")
		wantIs(t, "Stat after RemoveAll", err, fs.ErrNotExist)
	})
}
