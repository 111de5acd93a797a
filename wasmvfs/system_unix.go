//go:build unix

package wasmvfs

import (
	"errors"
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

// system is what the VFS boule needs of the operating system beside the os VFS:
// it makes journals, and makes names durable. A test puts a disk below the two that
// can lose its power.
type system interface {
	Stat(name string) (fs.FileInfo, error)
	// PermissionsOf returns those of an open file of the VFS below, for the files beside it.
	PermissionsOf(db vfs.File) permissions
	// Create makes an empty file that did not exist. Its errors are like those of open(2).
	Create(path string, mode uint32) (newFile, error)
	Remove(path string) error
	// SyncDir makes the entries of a directory durable. That a directory can't be opened
	// or synced at all, as on some network file systems, is no error: there
	// is nothing better to be done.
	SyncDir(dir string) error
}

// newFile is a file that was just made.
type newFile interface {
	// Finish gives the file the mode, which the umask may have narrowed, and
	// the owner, if it can, and closes it.
	Finish(p permissions)
}

// permissions are those of a database, for the files beside it.
type permissions struct {
	Mode         uint32
	UID, GID     uint32
	Chmod, Chown bool
}

type osSystem struct{}

func (osSystem) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

func (osSystem) Remove(path string) error { return os.Remove(path) }

func (osSystem) PermissionsOf(db vfs.File) permissions {
	var st unix.Stat_t
	f, ok := db.(interface{ Fd() uintptr })
	if !ok || unix.Fstat(int(f.Fd()), &st) != nil {
		return permissions{Mode: 0o600}
	}
	// What root makes belongs to the owner of the database, who could not open
	// it otherwise.
	return permissions{uint32(st.Mode) & 0o777, st.Uid, st.Gid, true, os.Geteuid() == 0}
}

func (osSystem) Create(path string, mode uint32) (newFile, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := retry(func() (int, error) { return unix.Open(path, flags, mode) })
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	return newFD(fd), nil
}

// newFD is the descriptor of a new file.
type newFD int

func (f newFD) Finish(p permissions) {
	fd := int(f)
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return
	}
	if p.Chmod && uint32(st.Mode)&0o777 != p.Mode {
		_ = unix.Fchmod(fd, p.Mode)
	}
	if p.Chown && (st.Uid != p.UID || st.Gid != p.GID) {
		_ = unix.Fchown(fd, int(p.UID), int(p.GID))
	}
}

func (osSystem) SyncDir(dir string) error {
	fd, err := retry(func() (int, error) {
		return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	_, err = retry(func() (int, error) { return 0, unix.Fsync(fd) })
	for _, cannot := range []error{unix.EINVAL, unix.ENOTSUP, unix.ENOSYS, unix.EROFS} {
		if errors.Is(err, cannot) {
			return nil
		}
	}
	return err
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
