//go:build unix

package wasmvfs

import (
	"errors"
	"io"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

// An fdFile is a file that nobody locks. It is no [os.File], since a transaction may
// open one, and that is one more system call, to learn that regular files can't be
// polled. One goroutine at a time uses it, that of its connection.
type fdFile struct {
	fd      int  // -1 when closed
	barrier bool // a sync need only keep the order
}

// Close implements [vfs.File].
func (f *fdFile) Close() error {
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1 // another file may have the number soon
	return unix.Close(fd)
}

// ReadAt implements [vfs.File].
func (f *fdFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(f.fd, p[n:], off+int64(n))
		switch {
		case err == nil && m == 0:
			return n, io.EOF
		case err == nil:
			n += m
		case err == unix.EIO || err == unix.ERANGE || err == unix.ENXIO:
			return n, vfs.SystemError(err, sqlite3.IOERR_CORRUPTFS)
		case err != unix.EINTR:
			return n, err
		}
	}
	return n, nil
}

// WriteAt implements [vfs.File].
func (f *fdFile) WriteAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pwrite(f.fd, p[n:], off+int64(n))
		switch {
		case err == nil:
			n += m
		case err == unix.ENOSPC:
			return n, vfs.SystemError(err, sqlite3.FULL)
		case err != unix.EINTR:
			return n, err
		}
	}
	return n, nil
}

// Truncate implements [vfs.File].
func (f *fdFile) Truncate(size int64) error {
	for {
		if err := unix.Ftruncate(f.fd, size); err != unix.EINTR {
			return err
		}
	}
}

// Sync implements [vfs.File].
func (f *fdFile) Sync(flags vfs.SyncFlag) error {
	for {
		if err := syncFD(f.fd, f.barrier, flags); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Size implements [vfs.File].
func (f *fdFile) Size() (int64, error) { return unix.Seek(f.fd, 0, io.SeekEnd) }

// Lock implements [vfs.File]. SQLite locks databases only.
func (f *fdFile) Lock(vfs.LockLevel) error { return nil }

// Unlock implements [vfs.File].
func (f *fdFile) Unlock(vfs.LockLevel) error { return nil }

// CheckReservedLock implements [vfs.File].
func (f *fdFile) CheckReservedLock() (bool, error) { return false, nil }

// SectorSize implements [vfs.File]. This and the characteristics are what the os VFS says.
func (f *fdFile) SectorSize() int { return 4096 }

// DeviceCharacteristics implements [vfs.File].
func (f *fdFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_SUBPAGE_READ | vfs.IOCAP_POWERSAFE_OVERWRITE
}
