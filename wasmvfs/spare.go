package wasmvfs

import (
	"errors"
	"syscall"

	"github.com/ncruces/go-sqlite3/vfs"
)

// open opens a file by the os VFS. If the process has no file descriptors left, what replication keeps open for later is closed first: the
// application must not fail because of that.
func (v *replicating) open(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := v.inner.OpenFilename(name, flags)
	if outOfFiles(err) || err != nil && name == nil { // of a temporary file it does not say why
		v.spareFiles()
		f, out, err = v.inner.OpenFilename(name, flags)
	}
	return f, out, err
}

func outOfFiles(err error) bool {
	return err != nil && (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE))
}

// spareFiles closes what is open only for later.
func (v *replicating) spareFiles() {
	v.visits.clear()
	if v.spare != nil {
		v.spare()
	}
}

// clear closes all files that are parked.
func (v *visits) clear() {
	v.mu.Lock()
	parked := v.parked
	v.parked = nil
	v.mu.Unlock()
	for _, p := range parked {
		_ = p.file.Close()
	}
}
