//go:build unix && !linux && !darwin

package wasmvfs

import (
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

// syncFD makes a file durable.
func syncFD(fd int, _ bool, _ vfs.SyncFlag) error { return unix.Fsync(fd) }
