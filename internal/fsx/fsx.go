package fsx

import (
	"io"
	"io/fs"
	"time"
)

// An FS is a directory and what lies below it. Names are slash-separated and
// relative to that directory, which they cannot leave: neither by "..", an
// absolute name or an empty element, all refused, nor by a symbolic link found
// on the way. "." names the directory itself where that makes sense.
//
// Errors are of types *fs.PathError and *os.LinkError; errors.Is finds
// fs.ErrNotExist, fs.ErrExist (also for a directory that is not empty) and
// fs.ErrPermission in them. If the directory itself was deleted, operations
// fail with fs.ErrNotExist and the caller has to open it anew.
//
// An FS is safe for concurrent use.
type FS interface {
	// ReadFile returns the content of a regular file.
	ReadFile(name string) ([]byte, error)
	// Open opens a regular file for reading.
	Open(name string) (File, error)
	// Create makes a new file, with the permissions perm &^ umask, and opens it
	// for writing and reading. It fails with fs.ErrExist if anything has that name.
	Create(name string, perm fs.FileMode) (WFile, error)
	// Stat describes what has the name; it does not follow symbolic links.
	Stat(name string) (Info, error)
	// ReadDir returns the names in a directory, in no particular order.
	ReadDir(name string) ([]string, error)
	// ReadDirBatch returns at most n of the names in a directory. It returns
	// none only if the directory is empty.
	ReadDirBatch(name string, n int) ([]string, error)
	// Mkdir makes a directory with the permissions perm &^ umask.
	Mkdir(name string, perm fs.FileMode) error
	// MkdirAll is Mkdir that also makes missing parents, and to which an
	// existing directory is no error.
	MkdirAll(name string, perm fs.FileMode) error
	// Link gives a file a second name. It never clobbers: fs.ErrExist.
	Link(oldname, newname string) error
	// Rename renames a file, replacing a file that has the new name.
	Rename(oldname, newname string) error
	// RenameNew renames a file like Rename, but never clobbers: fs.ErrExist. It
	// fails with errors.ErrUnsupported where system or filesystem cannot do that
	// in one step.
	RenameNew(oldname, newname string) error
	// RenameDir renames a directory as rename(2) does: newname must be absent or
	// an empty directory, otherwise it fails with fs.ErrExist.
	RenameDir(oldname, newname string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// RemoveAll removes what has the name, with all that is below it. An absent
	// name is no error. After an error some of it may be gone; call again.
	RemoveAll(name string) error
	// Chmod sets the permissions of a file or a directory.
	Chmod(name string, perm fs.FileMode) error
	// Chgrp gives a file or a directory to a group. It fails with errors.ErrUnsupported where
	// the platform has none.
	Chgrp(name string, gid uint32) error
	// TryLock takes the exclusive lock of a file, which it creates for the user alone if absent,
	// without waiting; Close releases it. It fails with ErrLocked if the lock is
	// held, by this process or another.
	TryLock(name string) (io.Closer, error)
	// SyncDir makes the names in a directory durable. Where directories cannot be
	// synced it does nothing.
	SyncDir(name string) error
	// Sub returns the FS of a directory below. It stays usable after its parent
	// is closed, and after the directory is renamed.
	Sub(name string) (FS, error)
	// Close releases the directory. Files that are open stay open.
	io.Closer
}

// A File is a file opened for reading.
type File interface {
	io.ReaderAt
	io.Closer
	Stat() (Info, error)
}

// A WFile is a new file opened for writing and reading. Write, which goes on where
// the previous Write ended, is for one goroutine, the others for any number.
type WFile interface {
	io.Writer
	io.WriterAt
	io.ReaderAt
	io.Closer
	Truncate(size int64) error
	Chmod(perm fs.FileMode) error
	Sync() error
}

// Info describes a file. Dev, Ino, Uid and Gid are zero where the platform has none, and
// ChangeTime is then the modification time.
type Info struct {
	Name       string // last element of the name
	Size       int64
	Mode       fs.FileMode
	ModTime    time.Time
	ChangeTime time.Time
	Dev, Ino   uint64
	Uid, Gid   uint32
}

// IsDir says whether i describes a directory.
func (i Info) IsDir() bool { return i.Mode.IsDir() }
