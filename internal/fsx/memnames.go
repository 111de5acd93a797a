//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// two runs f, an operation on two names, and wraps its error.
func (m *Mem) two(op, oldname, newname string, f func(d *memDisk, from, to place) error) error {
	err := errors.Join(checkName(oldname, false), checkName(newname, false))
	if err != nil {
		err = syscall.EINVAL
	} else {
		err = m.use(func(d *memDisk) error {
			var from, to place
			var err error
			if from.dir, from.name, err = m.parent(oldname); err != nil {
				return err
			}
			if to.dir, to.name, err = m.parent(newname); err != nil {
				return err
			}
			return f(d, from, to)
		})
	}
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: op, Old: filepath.Join(m.path, oldname), New: filepath.Join(m.path, newname), Err: err}
}

// full returns a name relative to the root, as far as that is known.
func (m *Mem) full(name string) string { return filepath.Join(m.path, name) }

// Link implements [FS].
func (m *Mem) Link(oldname, newname string) error {
	return m.two("link", oldname, newname, func(d *memDisk, from, to place) error {
		return d.link(from, to, m.full(newname))
	})
}

// Rename implements [FS].
func (m *Mem) Rename(oldname, newname string) error {
	return m.two("rename", oldname, newname, func(d *memDisk, from, to place) error {
		return d.rename(OpRename, from, to, m.full(newname))
	})
}

// RenameNew implements [FS].
func (m *Mem) RenameNew(oldname, newname string) error {
	return m.two("rename", oldname, newname, func(d *memDisk, from, to place) error {
		return d.rename(OpRenameNew, from, to, m.full(newname))
	})
}

// RenameDir implements [FS].
func (m *Mem) RenameDir(oldname, newname string) error {
	return m.two("rename", oldname, newname, func(d *memDisk, from, to place) error {
		return d.rename(OpRenameDir, from, to, m.full(newname))
	})
}
