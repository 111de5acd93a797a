package replica_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
)

func write(t testing.TB, path, text string, perm fs.FileMode) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), perm))
	check(t, os.Chmod(path, perm))
}

func TestRestoreFile(t *testing.T) {
	for _, size := range []int{0, 1, 65536, 65537, 1000000} {
		db := mixed(size, 1)
		b := newBucket()
		dir := t.TempDir()
		path := filepath.Join(dir, "out.db")
		check(t, replica.RestoreFile(t.Context(), b.upload(t, db), b.sources(), path, nil))
		wantFiles(t, fmt.Sprint(size, " bytes"), dir, map[string]string{"out.db": string(db)})
		info, err := os.Stat(path)
		check(t, err)
		if info.Mode().Perm()&^0o644 != 0 || info.Mode().Perm()&0o600 != 0o600 {
			t.Errorf("mode: got %v", info.Mode())
		}
	}
}

func TestRestoreFileEndsInZeros(t *testing.T) {
	for _, tail := range []int{manifest.ChunkSize, 3 * manifest.ChunkSize, 2*manifest.ChunkSize + 100} {
		db := slices.Concat(content(manifest.ChunkSize, 1), make([]byte, tail))
		b := newBucket()
		dir := t.TempDir()
		check(t, replica.RestoreFile(t.Context(), b.upload(t, db), b.sources(), filepath.Join(dir, "out.db"), nil))
		wantFiles(t, fmt.Sprint(tail), dir, map[string]string{"out.db": string(db)})
	}
}

func TestRestoreFileIntoTheWorkingDirectory(t *testing.T) {
	db := content(1000, 1)
	b := newBucket()
	dir := t.TempDir()
	t.Chdir(dir)
	check(t, replica.RestoreFile(t.Context(), b.upload(t, db), b.sources(), "out.db", nil))
	wantFiles(t, "relative", dir, map[string]string{"out.db": string(db)})
}

func TestRestoreFileRefusesToOverwrite(t *testing.T) {
	b := newBucket()
	m := b.upload(t, content(200000, 1))
	b.faulty.SetPlan(nil)
	for _, c := range []struct {
		file string
		want error
	}{
		{"out.db", replica.ErrExists},
		{"out.db-journal", replica.ErrStaleJournal},
		{"out.db-wal", replica.ErrStaleJournal},
		{"out.db-shm", replica.ErrStaleJournal},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, c.file), "precious", 0o644)
		err := replica.RestoreFile(t.Context(), m, b.sources(), filepath.Join(dir, "out.db"), nil)
		wantIs(t, c.file, err, c.want)
		if !strings.Contains(err.Error(), filepath.Join(dir, c.file)) {
			t.Errorf("%q does not name %s", err, c.file)
		}
		wantFiles(t, c.file, dir, map[string]string{c.file: "precious"})
	}
	if n := len(b.faulty.Calls()); n != 0 {
		t.Errorf("%d chunks were fetched in vain", n)
	}
}

// Whatever appears at the output while chunks are fetched is not overwritten.
func TestRestoreFileRefusesWhatAppears(t *testing.T) {
	b := newBucket()
	m := b.upload(t, content(200000, 1))
	for _, c := range []struct {
		file string
		want error
	}{
		{"out.db", replica.ErrExists},
		{"out.db-wal", replica.ErrStaleJournal},
	} {
		dir := t.TempDir()
		err := replica.RestoreFile(t.Context(), m, b.sources(), filepath.Join(dir, "out.db"), &replica.RestoreOptions{
			Progress: func(done, total int64) {
				if done == total {
					write(t, filepath.Join(dir, c.file), "precious", 0o644)
				}
			},
		})
		wantIs(t, c.file, err, c.want)
		wantFiles(t, c.file, dir, map[string]string{c.file: "precious"})
	}
}

func TestRestoreFileOverwrites(t *testing.T) {
	db := content(200000, 1)
	b := newBucket()
	m := b.upload(t, db)
	dir := t.TempDir()
	path := filepath.Join(dir, "out.db")
	overwrite := &replica.RestoreOptions{Overwrite: true}
	for _, suffix := range []string{"", "-journal", "-wal", "-shm", "-other"} {
		write(t, path+suffix, "old", 0o600)
	}
	check(t, replica.RestoreFile(t.Context(), m, b.sources(), path, overwrite))
	want := map[string]string{"out.db": string(db), "out.db-other": "old"}
	wantFiles(t, "overwritten", dir, want)
	mode := func() fs.FileMode {
		info, err := os.Stat(path)
		check(t, err)
		return info.Mode().Perm()
	}
	if got := mode(); got != 0o600 {
		t.Errorf("mode: got %v, want that of the old file", got)
	}
	check(t, os.Chmod(path, 0o666)) // more than an umask allows
	check(t, replica.RestoreFile(t.Context(), m, b.sources(), path, overwrite))
	if got := mode(); got != 0o666 {
		t.Errorf("mode: got %v, want that of the old file", got)
	}
	check(t, replica.RestoreFile(t.Context(), m, b.sources(), path, &replica.RestoreOptions{Overwrite: true, Perm: 0o400}))
	if got := mode(); got != 0o400 {
		t.Errorf("mode: got %v, want that of the options", got)
	}
	wantFiles(t, "overwritten again", dir, want)
	check(t, os.Remove(path))
	check(t, replica.RestoreFile(t.Context(), m, b.sources(), path, overwrite))
	wantFiles(t, "nothing to overwrite", dir, want)
}

