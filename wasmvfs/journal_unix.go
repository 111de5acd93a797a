//go:build unix

package wasmvfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

const (
	// A journal that others delete as soon as it is made is made again this
	// often. SQLite's locks see to it that nobody does.
	journalTries = 100

	// Super-journals, which belong to several databases, have no other mode in
	// SQLite's own VFS either.
	superJournalMode = 0o644
)

// openJournal opens a rollback journal, a super-journal or a WAL, which may have
// to be made. The os VFS would make it with the default permissions, so that a
// private database has a public journal, and would sync the new file twice where
// it should sync the directory once. So the file is made here, and the os VFS
// gets to open one that is there already.
func (v *replicating) openJournal(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	path := name.String()
	db := databaseOf(name, flags)
	perm := permissionsOf(db)
	for range journalTries {
		fd, err := perm.create(path)
		if errors.Is(err, unix.EEXIST) && flags&vfs.OPEN_EXCLUSIVE != 0 {
			return nil, flags, err
		}
		inner, out, openErr := v.openExisting(name, flags)
		if openErr == nil {
			perm.finish(fd)
			if flags&vfs.OPEN_WAL != 0 && db != nil {
				db.makeSharedMemory(perm)
			}
			// As in SQLite's own VFS, even when the file is not new: nobody
			// knows whether its directory has been synced since it was.
			return &file{File: inner, vfs: v, dir: filepath.Dir(path)}, out, nil
		}
		made := fd >= 0
		perm.finish(fd)
		switch {
		case !errors.Is(openErr, fs.ErrNotExist):
			if made {
				_ = os.Remove(path) // the error to tell is the other one
			}
			return nil, out, openErr
		case made || errors.Is(err, unix.EEXIST):
			continue // it was there a moment ago
		case errors.Is(err, unix.EACCES):
			return nil, out, vfs.SystemError(err, sqlite3.READONLY_DIRECTORY)
		default:
			return nil, out, err
		}
	}
	return nil, flags, vfs.SystemError(fmt.Errorf("%s is deleted again and again", path), sqlite3.CANTOPEN)
}

// openExisting opens a file that must not be made by the os VFS. A WAL may turn
// out to be read-only, which SQLite can handle; a journal may not.
func (v *replicating) openExisting(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	const asked = vfs.OPEN_CREATE | vfs.OPEN_EXCLUSIVE
	open := v.inner.OpenFilename
	if flags&vfs.OPEN_WAL != 0 {
		open = v.openOrRead
	}
	inner, out, err := open(name, flags&^asked)
	if out&vfs.OPEN_READONLY == 0 {
		out |= flags & asked
	}
	return inner, out, err
}

// databaseOf returns the database that a journal belongs to; nil for a
// super-journal.
func databaseOf(name *vfs.Filename, flags vfs.OpenFlag) *dbFile {
	if flags&(vfs.OPEN_MAIN_JOURNAL|vfs.OPEN_WAL) == 0 {
		return nil
	}
	db, _ := vfsutil.UnwrapFile[*dbFile](name.DatabaseFile())
	return db
}

// permissions are those of a database, for the files beside it.
type permissions struct {
	mode         uint32
	uid, gid     uint32
	chmod, chown bool
}

func permissionsOf(db *dbFile) permissions {
	if db == nil {
		return permissions{mode: superJournalMode}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(db.Fd()), &st); err != nil {
		return permissions{mode: 0o600}
	}
	// What root makes belongs to the owner of the database, who could not open
	// it otherwise.
	return permissions{uint32(st.Mode) & 0o777, st.Uid, st.Gid, true, os.Geteuid() == 0}
}

// create makes an empty file and returns its descriptor, for finish, or -1. By
// its name it can be opened by us, whatever the mode.
func (p permissions) create(path string) (int, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := retry(func() (int, error) { return unix.Open(path, flags, p.mode|0o600) })
	if err != nil {
		return -1, &fs.PathError{Op: "create", Path: path, Err: err}
	}
	return fd, nil
}

// finish gives the file the mode, which the umask may have narrowed, and the
// owner, and closes the descriptor. Like SQLite's own VFS it goes on if it can't.
func (p permissions) finish(fd int) {
	if fd < 0 {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return
	}
	if p.chmod && uint32(st.Mode)&0o777 != p.mode {
		_ = unix.Fchmod(fd, p.mode)
	}
	if p.chown && (st.Uid != p.uid || st.Gid != p.gid) {
		_ = unix.Fchown(fd, int(p.uid), int(p.gid))
	}
}

// makeSharedMemory makes the WAL-index, with the permissions of the database,
// before the os VFS makes it with others. If it can't, the os VFS will tell.
func (f *dbFile) makeSharedMemory(perm permissions) {
	if f.exclusive || f.SharedMemory() == nil {
		return // then SQLite keeps the index in its own memory
	}
	if fd, err := perm.create(f.path + "-shm"); err == nil {
		perm.finish(fd)
	}
}

// syncDir makes the entries of a directory durable. That a directory can't be
// opened or synced at all, as on some network file systems, is no error: there
// is nothing better to be done.
func syncDir(dir string) error {
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
