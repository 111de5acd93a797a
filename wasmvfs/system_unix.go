//go:build unix

package wasmvfs

import (
	"errors"
	"io/fs"
	"os"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

// system is what the VFS boule needs of the operating system beside the os VFS:
// it opens journals, and makes names durable. A test puts a disk below the two that
// can lose its power.
type system interface {
	// Exists says whether there is anything but an empty file.
	Exists(name string) (bool, error)
	// PermissionsOf returns those of a database, for the files beside it.
	PermissionsOf(path string) permissions
	// OpenFile opens a file to read or write, but not to lock it. An empty file, which
	// may have just been made, gets the permissions if it is opened to be created.
	OpenFile(path string, flags vfs.OpenFlag, perm permissions) (vfs.File, error)
	// SyncDir makes the entries of a directory durable. That a directory can't be opened
	// or synced at all, as on some network file systems, is no error: there
	// is nothing better to be done.
	SyncDir(dir string) error
}

// permissions are those of a database, for the files beside it.
type permissions struct {
	Mode     uint32
	UID, GID uint32
	Chown    bool
}

type osSystem struct{}

func (osSystem) Exists(name string) (bool, error) {
	var st unix.Stat_t
	_, err := retry(func() (int, error) { return 0, unix.Stat(name, &st) })
	switch {
	case err == nil:
		return st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > 0, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOTDIR):
		return false, nil
	}
	return false, &fs.PathError{Op: "stat", Path: name, Err: err}
}

func (osSystem) PermissionsOf(path string) permissions {
	var st unix.Stat_t
	if _, err := retry(func() (int, error) { return 0, unix.Stat(path, &st) }); err != nil {
		return permissions{Mode: 0o600}
	}
	return permissions{uint32(st.Mode) & 0o777, st.Uid, st.Gid, true}
}

func (osSystem) OpenFile(path string, flags vfs.OpenFlag, perm permissions) (vfs.File, error) {
	how := unix.O_NOFOLLOW | unix.O_CLOEXEC
	if flags&vfs.OPEN_READWRITE != 0 {
		how |= unix.O_RDWR
	}
	if flags&vfs.OPEN_CREATE != 0 {
		how |= unix.O_CREAT
	}
	if flags&vfs.OPEN_EXCLUSIVE != 0 {
		how |= unix.O_EXCL
	}
	fd, err := retry(func() (int, error) { return unix.Open(path, how, perm.Mode) })
	if err != nil {
		err := &fs.PathError{Op: "open", Path: path, Err: err}
		if errors.Is(err, unix.EISDIR) {
			return nil, vfs.SystemError(err, sqlite3.CANTOPEN_ISDIR)
		}
		return nil, err
	}
	if flags&vfs.OPEN_CREATE != 0 {
		perm.give(fd)
	}
	return &fdFile{fd: fd, barrier: flags&vfs.OPEN_MAIN_JOURNAL != 0}, nil
}

// give gives the permissions to an empty file: the umask may have narrowed its
// mode. Like SQLite's own VFS it goes on if it can't.
func (p permissions) give(fd int) {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Size != 0 {
		return
	}
	if uint32(st.Mode)&0o777 != p.Mode {
		_ = unix.Fchmod(fd, p.Mode)
	}
	// What root makes belongs to the owner of the database, who could not open
	// it otherwise.
	if p.Chown && (st.Uid != p.UID || st.Gid != p.GID) && os.Geteuid() == 0 {
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
