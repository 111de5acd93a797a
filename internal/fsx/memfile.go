//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// A MemFile is an open file of a [Mem]: all that a [File] and a [WFile] are.
type MemFile struct {
	disk   *memDisk
	node   *memNode
	path   string // for messages
	base   string
	flag   int
	off    int64 // of the next Write
	locks  bool  // it holds the lock of the file
	closed bool
}

var (
	_ File  = (*MemFile)(nil)
	_ WFile = (*MemFile)(nil)
)

// OpenFile opens a regular file, as os.OpenFile does. The flags are one of
// O_RDONLY, O_WRONLY and O_RDWR, and any of O_CREATE, O_EXCL and O_TRUNC.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (f *MemFile, err error) {
	err = m.with("open", name, false, func(d *memDisk) (err error) {
		f, err = m.openFile(d, name, flag, perm)
		return err
	})
	return f, err
}

// openFile is OpenFile without locking and wrapping.
func (m *Mem) openFile(d *memDisk, name string, flag int, perm fs.FileMode) (*MemFile, error) {
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, err
	}
	n, err := dir.child(base)
	full := m.full(name)
	switch {
	case err == nil && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, syscall.EEXIST
	case err == nil && n.isDir():
		if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
			return nil, syscall.EISDIR
		}
		return nil, ErrIrregular
	case errors.Is(err, syscall.ENOENT) && flag&os.O_CREATE != 0 && dir.nlink > 0:
		n = d.newNode(d.perm(perm))
		d.place(OpCreate, full, nil, place{dir, base}, n)
	case err != nil:
		return nil, err
	}
	if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
		d.truncate(n, 0, full)
	}
	n.open++
	return &MemFile{disk: d, node: n, path: full, base: base, flag: flag}, nil
}

func (f *MemFile) use(op string, call func() error) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := error(fs.ErrClosed)
	if !f.closed {
		err = call()
	}
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.path, Err: err}
}

// mayWrite says whether the file is open for writing.
func (f *MemFile) mayWrite() error {
	if f.flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return syscall.EBADF
	}
	return nil
}

// ReadAt implements [io.ReaderAt].
func (f *MemFile) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "readat", Path: f.path, Err: syscall.EINVAL}
	}
	eof := false
	err = f.use("read", func() error {
		if f.flag&os.O_WRONLY != 0 {
			return syscall.EBADF
		}
		if off < int64(len(f.node.data)) {
			n = copy(p, f.node.data[off:])
		}
		eof = n < len(p)
		return nil
	})
	if eof {
		err = io.EOF
	}
	return n, err
}

// Write implements [io.Writer]. It goes on where the previous Write ended.
func (f *MemFile) Write(p []byte) (n int, err error) {
	err = f.use("write", func() error {
		if err := f.mayWrite(); err != nil {
			return err
		}
		f.disk.write(f.node, p, f.off, f.path)
		f.off += int64(len(p))
		n = len(p)
		return nil
	})
	return n, err
}

// WriteAt implements [io.WriterAt].
func (f *MemFile) WriteAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "writeat", Path: f.path, Err: syscall.EINVAL}
	}
	err = f.use("write", func() error {
		if err := f.mayWrite(); err != nil {
			return err
		}
		f.disk.write(f.node, p, off, f.path)
		n = len(p)
		return nil
	})
	return n, err
}

// Truncate sets the size of the file.
func (f *MemFile) Truncate(size int64) error {
	return f.use("truncate", func() error {
		if size < 0 {
			return syscall.EINVAL
		}
		if f.mayWrite() != nil {
			return syscall.EINVAL
		}
		f.disk.truncate(f.node, size, f.path)
		return nil
	})
}

// Chmod implements [WFile].
func (f *MemFile) Chmod(perm fs.FileMode) error {
	return f.use("chmod", func() error {
		f.disk.chmod(f.node, perm, f.path)
		return nil
	})
}

// Sync implements [WFile].
func (f *MemFile) Sync() error {
	return f.use("sync", func() error {
		f.node.settle()
		return nil
	})
}

// Stat implements [File].
func (f *MemFile) Stat() (info Info, err error) {
	err = f.use("stat", func() error {
		info = f.disk.infoOf(f.base, f.node)
		return nil
	})
	return info, err
}

// Close implements [io.Closer]. It syncs nothing.
func (f *MemFile) Close() error {
	return f.use("close", func() error {
		f.close()
		return nil
	})
}

func (f *MemFile) close() {
	f.closed = true
	if f.locks {
		f.node.locked = false
	}
	f.node.open--
	f.disk.reclaim(f.node)
}

// write changes a file, and notes it for a power loss.
func (d *memDisk) write(n *memNode, p []byte, off int64, name string) {
	if len(p) == 0 {
		return
	}
	d.alter(n, &change{op: OpWrite, name: name, off: off, data: slices.Clone(p)})
}

func (d *memDisk) truncate(n *memNode, size int64, name string) {
	d.alter(n, &change{op: OpTruncate, name: name, off: size})
}

func (d *memDisk) chmod(n *memNode, perm fs.FileMode, name string) {
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	d.alter(n, &change{op: OpChmod, name: name, mode: perm & bits})
}
