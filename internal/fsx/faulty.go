package fsx

import (
	"io"
	"io/fs"
	"path"
)

// An Op names an operation of an FS to the function given to [Faulty].
type Op string

// The operations of an FS, and those of the files that it opens.
const (
	OpReadFile  Op = "readfile"
	OpOpen      Op = "open"
	OpReadAt    Op = "readat" // of a File or a WFile
	OpCreate    Op = "create"
	OpWrite     Op = "write" // of a WFile, also WriteAt
	OpFileChmod Op = "fchmod"
	OpSync      Op = "sync"
	OpTruncate  Op = "truncate"
	OpClose     Op = "close"
	OpStat      Op = "stat"
	OpReadDir   Op = "readdir"
	OpMkdir     Op = "mkdir"
	OpMkdirAll  Op = "mkdirall"
	OpLink      Op = "link" // the name is the new one, here and below
	OpRename    Op = "rename"
	OpRenameNew Op = "renamenew"
	OpRenameDir Op = "renamedir"
	OpRemove    Op = "remove"
	OpRemoveAll Op = "removeall"
	OpChmod     Op = "chmod"
	OpChgrp     Op = "chgrp"
	OpSyncDir   Op = "syncdir"
	OpLock      Op = "lock"
	OpSub       Op = "sub"
)

type faulty struct {
	FS
	prefix string
	inject func(op Op, name string) error
}

var _ FS = (*faulty)(nil)

// Faulty returns fsys with every operation preceded by a call of inject, whose
// error the operation returns instead of happening. The name given to inject is
// relative to fsys, also for what is done through a Sub. An injected error of
// OpClose closes the file all the same; closing an FS or a lock is never
// injected into.
func Faulty(fsys FS, inject func(op Op, name string) error) FS {
	return &faulty{FS: fsys, inject: inject}
}

func (f *faulty) before(op Op, name string) error {
	return f.inject(op, path.Join(f.prefix, name))
}

func (f *faulty) ReadFile(name string) ([]byte, error) {
	if err := f.before(OpReadFile, name); err != nil {
		return nil, err
	}
	return f.FS.ReadFile(name)
}

func (f *faulty) Open(name string) (File, error) {
	if err := f.before(OpOpen, name); err != nil {
		return nil, err
	}
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f, name}, nil
}

func (f *faulty) Create(name string, perm fs.FileMode) (WFile, error) {
	if err := f.before(OpCreate, name); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, perm)
	if err != nil {
		return nil, err
	}
	return &faultyWFile{file, f, name}, nil
}

func (f *faulty) Stat(name string) (Info, error) {
	if err := f.before(OpStat, name); err != nil {
		return Info{}, err
	}
	return f.FS.Stat(name)
}

func (f *faulty) ReadDir(name string) ([]string, error) {
	if err := f.before(OpReadDir, name); err != nil {
		return nil, err
	}
	return f.FS.ReadDir(name)
}

func (f *faulty) ReadDirBatch(name string, n int) ([]string, error) {
	if err := f.before(OpReadDir, name); err != nil {
		return nil, err
	}
	return f.FS.ReadDirBatch(name, n)
}

func (f *faulty) Mkdir(name string, perm fs.FileMode) error {
	if err := f.before(OpMkdir, name); err != nil {
		return err
	}
	return f.FS.Mkdir(name, perm)
}

func (f *faulty) MkdirAll(name string, perm fs.FileMode) error {
	if err := f.before(OpMkdirAll, name); err != nil {
		return err
	}
	return f.FS.MkdirAll(name, perm)
}

func (f *faulty) Link(oldname, newname string) error {
	if err := f.before(OpLink, newname); err != nil {
		return err
	}
	return f.FS.Link(oldname, newname)
}

func (f *faulty) Rename(oldname, newname string) error {
	if err := f.before(OpRename, newname); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

func (f *faulty) RenameNew(oldname, newname string) error {
	if err := f.before(OpRenameNew, newname); err != nil {
		return err
	}
	return f.FS.RenameNew(oldname, newname)
}

func (f *faulty) RenameDir(oldname, newname string) error {
	if err := f.before(OpRenameDir, newname); err != nil {
		return err
	}
	return f.FS.RenameDir(oldname, newname)
}

func (f *faulty) Remove(name string) error {
	if err := f.before(OpRemove, name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *faulty) RemoveAll(name string) error {
	if err := f.before(OpRemoveAll, name); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

func (f *faulty) Chmod(name string, perm fs.FileMode) error {
	if err := f.before(OpChmod, name); err != nil {
		return err
	}
	return f.FS.Chmod(name, perm)
}

func (f *faulty) Chgrp(name string, gid uint32) error {
	if err := f.before(OpChgrp, name); err != nil {
		return err
	}
	return f.FS.Chgrp(name, gid)
}

func (f *faulty) SyncDir(name string) error {
	if err := f.before(OpSyncDir, name); err != nil {
		return err
	}
	return f.FS.SyncDir(name)
}

func (f *faulty) TryLock(name string) (io.Closer, error) {
	if err := f.before(OpLock, name); err != nil {
		return nil, err
	}
	return f.FS.TryLock(name)
}

func (f *faulty) Sub(name string) (FS, error) {
	if err := f.before(OpSub, name); err != nil {
		return nil, err
	}
	sub, err := f.FS.Sub(name)
	if err != nil {
		return nil, err
	}
	return &faulty{FS: sub, prefix: path.Join(f.prefix, name), inject: f.inject}, nil
}

type faultyFile struct {
	File
	fs   *faulty
	name string
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.before(OpReadAt, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) Stat() (Info, error) {
	if err := f.fs.before(OpStat, f.name); err != nil {
		return Info{}, err
	}
	return f.File.Stat()
}

type faultyWFile struct {
	WFile
	fs   *faulty
	name string
}

func (f *faultyWFile) Write(p []byte) (int, error) {
	if err := f.fs.before(OpWrite, f.name); err != nil {
		return 0, err
	}
	return f.WFile.Write(p)
}

func (f *faultyWFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.before(OpWrite, f.name); err != nil {
		return 0, err
	}
	return f.WFile.WriteAt(p, off)
}

func (f *faultyWFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.before(OpReadAt, f.name); err != nil {
		return 0, err
	}
	return f.WFile.ReadAt(p, off)
}

func (f *faultyWFile) Truncate(size int64) error {
	if err := f.fs.before(OpTruncate, f.name); err != nil {
		return err
	}
	return f.WFile.Truncate(size)
}

func (f *faultyWFile) Chmod(perm fs.FileMode) error {
	if err := f.fs.before(OpFileChmod, f.name); err != nil {
		return err
	}
	return f.WFile.Chmod(perm)
}

func (f *faultyWFile) Sync() error {
	if err := f.fs.before(OpSync, f.name); err != nil {
		return err
	}
	return f.WFile.Sync()
}

func (f *faultyWFile) Close() error {
	err := f.fs.before(OpClose, f.name)
	if cerr := f.WFile.Close(); err == nil {
		err = cerr
	}
	return err
}
