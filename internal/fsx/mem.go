//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// Mem is a directory in memory, for tests: an FS whose power can be cut. It
// behaves as [OS] does on ext4 to a process that may do anything, to the error
// numbers. It has no symbolic links, and all belongs to user and group 0. What
// differs is said here:
//
//   - ReadDir sorts; ReadDirBatch returns the first names.
//   - An inode number is used again as soon as it is free, the lowest first, which is
//     the hardest case for who tells files apart by it.
//
// # Process crash
//
// Nothing is lost when a process is killed. [Mem.Kill] returns what it leaves: the
// same files, unlocked.
//
// # Power loss
//
// [Mem.Crash] and [Mem.Images] return what may be found after a power loss. The model
// is what POSIX promises, plus that a rename is atomic, as on all journalling
// file systems:
//
//   - Each Write, WriteAt and Truncate and each change of permissions of a file is
//     lost or kept on its own, unless it was followed by a Sync of the file. So later ones may be
//     kept when earlier ones are lost. A hole that this leaves reads as zeros. A
//     write is torn at sectors of 512 bytes, aligned in the file; a sector is atomic,
//     and no write harms bytes outside its range.
//   - Each creation, link, renaming and removal of a name is lost or kept on its own, unless
//     it was followed by a SyncDir of the directory that has the name (of either
//     directory, for a rename). But what happened to the same name happens in order: a change
//     is kept only with all earlier ones of the same name, a rename also with the
//     creation of the directory that it leads to, and the removal of a directory also with
//     that of what was in it.
//   - A Truncate is kept only with all earlier changes of names, since both are metadata, which
//     file systems journal in order. (SQLite relies on it where it does not sync the removal of
//     a journal and truncates the database after it: journal_mode=DELETE, synchronous=FULL.)
//   - Sync makes a file's content durable, but not its name. SyncDir makes names durable, but
//     not the content of the files that have them, nor the name of the directory
//     itself.
//   - What was synced is never lost.
//
// Neither method changes anything: the same moment has many images, and life goes on.
type Mem struct {
	disk   *memDisk
	dir    *memNode
	path   string // for messages
	closed atomic.Bool
}

// MemOptions configures [NewMem]. The zero value is usable; so is a nil *MemOptions.
type MemOptions struct {
	// Umask is taken off the permissions of what is made.
	Umask fs.FileMode
	// Now tells the time. Nil is time.Now.
	Now func() time.Time
	// Dev is the device number of all files. Zero is 1.
	Dev uint64
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty directory, which is durable.
func NewMem(opts *MemOptions) *Mem {
	var o MemOptions
	if opts != nil {
		o = *opts
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dev == 0 {
		o.Dev = 1
	}
	d := &memDisk{opts: o, nextIno: 2}
	d.root = d.newNode(fs.ModeDir | d.perm(0o755))
	d.root.nlink = 1
	return d.rootHandle()
}

// Boot counts the power losses that led to m.
func (m *Mem) Boot() int { return m.disk.boot }

// SyncAll makes everything durable, as sync(2) does.
func (m *Mem) SyncAll() {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.disk.syncAll()
}

func (m *Mem) pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(m.path, name), Err: err}
}

// find returns what has a checked name.
func (m *Mem) find(name string) (*memNode, error) {
	if name == "." {
		return m.dir, nil
	}
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, err
	}
	return dir.child(base)
}

// parent returns the directory that holds a checked name, and its last element.
func (m *Mem) parent(name string) (*memNode, string, error) {
	at := m.dir
	dir, base := splitName(name)
	for dir != "" {
		var first string
		first, dir = cutFirst(dir)
		next, err := at.child(first)
		if err != nil {
			return nil, "", err
		}
		if !next.isDir() {
			return nil, "", syscall.ENOTDIR
		}
		at = next
	}
	return at, base, nil
}

// with runs f, an operation on one name, with the disk locked, and wraps its error.
func (m *Mem) with(op, name string, root bool, f func(d *memDisk) error) error {
	err := checkName(name, root)
	if err == nil {
		err = m.use(f)
	}
	return m.pathError(op, name, err)
}

func (m *Mem) use(f func(d *memDisk) error) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.closed.Load() {
		return fs.ErrClosed
	}
	return f(m.disk)
}

// ReadFile implements [FS].
func (m *Mem) ReadFile(name string) (data []byte, err error) {
	err = m.with("read", name, false, func(*memDisk) error {
		n, err := m.find(name)
		if err != nil {
			return err
		}
		if n.isDir() {
			return ErrIrregular
		}
		data = append(make([]byte, 0, len(n.data)+1), n.data...)
		return nil
	})
	return data, err
}

