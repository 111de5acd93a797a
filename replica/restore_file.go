package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
)

// defaultPerm are SQLite's permissions for a new database, before the umask.
const defaultPerm fs.FileMode = 0o644

// journals are what SQLite may leave beside a database. It would apply them to
// whatever database it finds there.
var journals = []string{"-journal", "-wal", "-shm"}

// RestoreFile makes a file of the database that m describes. It writes a temporary
// file in the same directory, syncs it and gives it its name when it is complete.
// A path that is a symbolic link stands for the file that it leads to.
//
// Without Overwrite it refuses, before it fetches anything and once more at the end,
// to replace a file ([ErrExists]) or to leave the database beside a journal that
// is not its own and would be applied to it ([ErrStaleJournal]). With
// Overwrite it removes such journals, for good, before the new file gets its name.
// So a crash between the two leaves the old database without its journal, which may
// then be inconsistent; but never the new one with a foreign journal,
// which SQLite would apply silently. Nobody should have the old database open.
//
// If RestoreFile fails, or ctx is done, no temporary file is left and the path is
// as it was, but for three cases, all with Overwrite or at the very end: a journal may
// be gone if removing the next one or renaming failed, and if syncing the directory
// failed the file is in place but perhaps not durably. It may be called again.
func RestoreFile(ctx context.Context, m *manifest.Manifest, sources []Source, path string, opts *RestoreOptions) error {
	err := m.Validate()
	if err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	return MakeFile(ctx, m.Size, path, opts, func(ctx context.Context, w File, o *RestoreOptions) error {
		return Restore(ctx, m, sources, w, o)
	})
}

// A File is a file that is being made.
type File interface {
	io.WriterAt
	io.ReaderAt
}

// MakeFile is [RestoreFile] of a database of that size, whose content restore writes.
func MakeFile(ctx context.Context, size int64, path string, opts *RestoreOptions,
	restore func(context.Context, File, *RestoreOptions) error,
) error {
	if err := makeFile(ctx, size, path, opts.withDefaults(), restore); err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	return nil
}

func makeFile(ctx context.Context, size int64, path string, o RestoreOptions,
	restore func(context.Context, File, *RestoreOptions) error,
) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	dir, err := o.open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	perm, keep, err := checkOutput(dir, path, o)
	if err != nil {
		return err
	}
	tempDir, err := o.open(filepath.Dir(path))
	if err != nil {
		return err
	}
	t, err := fsx.CreateTempIn(tempDir, filepath.Base(path), perm)
	if err != nil {
		return err
	}
	defer t.Abort()
	if keep {
		if err := t.File.Chmod(perm); err != nil {
			return err
		}
	}
	if err := t.File.Truncate(size); err != nil {
		return err
	}
	o.Zeroed = true
	if err := restore(ctx, t.File, &o); err != nil {
		return err
	}
	// Sync before the journals go, so that what follows takes but a moment.
	if err := t.File.Sync(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if _, _, err := checkOutput(dir, path, o); err != nil {
		return err
	}
	if o.Overwrite {
		if err := removeJournalsIn(dir, filepath.Base(path)); err != nil {
			return err
		}
	}
	err = t.Commit(o.Overwrite)
	if !o.Overwrite && errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, path)
	}
	return err
}

// resolve follows symbolic links, as SQLite does before it looks for journals.
func resolve(path string) (string, error) {
	if base := filepath.Base(path); base == "." || base == ".." || os.IsPathSeparator(path[len(path)-1]) {
		return "", fmt.Errorf("%w: not the name of a file", fs.ErrInvalid)
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return path, nil
	}
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// checkOutput says with which permissions the file may be made, and whether it
// shall have them whatever the umask.
func checkOutput(dir fsx.FS, path string, o RestoreOptions) (perm fs.FileMode, keep bool, err error) {
	name := filepath.Base(path)
	info, err := dir.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		perm, keep = defaultPerm, false
	case err != nil:
		return 0, false, err
	case !info.Mode.IsRegular():
		return 0, false, fmt.Errorf("%w: %s is not a regular file", ErrExists, path)
	case !o.Overwrite:
		return 0, false, fmt.Errorf("%w: %s", ErrExists, path)
	default:
		perm, keep = info.Mode.Perm(), true
	}
	if o.Perm != 0 {
		perm, keep = o.Perm.Perm(), false
	}
	if o.Overwrite {
		return perm, keep, nil
	}
	for _, suffix := range journals {
		_, err := dir.Stat(name + suffix)
		if err == nil {
			return 0, false, fmt.Errorf("%w: %s would be applied to the restored database; remove it, or overwrite",
				ErrStaleJournal, path+suffix)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return 0, false, err
		}
	}
	return perm, keep, nil
}

// removeJournalsIn removes all journals of a database, durably.
func removeJournalsIn(dir fsx.FS, base string) error {
	removed := false
	for _, suffix := range journals {
		err := dir.Remove(base + suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove journal: %w", err)
		}
		removed = removed || err == nil
	}
	if !removed {
		return nil
	}
	return dir.SyncDir(".")
}
