//go:build !unix

package wasmvfs

import (
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3/vfs"
)

// system is what the VFS boule needs of the operating system beside the os VFS.
type system interface {
	Stat(name string) (fs.FileInfo, error)
	SyncDir(dir string) error
}

type osSystem struct{}

func (osSystem) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (osSystem) SyncDir(string) error { return nil }

// openJournal needs no care here: there are no permission bits to inherit, and
// directories can't be synced.
func (v *replicating) openJournal(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	inner, flags, err := v.inner.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &file{File: inner, vfs: v}, flags, nil
}
