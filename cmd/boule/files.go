package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/boule-db/boule/internal/fsx"
)

// writeNew makes a file that appears whole and synced, or not at all.
func writeNew(name string, data []byte, force bool) error {
	t, err := fsx.CreateTemp(name)
	if err != nil {
		return err
	}
	defer t.Abort()
	if _, err := t.File.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	err = t.Commit(force)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: choose another --out, or replace it with --force", name)
	}
	return err
}

// fileExists reports whether there is anything under the name.
func fileExists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
