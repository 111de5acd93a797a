package wasmvfs

import (
	"math"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// A file forwards everything to the file of the os VFS, but for what is wrong
// with that. Reading and writing cost one indirect call.
type file struct {
	vfs.File
	vfs    *replicating
	chunk  int64 // its size is a multiple of this; 0: of nothing
	closed bool
}

var (
	_ vfs.FileUnwrap             = (*file)(nil)
	_ vfs.FileLockState          = (*file)(nil)
	_ vfs.FilePersistWAL         = (*file)(nil)
	_ vfs.FilePowersafeOverwrite = (*file)(nil)
	_ vfs.FileSizeHint           = (*file)(nil)
	_ vfs.FileChunkSize          = (*file)(nil)
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

// ChunkSize implements [vfs.FileChunkSize]. What the size is already does not change.
func (f *file) ChunkSize(size int) { f.chunk = int64(max(size, 0)) }

// chunked rounds a size up to whole chunks.
func (f *file) chunked(size int64) int64 {
	if f.chunk == 0 || size > math.MaxInt64-f.chunk {
		return size
	}
	return (size + f.chunk - 1) / f.chunk * f.chunk
}

// Truncate implements [vfs.File].
func (f *file) Truncate(size int64) error { return f.File.Truncate(f.chunked(size)) }

// SizeHint implements [vfs.FileSizeHint].
func (f *file) SizeHint(size int64) error { return vfsutil.WrapSizeHint(f.File, f.chunked(size)) }

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
