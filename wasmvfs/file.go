package wasmvfs

import (
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// A file forwards everything to the file of the os VFS, but for what is wrong
// with that. Reading and writing cost one indirect call.
type file struct {
	vfs.File
	vfs    *replicating
	dir    string // to sync with the file, the next time that it is
	closed bool
}

var (
	_ vfs.FileUnwrap             = (*file)(nil)
	_ vfs.FileLockState          = (*file)(nil)
	_ vfs.FilePersistWAL         = (*file)(nil)
	_ vfs.FilePowersafeOverwrite = (*file)(nil)
	_ vfs.FileSizeHint           = (*file)(nil)
	_ vfs.FileHasMoved           = (*file)(nil)
	_ vfs.FileSharedMemory       = (*file)(nil)
)

// Close closes the file once: SQLITE_FCNTL_NULL_IO does it before its time.
func (f *file) Close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	return f.File.Close()
}

// Sync implements [vfs.File].
func (f *file) Sync(flags vfs.SyncFlag) error {
	if err := f.File.Sync(flags); err != nil {
		return err
	}
	if f.dir == "" {
		return nil
	}
	dir := f.dir
	f.dir = ""
	return f.vfs.syncDirectory(dir)
}

// DeviceCharacteristics hides SQLITE_IOCAP_BATCH_ATOMIC, which the os VFS has on
// F2FS: with it SQLite does not count changes, and other connections read stale
// pages. For the same reason a file is no [vfs.FileBatchAtomicWrite].
func (f *file) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return f.File.DeviceCharacteristics() &^ vfs.IOCAP_BATCH_ATOMIC
}

// Unwrap returns the file of the os VFS.
func (f *file) Unwrap() vfs.File { return f.File }

// LockState implements [vfs.FileLockState].
func (f *file) LockState() vfs.LockLevel { return vfsutil.WrapLockState(f.File) }

// PersistWAL implements [vfs.FilePersistWAL].
func (f *file) PersistWAL() bool { return vfsutil.WrapPersistWAL(f.File) }

// SetPersistWAL implements [vfs.FilePersistWAL].
func (f *file) SetPersistWAL(keep bool) { vfsutil.WrapSetPersistWAL(f.File, keep) }

// PowersafeOverwrite implements [vfs.FilePowersafeOverwrite].
func (f *file) PowersafeOverwrite() bool { return vfsutil.WrapPowersafeOverwrite(f.File) }

// SetPowersafeOverwrite implements [vfs.FilePowersafeOverwrite].
func (f *file) SetPowersafeOverwrite(on bool) { vfsutil.WrapSetPowersafeOverwrite(f.File, on) }

// SizeHint implements [vfs.FileSizeHint].
func (f *file) SizeHint(size int64) error { return vfsutil.WrapSizeHint(f.File, size) }

// HasMoved implements [vfs.FileHasMoved].
func (f *file) HasMoved() (bool, error) { return vfsutil.WrapHasMoved(f.File) }

// SharedMemory implements [vfs.FileSharedMemory].
func (f *file) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }

// Fd returns the descriptor of the file, or what can't be one.
func (f *file) Fd() uintptr {
	if inner, ok := f.File.(interface{ Fd() uintptr }); ok {
		return inner.Fd()
	}
	return ^uintptr(0)
}
