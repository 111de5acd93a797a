//go:build unix

package wasmvfs

import (
	"errors"
	"fmt"
	"io/fs"
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
	perm := v.permissionsOf(db)
	for range journalTries {
		made, err := v.system.Create(path, perm.Mode|0o600) // to be opened by us, whatever the mode
		if errors.Is(err, unix.EEXIST) && flags&vfs.OPEN_EXCLUSIVE != 0 {
			return nil, flags, err
		}
		inner, out, openErr := v.openExisting(name, flags)
		if openErr == nil {
			finish(made, perm)
			if flags&vfs.OPEN_WAL != 0 && db != nil {
				db.makeSharedMemory(perm)
			}
			// As in SQLite's own VFS, even when the file is not new: nobody
			// knows whether its directory has been synced since it was.
			return &file{File: inner, vfs: v, dir: filepath.Dir(path)}, out, nil
		}
		finish(made, perm)
		switch {
		case !errors.Is(openErr, fs.ErrNotExist):
			if made != nil {
				_ = v.system.Remove(path) // the error to tell is the other one
			}
			return nil, out, openErr
		case made != nil || errors.Is(err, unix.EEXIST):
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

// permissionsOf returns the permissions for the files beside a database.
func (v *replicating) permissionsOf(db *dbFile) permissions {
	if db == nil {
		return permissions{Mode: superJournalMode}
	}
	return v.system.PermissionsOf(db.File)
}

// finish gives a new file its permissions and closes it. Like SQLite's own VFS it
// goes on if it can't.
func finish(f newFile, perm permissions) {
	if f != nil {
		f.Finish(perm)
	}
}

// makeSharedMemory makes the WAL-index, with the permissions of the database,
// before the os VFS makes it with others. If it can't, the os VFS will tell.
func (f *dbFile) makeSharedMemory(perm permissions) {
	if f.exclusive || f.SharedMemory() == nil {
		return // then SQLite keeps the index in its own memory
	}
	if made, err := f.vfs.system.Create(f.path+"-shm", perm.Mode|0o600); err == nil {
		made.Finish(perm)
	}
}
