package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// A TempFile is a file on its way to a path, written in any order and by any
// number of goroutines. Every TempFile ends with Abort, which after a successful
// Commit does nothing:
//
//	t, err := fsx.CreateTemp(path)
//	...
//	defer t.Abort()
//	... // write to t.File
//	return t.Commit(false)
type TempFile struct {
	// File is open for reading and writing until Commit or Abort.
	File WFile

	dir    FS     // nil when all is done
	name   string // what the file will be called
	temp   string // what it is called
	synced bool
	placed bool // it has its name
	linked bool // it may still have the temporary name as well
}

// CreateTemp creates a temporary file, with permissions 0644 &^ umask, beside path.
func CreateTemp(path string) (*TempFile, error) { return CreateTempPerm(path, 0o644) }

// CreateTempPerm creates a temporary file, with permissions perm &^ umask, beside path.
func CreateTempPerm(path string, perm fs.FileMode) (*TempFile, error) {
	dir, err := OS(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("create temporary file: %w", err)
	}
	return CreateTempIn(dir, filepath.Base(path), perm)
}

// CreateTempIn is [CreateTempPerm] in a directory that is open, and that it closes in the end.
func CreateTempIn(dir FS, name string, perm fs.FileMode) (*TempFile, error) {
	t, err := createTemp(dir, name, perm)
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("create temporary file: %w", err)
	}
	return t, nil
}

func createTemp(dir FS, name string, perm fs.FileMode) (*TempFile, error) {
	t := &TempFile{dir: dir, name: name}
	var err error
	t.temp, err = createNew(t.name, func(temp string) (err error) {
		t.File, err = dir.Create(temp, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Commit syncs the file, closes it, gives it its path and syncs the directory.
// Without overwrite it fails with fs.ErrExist if the path exists; with it, it
// replaces a file.
//
// If Commit fails, either the path is as it was and Commit may be called again, or
// the error says that the file is in place but perhaps not durably, or that its
// temporary name is still there.
func (t *TempFile) Commit(overwrite bool) error {
	if t.dir == nil {
		return fmt.Errorf("commit: %w", fs.ErrClosed)
	}
	if !t.synced {
		if err := t.File.Sync(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		t.synced = true
		if err := t.File.Close(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	if !t.placed {
		if err := t.place(overwrite); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		t.placed = true
	}
	if err := t.dir.SyncDir("."); err != nil {
		return fmt.Errorf("commit: %s is in place, but perhaps not durable: %w", t.name, err)
	}
	if t.linked {
		if err := cleanup(t.dir, t.temp); err != nil {
			return fmt.Errorf("commit: %s is in place, with a second name: %w", t.name, err)
		}
		t.linked = false
	}
	t.release()
	return nil
}

// place gives the file its name.
func (t *TempFile) place(overwrite bool) error {
	if overwrite {
		return t.dir.Rename(t.temp, t.name)
	}
	err := t.dir.RenameNew(t.temp, t.name)
	if errors.Is(err, errors.ErrUnsupported) {
		err = t.dir.Link(t.temp, t.name)
		t.linked = err == nil
	}
	return err
}

// Abort closes and removes the file, unless it was committed. It may be called
// more than once.
func (t *TempFile) Abort() {
	if t.dir == nil {
		return
	}
	t.File.Close()
	if !t.placed || t.linked {
		_ = cleanup(t.dir, t.temp)
	}
	t.release()
}

func (t *TempFile) release() {
	t.dir.Close()
	t.dir = nil
}
