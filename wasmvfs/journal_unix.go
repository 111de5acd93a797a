//go:build unix

package wasmvfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// Super-journals, which belong to several databases, have no other mode in
// SQLite's own VFS either.
const superJournalMode = 0o644

// openFile opens a file of system's. If the process has no file descriptors left, it does as open does.
func (v *replicating) openFile(path string, flags vfs.OpenFlag, perm permissions) (vfs.File, error) {
	f, err := v.system.OpenFile(path, flags, perm)
	if outOfFiles(err) {
		v.spareFiles()
		f, err = v.system.OpenFile(path, flags, perm)
	}
	return f, err
}

// openJournal opens a rollback journal, a super-journal or a WAL. Most transactions
// open one. The os VFS would make it with the default permissions, so that a
// private database has a public journal, would sync the new file twice where
// it should sync the directory once, and would call into SQLite twice to look for
// parameters that say nothing about journals, which takes longer than to open the
// file and allocates 24 KB. So these files are opened, read and written without it.
func (v *replicating) openJournal(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	path := name.String()
	perm := v.permissionsFor(path, flags)
	inner, err := v.openFile(path, flags, perm)
	out := flags
	if err != nil && flags&vfs.OPEN_WAL != 0 && unwritable(err) {
		// A WAL may be read-only, a journal may not.
		const writing = vfs.OPEN_READWRITE | vfs.OPEN_CREATE | vfs.OPEN_EXCLUSIVE
		out = flags&^writing | vfs.OPEN_READONLY
		if read, again := v.openFile(path, out, perm); again == nil {
			inner, err = read, nil
		}
	}
	if err != nil {
		if flags&vfs.OPEN_CREATE != 0 && errors.Is(err, fs.ErrPermission) {
			if there, _ := v.inner.Access(path, vfs.ACCESS_EXISTS); !there {
				err = vfs.SystemError(err, sqlite3.READONLY_DIRECTORY)
			}
		}
		return nil, flags, err
	}
	f := &journalFile{File: inner, vfs: v}
	if flags&vfs.OPEN_CREATE != 0 {
		// As in SQLite's own VFS, even when the file is not new: nobody
		// knows whether its directory has been synced since it was.
		f.dir = filepath.Dir(path)
	}
	if flags&vfs.OPEN_WAL != 0 {
		if db, ok := vfsutil.UnwrapFile[*dbFile](name.DatabaseFile()); ok {
			db.makeSharedMemory(perm)
		}
	}
	return f, out, nil
}

// permissionsFor returns those that a journal gets.
func (v *replicating) permissionsFor(path string, flags vfs.OpenFlag) permissions {
	switch {
	case flags&vfs.OPEN_CREATE == 0:
		return permissions{}
	case flags&vfs.OPEN_MAIN_JOURNAL != 0:
		return v.system.PermissionsOf(strings.TrimSuffix(path, "-journal"))
	case flags&vfs.OPEN_WAL != 0:
		return v.system.PermissionsOf(strings.TrimSuffix(path, "-wal"))
	}
	return permissions{Mode: superJournalMode}
}

// makeSharedMemory makes the WAL-index, with the permissions of the database,
// before the os VFS makes it with others. If it can't, the os VFS will tell.
func (f *dbFile) makeSharedMemory(perm permissions) {
	if f.exclusive || f.SharedMemory() == nil {
		return // then SQLite keeps the index in its own memory
	}
	const anew = vfs.OPEN_READWRITE | vfs.OPEN_CREATE | vfs.OPEN_EXCLUSIVE
	if made, err := f.vfs.openFile(f.path+"-shm", anew, perm); err == nil {
		_ = made.Close()
	}
}

// A journalFile is a rollback journal, a super-journal or a WAL. It can be read and
// written; SQLite asks the database for all else.
type journalFile struct {
	vfs.File
	vfs *replicating
	dir string // to sync with the file, the next time that it is
}

// Sync implements [vfs.File].
func (f *journalFile) Sync(flags vfs.SyncFlag) error {
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

// Unwrap returns the file of the system.
func (f *journalFile) Unwrap() vfs.File { return f.File }
