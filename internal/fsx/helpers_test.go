package fsx_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/internal/fsx"
)

func open(t testing.TB, dir string) fsx.FS {
	t.Helper()
	fsys, err := fsx.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, path, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o777))
	check(t, os.WriteFile(path, []byte(content), 0o644))
}

// tree returns what is below dir: files with their content, directories with a slash.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(dir)+"/")
		if d.IsDir() {
			all[name+"/"] = ""
			return nil
		}
		b, err := os.ReadFile(path)
		all[name] = string(b)
		return err
	}))
	return all
}

func wantTree(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func wantIs(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

func create(t testing.TB, fsys fsx.FS, name, content string) {
	t.Helper()
	f, err := fsys.Create(name, 0o644)
	check(t, err)
	_, err = io.WriteString(f, content)
	check(t, err)
	check(t, f.Sync())
	check(t, f.Close())
}

// place makes a file in directories that are made.
func place(t testing.TB, fsys fsx.FS, name, content string) {
	t.Helper()
	if dir := path.Dir(name); dir != "." {
		check(t, fsys.MkdirAll(dir, 0o777))
	}
	create(t, fsys, name, content)
}

// treeOf is tree by way of an FS.
func treeOf(t testing.TB, fsys fsx.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		names, err := fsys.ReadDir(dir)
		check(t, err)
		for _, base := range names {
			name := strings.TrimPrefix(dir+"/"+base, "./")
			info, err := fsys.Stat(name)
			check(t, err)
			if info.IsDir() {
				all[name+"/"] = ""
				walk(name)
				continue
			}
			b, err := fsys.ReadFile(name)
			check(t, err)
			all[name] = string(b)
		}
	}
	walk(".")
	return all
}

func wantFS(t testing.TB, fsys fsx.FS, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, treeOf(t, fsys)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}
