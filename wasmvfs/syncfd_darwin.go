package wasmvfs

import (
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

// syncFD makes a file durable, past the cache of the disk only if PRAGMA fullfsync
// wants that, as SQLite's own VFS does. Where only the order counts, a barrier will do.
func syncFD(fd int, barrier bool, flags vfs.SyncFlag) error {
	if flags&vfs.SYNC_FULL == vfs.SYNC_FULL {
		how := unix.F_FULLFSYNC
		if barrier {
			how = unix.F_BARRIERFSYNC
		}
		if _, err := unix.FcntlInt(uintptr(fd), how, 0); err != unix.ENOTSUP {
			return err
		}
	}
	return unix.Fsync(fd)
}