func TestRestoreFileFailing(t *testing.T) {
	db := content(10*manifest.ChunkSize, 2)
	for _, old := range []bool{false, true} {
		b := newBucket()
		m := b.upload(t, db)
		dir := t.TempDir()
		path := filepath.Join(dir, "out.db")
		before := map[string]string{}
		if old {
			before["out.db"], before["out.db-wal"] = "old", "old"
			write(t, path, "old", 0o644)
			write(t, path+"-wal", "old", 0o644)
		}
		for n := range 9 {
			b.faulty.SetPlan(storefault.Nth(n, storefault.Fault{Fail: true}))
			err := replica.RestoreFile(t.Context(), m, b.sources(), path, &replica.RestoreOptions{Overwrite: true, Jobs: 2})
			wantIs(t, "failing request", err, storefault.ErrInjected)
			wantFiles(t, "failing request", dir, before)
		}
		b.faulty.SetPlan(nil)
		for _, at := range []int64{1, m.Size / 2, m.Size} {
			ctx, cancel := context.WithCancel(t.Context())
			err := replica.RestoreFile(ctx, m, b.sources(), path, &replica.RestoreOptions{Overwrite: true, Jobs: 2, Progress: func(done, _ int64) {
				if done >= at {
					cancel()
				}
			}})
			wantIs(t, "cancelled", err, context.Canceled)
			wantFiles(t, "cancelled", dir, before)
			cancel()
		}
		m.Header.Hi++
		err := replica.RestoreFile(t.Context(), m, b.sources(), path, &replica.RestoreOptions{Overwrite: true})
		wantIs(t, "invalid manifest", err, manifest.ErrCorrupt)
		wantFiles(t, "invalid manifest", dir, before)
	}
}

func TestRestoreFileToNoFile(t *testing.T) {
	b := newBucket()
	m := b.upload(t, content(100, 1))
	dir := t.TempDir()
	for name, path := range map[string]string{
		"directory":        dir,
		"with a slash":     dir + "/new/",
		"empty":            "",
		"dot":              ".",
		"dots":             dir + "/..",
		"absent directory": dir + "/absent/out.db",
	} {
		for _, overwrite := range []bool{false, true} {
			if err := replica.RestoreFile(t.Context(), m, b.sources(), path, &replica.RestoreOptions{Overwrite: overwrite}); err == nil {
				t.Errorf("%s: %q was restored", name, path)
			}
		}
	}
	wantFiles(t, "refused", dir, nil)
}

func TestRestoreFileFollowsLinks(t *testing.T) {
	db := content(1000, 1)
	b := newBucket()
	m := b.upload(t, db)
	dir, real := t.TempDir(), t.TempDir()
	write(t, filepath.Join(real, "real.db"), "old", 0o644)
	write(t, filepath.Join(real, "real.db-wal"), "old", 0o644)
	check(t, os.Symlink(filepath.Join(real, "real.db"), filepath.Join(dir, "link.db")))
	wantIs(t, "existing", replica.RestoreFile(t.Context(), m, b.sources(), filepath.Join(dir, "link.db"), nil), replica.ErrExists)
	check(t, replica.RestoreFile(t.Context(), m, b.sources(), filepath.Join(dir, "link.db"), &replica.RestoreOptions{Overwrite: true}))
	wantFiles(t, "behind the link", real, map[string]string{"real.db": string(db)})
	info, err := os.Lstat(filepath.Join(dir, "link.db"))
	check(t, err)
	if info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link became %v", info.Mode())
	}
	check(t, os.Symlink("nowhere", filepath.Join(dir, "dangling.db")))
	err = replica.RestoreFile(t.Context(), m, b.sources(), filepath.Join(dir, "dangling.db"), &replica.RestoreOptions{Overwrite: true})
	wantIs(t, "dangling", err, fs.ErrNotExist)
}

func TestRemoveJournals(t *testing.T) {
	errInjected := errors.New("injected")
	for n := 0; ; n++ {
		dir := t.TempDir()
		for _, name := range []string{"db", "db-journal", "db-wal", "db-shm", "db2-wal"} {
			write(t, filepath.Join(dir, name), name, 0o644)
		}
		real, err := fsx.OS(dir)
		check(t, err)
		var calls []string
		err = replica.RemoveJournalsIn(fsx.Faulty(real, func(op fsx.Op, name string) error {
			calls = append(calls, fmt.Sprint(op, " ", name))
			if len(calls)-1 == n {
				return errInjected
			}
			return nil
		}), "db")
		check(t, real.Close())
		if n >= len(calls) {
			check(t, err)
			wantFiles(t, "removed", dir, map[string]string{"db": "db", "db2-wal": "db2-wal"})
			// The last thing is to make it durable: only then may the database be renamed.
			if calls[len(calls)-1] != "syncdir ." || n != 4 {
				t.Errorf("got %v", calls)
			}
			break
		}
		wantIs(t, calls[n], err, errInjected)
	}
	// Where there is none, there is nothing to sync.
	dir := t.TempDir()
	real, err := fsx.OS(dir)
	check(t, err)
	defer real.Close()
	check(t, replica.RemoveJournalsIn(fsx.Faulty(real, func(op fsx.Op, _ string) error {
		if op == fsx.OpSyncDir {
			return errInjected
		}
		return nil
	}), "db"))
}
