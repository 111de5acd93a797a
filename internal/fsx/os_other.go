//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// SupportsRenameDir says whether RenameDir and TryLock work on this platform.
const SupportsRenameDir = false

// osFS is a directory held open.
type osFS struct{ root *os.Root }

var _ FS = (*osFS)(nil)

// OS returns the FS of a directory of the operating system, which it holds open.
func OS(dir string) (FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &osFS{root}, nil
}

// Lstat describes what has a path of the operating system. It opens nothing, and does not follow
// the last element if that is a symbolic link.
func Lstat(path string) (Info, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

func check(op, name string, root bool) error {
	if err := checkName(name, root); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

func check2(op, oldname, newname string) error {
	if errors.Join(checkName(oldname, false), checkName(newname, false)) != nil {
		return &os.LinkError{Op: op, Old: oldname, New: newname, Err: fs.ErrInvalid}
	}
	return nil
}

// regular opens a name and insists that it is a regular file.
func (o *osFS) regular(op, name string) (*os.File, error) {
	if err := check(op, name, false); err != nil {
		return nil, err
	}
	f, err := o.root.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		if err == nil {
			err = &fs.PathError{Op: op, Path: name, Err: ErrIrregular}
		}
		return nil, err
	}
	return f, nil
}

func (o *osFS) ReadFile(name string) ([]byte, error) {
	f, err := o.regular("read", name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (o *osFS) Open(name string) (File, error) {
	f, err := o.regular("open", name)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (o *osFS) Create(name string, perm fs.FileMode) (WFile, error) {
	if err := check("create", name, false); err != nil {
		return nil, err
	}
	f, err := o.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm.Perm())
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (o *osFS) Stat(name string) (Info, error) {
	if err := check("stat", name, true); err != nil {
		return Info{}, err
	}
	info, err := o.root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

func (o *osFS) ReadDir(name string) ([]string, error) { return o.readDir(name, -1) }

func (o *osFS) ReadDirBatch(name string, n int) ([]string, error) { return o.readDir(name, max(n, 1)) }

func (o *osFS) readDir(name string, n int) ([]string, error) {
	if err := check("readdir", name, true); err != nil {
		return nil, err
	}
	f, err := o.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return names, nil
}

func (o *osFS) Mkdir(name string, perm fs.FileMode) error {
	if err := check("mkdir", name, false); err != nil {
		return err
	}
	return o.root.Mkdir(name, perm.Perm())
}

func (o *osFS) MkdirAll(name string, perm fs.FileMode) error {
	if err := check("mkdir", name, true); err != nil {
		return err
	}
	return o.root.MkdirAll(name, perm.Perm())
}

func (o *osFS) Link(oldname, newname string) error {
	if err := check2("link", oldname, newname); err != nil {
		return err
	}
	return o.root.Link(oldname, newname)
}

func (o *osFS) Rename(oldname, newname string) error {
	if err := check2("rename", oldname, newname); err != nil {
		return err
	}
	return o.root.Rename(oldname, newname)
}

func (o *osFS) RenameNew(oldname, newname string) error {
	return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: errors.ErrUnsupported}
}

func (o *osFS) RenameDir(oldname, newname string) error {
	return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: errors.ErrUnsupported}
}

func (o *osFS) Remove(name string) error {
	if err := check("remove", name, false); err != nil {
		return err
	}
	return o.root.Remove(name)
}

func (o *osFS) RemoveAll(name string) error {
	if err := check("removeall", name, false); err != nil {
		return err
	}
	return o.root.RemoveAll(name)
}

func (o *osFS) Chmod(name string, perm fs.FileMode) error {
	if err := check("chmod", name, false); err != nil {
		return err
	}
	return o.root.Chmod(name, perm.Perm())
}

func (o *osFS) Chgrp(name string, gid uint32) error {
	return &fs.PathError{Op: "chgrp", Path: name, Err: errors.ErrUnsupported}
}

func (o *osFS) SyncDir(name string) error { return check("sync", name, true) }

func (o *osFS) TryLock(name string) (io.Closer, error) {
	return nil, &fs.PathError{Op: "lock", Path: name, Err: errors.ErrUnsupported}
}

func (o *osFS) Sub(name string) (FS, error) {
	if err := check("open", name, true); err != nil {
		return nil, err
	}
	root, err := o.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &osFS{root}, nil
}

func (o *osFS) Close() error { return o.root.Close() }

type osFile struct{ *os.File }

func (f osFile) Stat() (Info, error) {
	info, err := f.File.Stat()
	if err != nil {
		return Info{}, err
	}
	return infoOf(info), nil
}

func infoOf(info fs.FileInfo) Info {
	return Info{Name: info.Name(), Size: info.Size(), Mode: info.Mode(), ModTime: info.ModTime(), ChangeTime: info.ModTime()}
}
