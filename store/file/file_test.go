package file_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/file"
)

func open(t testing.TB, dir string, opts *file.Options) *file.Store {
	t.Helper()
	s, err := file.New(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s store.Store, key, body string) store.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, []byte(body), store.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func wantBody(t testing.TB, s store.Store, key, want string) {
	t.Helper()
	body, _, err := store.ReadAll(t.Context(), s, key, 1<<20)
	if err != nil || string(body) != want {
		t.Errorf("%q is %q (%v), want %q", key, body, err, want)
	}
}

func keys(t testing.TB, s store.Store, prefix string) []string {
	t.Helper()
	var out []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, info.Key)
	}
	return out
}

// tree returns the files below a directory, without lock files.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			if !strings.HasPrefix(rel, "~lock") {
				out = append(out, filepath.ToSlash(rel))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestLayoutOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	chunk := "chunks/0123456789abcdef%2Ffedcba9876543210"
	for _, key := range []string{chunk, "a", "a/b", "c/d", "c", "e//f"} {
		put(t, s, key, "body of "+key)
	}
	want := []string{"a/b", "a~o", chunk, "c/d", "c~o", "e/~_/f"}
	slices.Sort(want)
	if d := cmp.Diff(want, tree(t, dir)); d != "" {
		t.Errorf("files (- want, + got):\n%s", d)
	}
	body, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(chunk)))
	if err != nil || string(body) != "body of "+chunk {
		t.Errorf("the file has %q (%v), want just the body", body, err)
	}
}

func TestFilesOfOtherToolsAreObjects(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string]string{
		"chunks/aa%2Fbb": "x", "dir/a~b": "no name of ours", "~tmp-backup": "neither", "top": "y",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(body), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, nil)
	if d := cmp.Diff([]string{"chunks/aa%2Fbb", "top"}, keys(t, s, "")); d != "" {
		t.Errorf("keys (- want, + got):\n%s", d)
	}
	wantBody(t, s, "chunks/aa%2Fbb", "x")
	if err := s.Delete(t.Context(), "top"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "chunks/cc", "z")
	if d := cmp.Diff([]string{"chunks/aa%2Fbb", "chunks/cc"}, keys(t, s, "")); d != "" {
		t.Errorf("keys (- want, + got):\n%s", d)
	}
}

func TestReadsCreateNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there")
	s := open(t, dir, nil)
	ctx := t.Context()
	if _, err := s.Get(ctx, "key", nil); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("get: got error %v, want %v", err, store.ErrNotExist)
	}
	if _, err := s.Head(ctx, "key"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("head: got error %v, want %v", err, store.ErrNotExist)
	}
	if _, err := s.Touch(ctx, "key"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("touch: got error %v, want %v", err, store.ErrNotExist)
	}
	if err := s.Delete(ctx, "key"); err != nil {
		t.Errorf("delete: %v", err)
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("list yields %v", got)
	}
	if _, err := os.Lstat(filepath.Dir(dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the parent directory: got error %v, want %v", err, fs.ErrNotExist)
	}
	put(t, s, "key", "x")
	wantBody(t, s, "key", "x")
	// An empty directory stays empty, too.
	dir = t.TempDir()
	s = open(t, dir, nil)
	if err := s.Delete(ctx, "key"); err != nil || len(keys(t, s, "")) != 0 {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("reads have left %v (%v)", entries, err)
	}
}

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("windows has other permissions; only that it works is tested there")
	}
	mode := func(path string) fs.FileMode {
		t.Helper()
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	check := func(dir string, wantDir, wantFile fs.FileMode) {
		t.Helper()
		put(t, open(t, dir, nil), "sub/key", "x")
		if runtime.GOOS == "windows" {
			return
		}
		for _, d := range []string{"", "sub", "~tmp", "~lock"} {
			if got := mode(filepath.Join(dir, d)); got != wantDir {
				t.Errorf("%q has mode %v, want %v", d, got, wantDir)
			}
		}
		if got := mode(filepath.Join(dir, "sub", "key")); got != wantFile {
			t.Errorf("the object has mode %v, want %v", got, wantFile)
		}
	}
	check(filepath.Join(t.TempDir(), "own"), 0o700, 0o600)
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o775); err != nil { //nolint:gosec // a directory for a group
		t.Fatal(err)
	}
	check(shared, 0o775, 0o664) // whatever the umask is
}

func TestStrayTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	put(t, open(t, dir, nil), "key", "x")
	stray := func(name string, age time.Duration) string {
		path := filepath.Join(dir, "~tmp", name)
		when := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, []byte("half an obj"), 0o600), os.Chtimes(path, when, when)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old, fresh := stray("1-old", 2*time.Hour), stray("2-fresh", time.Minute)
	s := open(t, dir, nil)
	if d := cmp.Diff([]string{"key"}, keys(t, s, "")); d != "" {
		t.Errorf("keys (- want, + got):\n%s", d)
	}
	put(t, s, "other", "x")
	if _, err := os.Lstat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one: got error %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := os.Lstat(fresh); err != nil {
		t.Errorf("the fresh one may be somebody's: %v", err)
	}
	stray("1-old", 2*time.Hour)
	put(t, s, "third", "x") // too soon to look again
	if _, err := os.Lstat(old); err != nil {
		t.Errorf("looks at every put: %v", err)
	}
}

func TestFailedPutLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	put(t, s, "key", "x")
	if _, err := s.Put(t.Context(), "key", []byte("y"), store.Condition{IfAbsent: true}); !errors.Is(err, store.ErrPrecondition) {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "none", []byte("y"), store.Condition{IfMatch: "stale"}); !errors.Is(err, store.ErrPrecondition) {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"key"}, tree(t, dir)); d != "" {
		t.Errorf("files (- want, + got):\n%s", d)
	}
}

func TestTheDirectoryIsReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir, nil)
	put(t, s, "a/b", "x")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("list yields %v of a directory that is gone", got)
	}
	put(t, s, "a/b", "y")
	wantBody(t, s, "a/b", "y")
	for _, name := range []string{"a", "~tmp", "~lock"} { // emptied
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "a/b", "z")
	wantBody(t, s, "a/b", "z")
}

func TestTheDirectoryIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, nil)
	if _, err := s.Put(t.Context(), "key", nil, store.Condition{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got error %v, want one that names %s", err, path)
	}
}

func TestNew(t *testing.T) {
	for _, dir := range []string{"", "relative", "./x"} {
		if _, err := file.New(dir, nil); err == nil || !strings.Contains(err.Error(), "write an absolute path") {
			t.Errorf("%q: got error %v, want one that says what to write", dir, err)
		}
	}
	if runtime.GOOS != "windows" {
		if got, want := open(t, "/var/my store/%", nil).String(), "file:///var/my%20store/%25"; got != want {
			t.Errorf("it is called %s, want %s", got, want)
		}
	}
}

func TestFoldingLayoutIsFoundAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	put(t, open(t, dir, &file.Options{FoldCase: true}), "Key", "x")
	s := open(t, dir, nil) // without being told
	wantBody(t, s, "Key", "x")
	put(t, s, "key", "y")
	if d := cmp.Diff([]string{"Key", "key"}, keys(t, s, "")); d != "" {
		t.Errorf("keys (- want, + got):\n%s", d)
	}
	if d := cmp.Diff([]string{"key", "~4bey", "~fold"}, tree(t, dir)); d != "" {
		t.Errorf("files (- want, + got):\n%s", d)
	}
	// An existing store keeps its layout, whatever the option says.
	dir = filepath.Join(t.TempDir(), "store")
	put(t, open(t, dir, nil), "Key", "x")
	wantBody(t, open(t, dir, &file.Options{FoldCase: true}), "Key", "x")
}

func TestListInSmallBatches(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, &file.Options{NoSync: true})
	var want []string
	long := strings.Repeat("l", 300)
	for i := range 40 {
		want = append(want, fmt.Sprintf("k%d", i), fmt.Sprintf("d%d/x", i), fmt.Sprintf("d%d/y", i), fmt.Sprintf("%s%d", long, i), fmt.Sprintf("k%d/z", i))
	}
	for _, key := range want {
		put(t, s, key, "x")
	}
	slices.Sort(want)
	for _, batch := range []int{1, 2, 7, 1000} {
		s.SetListBatch(batch)
		if d := cmp.Diff(want, keys(t, s, "")); d != "" {
			t.Errorf("in batches of %d (- want, + got):\n%s", batch, d)
		}
	}
}

func TestETagsNeverReturn(t *testing.T) {
	s := open(t, t.TempDir(), &file.Options{NoSync: true})
	seen := make(map[string]int)
	for i := range 500 {
		info := put(t, s, "key", fmt.Sprint(i%10)) // always of one size, and inodes are used again
		if j, ok := seen[info.ETag]; ok {
			t.Fatalf("puts %d and %d have the ETag %s", j, i, info.ETag)
		}
		seen[info.ETag] = i
	}
}

// TestMovingAsideIsInvisible puts objects below objects while others read those.
func TestMovingAsideIsInvisible(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, &file.Options{NoSync: true}), open(t, dir, &file.Options{NoSync: true})
	for i := range 100 {
		key := fmt.Sprintf("key%d", i)
		put(t, a, key, key)
		var wg sync.WaitGroup
		done := make(chan struct{})
		for _, look := range []func() error{
			func() error { _, _, err := store.ReadAll(t.Context(), a, key, 100); return err },
			func() error { _, err := b.Head(t.Context(), key); return err },
		} {
			wg.Go(func() {
				for {
					if err := look(); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		put(t, b, key+"/below", "x")
		put(t, b, key, key)
		close(done)
		wg.Wait()
		wantBody(t, a, key, key)
	}
}

func TestLockHonoursTheContext(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	put(t, s, "key", "x")
	// Somebody has all locks and does not give them back.
	for i := range 64 {
		release, err := file.HoldLock(dir, i)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := s.Put(ctx, "key", []byte("y"), store.Condition{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
	wantBody(t, s, "key", "x")
	if d := cmp.Diff([]string{"key"}, tree(t, dir)); d != "" {
		t.Errorf("files (- want, + got):\n%s", d)
	}
}
