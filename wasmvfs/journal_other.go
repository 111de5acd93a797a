//go:build !unix

package wasmvfs

import "github.com/ncruces/go-sqlite3/vfs"

// openJournal needs no care here: there are no permission bits to inherit, and
// directories can't be synced.
func (v *replicating) openJournal(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	inner, flags, err := v.inner.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &file{File: inner, vfs: v}, flags, nil
}

func syncDir(string) error { return nil }
