package boule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CanonicalPath is the path under which a database is tracked: absolute, with
// symbolic links resolved as far as it exists.
func CanonicalPath(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if full, err := filepath.EvalSymlinks(abs); err == nil {
		return full
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		return filepath.Join(dir, filepath.Base(abs))
	}
	return abs
}

// exists says why there is no database at path.
func exists(path string) error {
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("boule: %s: no such database: %w", path, fs.ErrNotExist)
	case err != nil:
		return fmt.Errorf("boule: %w", err)
	case fi.IsDir():
		return fmt.Errorf("boule: %s is a directory, not a database", path)
	}
	return nil
}

// isEmpty says that the file has no content, and so no state to replicate.
func isEmpty(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Size() == 0
}
