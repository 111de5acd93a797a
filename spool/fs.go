package spool

import (
	"errors"
	"io/fs"

	"github.com/boule-db/boule/internal/fsx"
)

// missingIsFine drops the error that something does not exist.
func missingIsFine(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// nonEmpty says whether there is a directory with something in it.
func nonEmpty(dir fsx.FS, name string) (bool, error) {
	names, err := dir.ReadDirBatch(name, 1)
	return len(names) > 0, missingIsFine(err)
}

// list returns the names in a directory, none if it is absent.
func list(dir fsx.FS, name string) ([]string, error) {
	names, err := dir.ReadDir(name)
	return names, missingIsFine(err)
}
