//go:build unix

package wasmvfs_test

import (
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/wasmvfs"
)

// system stands beside the recorder, and notes what happens to journals.
func (r *recorder) system() wasmvfs.System { return recordedSystem{wasmvfs.OSSystem, r} }

type recordedSystem struct {
	wasmvfs.System
	r *recorder
}

func (s recordedSystem) OpenFile(path string, flags vfs.OpenFlag, perm wasmvfs.Permissions) (vfs.File, error) {
	if err := s.r.opens(path, flags&^(vfs.OPEN_CREATE|vfs.OPEN_EXCLUSIVE)); err != nil {
		return nil, err
	}
	f, err := s.System.OpenFile(path, flags, perm)
	if err != nil {
		return nil, err
	}
	return &recordedFile{f, s.r, kind(path)}, nil
}
