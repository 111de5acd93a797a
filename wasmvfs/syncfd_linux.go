package wasmvfs

import (
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

// syncFD makes a file durable, with its size, but not with its times.
func syncFD(fd int, _ bool, _ vfs.SyncFlag) error { return unix.Fdatasync(fd) }