// Open implements [FS].
func (m *Mem) Open(name string) (File, error) {
	f, err := m.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Create implements [FS].
func (m *Mem) Create(name string, perm fs.FileMode) (WFile, error) {
	var f *MemFile
	err := m.with("create", name, false, func(d *memDisk) (err error) {
		f, err = m.openFile(d, name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Stat implements [FS].
func (m *Mem) Stat(name string) (info Info, err error) {
	err = m.with("stat", name, true, func(d *memDisk) error {
		n, err := m.find(name)
		if err == nil && n.nlink == 0 {
			err = syscall.ENOENT
		}
		if err != nil {
			return err
		}
		_, base := splitName(name)
		info = d.infoOf(base, n)
		return nil
	})
	return info, err
}

// ReadDir implements [FS].
func (m *Mem) ReadDir(name string) (names []string, err error) {
	err = m.with("readdir", name, true, func(*memDisk) error {
		n, err := m.findDir(name)
		if err == nil && n.nlink == 0 {
			err = syscall.ENOENT
		}
		if err != nil {
			return err
		}
		names = n.names()
		return nil
	})
	return names, err
}

// ReadDirBatch implements [FS].
func (m *Mem) ReadDirBatch(name string, n int) ([]string, error) {
	names, err := m.ReadDir(name)
	return slices.Clip(names[:min(max(n, 1), len(names))]), err
}

func (m *Mem) findDir(name string) (*memNode, error) {
	n, err := m.find(name)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	return n, err
}

// Mkdir implements [FS].
func (m *Mem) Mkdir(name string, perm fs.FileMode) error {
	return m.with("mkdir", name, false, func(d *memDisk) error {
		dir, base, err := m.parent(name)
		if err != nil {
			return err
		}
		return d.mkdir(dir, base, perm, m.full(name))
	})
}

// MkdirAll implements [FS].
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	if name == "." {
		_, err := m.Stat(name)
		return err
	}
	err := m.Mkdir(name, perm)
	if dir, _ := splitName(name); errors.Is(err, fs.ErrNotExist) && dir != "" {
		if err := m.MkdirAll(dir, perm); err != nil {
			return err
		}
		err = m.Mkdir(name, perm)
	}
	if errors.Is(err, fs.ErrExist) {
		info, serr := m.Stat(name)
		switch {
		case serr != nil:
			return serr
		case !info.IsDir():
			return m.pathError("mkdir", name, syscall.ENOTDIR)
		}
		return nil
	}
	return err
}

// Remove implements [FS].
func (m *Mem) Remove(name string) error {
	return m.with("remove", name, false, func(d *memDisk) error {
		dir, base, err := m.parent(name)
		if err != nil {
			return err
		}
		return d.remove(dir, base, m.full(name))
	})
}

// RemoveAll implements [FS]. Each name below is a change of its own.
func (m *Mem) RemoveAll(name string) error {
	err := m.with("removeall", name, false, func(d *memDisk) error {
		dir, base, err := m.parent(name)
		if err != nil {
			return err
		}
		return d.removeAll(dir, base, m.full(name))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Chmod implements [FS].
func (m *Mem) Chmod(name string, perm fs.FileMode) error {
	return m.with("chmod", name, false, func(d *memDisk) error {
		n, err := m.find(name)
		if err != nil {
			return err
		}
		d.chmod(n, perm, m.full(name))
		return nil
	})
}

// Chgrp implements [FS].
func (m *Mem) Chgrp(name string, gid uint32) error {
	return m.with("chgrp", name, false, func(*memDisk) error {
		if _, err := m.find(name); err != nil {
			return err
		}
		if gid != 0 {
			return errors.ErrUnsupported
		}
		return nil
	})
}

// SyncDir implements [FS].
func (m *Mem) SyncDir(name string) error {
	return m.with("sync", name, true, func(d *memDisk) error {
		n, err := m.findDir(name)
		if err != nil {
			return err
		}
		d.syncDir(n)
		return nil
	})
}

// TryLock implements [FS].
func (m *Mem) TryLock(name string) (io.Closer, error) {
	var f *MemFile
	err := m.with("lock", name, false, func(d *memDisk) (err error) {
		f, err = m.openFile(d, name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		if f.node.locked {
			f.close()
			return ErrLocked
		}
		f.node.locked, f.locks = true, true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Sub implements [FS]. It is a *Mem.
func (m *Mem) Sub(name string) (FS, error) {
	var sub *Mem
	err := m.with("open", name, true, func(d *memDisk) error {
		n, err := m.findDir(name)
		if err != nil {
			return err
		}
		n.open++
		sub = &Mem{disk: d, dir: n, path: filepath.Join(m.path, name)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

// Close implements [FS].
func (m *Mem) Close() error {
	return m.with("close", ".", true, func(d *memDisk) error {
		m.closed.Store(true)
		m.dir.open--
		d.reclaim(m.dir)
		return nil
	})
}
