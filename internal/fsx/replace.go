package fsx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
)

// TempSuffix ends the names of the temporary files that [Replace] and
// [CreateTemp] make. A killed process leaves them; nobody needs them.
const TempSuffix = ".boule-tmp"

// Replace makes a file of what write writes, durably: through a temporary file
// beside path, synced and renamed over it. A new file has the permissions
// perm &^ umask.
//
// After an error path has its old content and the temporary file is gone. There
// is one exception: if the very last step failed, syncing the directory, path has
// its new content, which may or may not survive a power failure. In either
// case Replace may be called again.
func Replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	fsys, err := OS(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	defer fsys.Close()
	return replace(fsys, filepath.Base(path), perm, write)
}

func replace(fsys FS, name string, perm fs.FileMode, write func(io.Writer) error) error {
	var f WFile
	temp, err := createNew(name, func(temp string) (err error) {
		f, err = fsys.Create(temp, perm)
		return err
	})
	if err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	// Also if write panics, nothing is left.
	closed, renamed := false, false
	defer func() {
		if !closed {
			f.Close()
		}
		if !renamed {
			_ = cleanup(fsys, temp)
		}
	}()
	if err := write(f); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	closed = true
	if err := f.Close(); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	if err := fsys.Rename(temp, name); err != nil {
		return fmt.Errorf("replace: %w", err)
	}
	renamed = true
	if err := fsys.SyncDir("."); err != nil {
		return fmt.Errorf("replace: written, but perhaps not durable: %w", err)
	}
	return nil
}

// createNew calls create with names for a temporary file beside name until one is new.
func createNew(name string, create func(temp string) error) (temp string, err error) {
	const attempts = 10
	base := name
	if len(base) > 200 {
		base = base[:200] // with what we add, within the 255 bytes that systems allow
	}
	base = strings.ToValidUTF8(base, "_")
	for range attempts {
		temp = fmt.Sprintf(".%s.%016x%s", base, rand.Uint64(), TempSuffix)
		err = create(temp)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return temp, err
}
