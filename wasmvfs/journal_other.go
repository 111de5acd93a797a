//go:build !unix

package wasmvfs

import (
	"errors"
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3/vfs"
)

// system is what the VFS boule needs of the operating system beside the os VFS.
type system interface {
	// Exists says whether there is anything but an empty file.
	Exists(name string) (bool, error)
	SyncDir(dir string) error
}

type osSystem struct{}

func (osSystem) Exists(name string) (bool, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil:
		return !info.Mode().IsRegular() || info.Size() > 0, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return false, nil
	}
	return false, err
}

func (osSystem) SyncDir(string) error { return nil }

// openJournal needs no care here: there are no permission bits to inherit, and
// directories can't be synced.
func (v *replicating) openJournal(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	inner, flags, err := v.open(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &file{File: inner, vfs: v}, flags, nil
}
