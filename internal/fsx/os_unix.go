//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// SupportsRenameDir says whether RenameDir and TryLock work on this platform.
const SupportsRenameDir = true

// osFS is a directory held open.
type osFS struct {
	dir string // for messages
	// inKernel says that openat2 works here.
	inKernel bool

	mu sync.RWMutex // held for reading during every use of fd
	fd int          // -1 once closed
}

var _ FS = (*osFS)(nil)

// OS returns the FS of a directory of the operating system, which it holds open.
func OS(dir string) (FS, error) {
	fd, err := openDir(unix.AT_FDCWD, dir)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &osFS{dir: dir, inKernel: canOpenBeneath(fd), fd: fd}, nil
}

// Lstat describes what has a path of the operating system. It opens nothing, and does not follow
// the last element if that is a symbolic link.
func Lstat(path string) (Info, error) {
	var st unix.Stat_t
	if err := again(func() error { return unix.Lstat(path, &st) }); err != nil {
		return Info{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return infoOf(filepath.Base(path), &st), nil
}

func openDir(dirfd int, name string) (fd int, err error) {
	err = again(func() (err error) {
		fd, err = unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// again repeats a system call that a signal interrupted.
func again(call func() error) error {
	for {
		err := call()
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// closeFD closes a descriptor whose closing has nothing to report.
func closeFD(fd int) { _ = unix.Close(fd) }

// use runs f with the root's descriptor, which stays open meanwhile.
func (o *osFS) use(f func(fd int) error) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.fd < 0 {
		return fs.ErrClosed
	}
	return f(o.fd)
}

func (o *osFS) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(o.dir, name), Err: err}
}

func (o *osFS) failLink(op, oldname, newname string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: op, Old: filepath.Join(o.dir, oldname), New: filepath.Join(o.dir, newname), Err: err}
}

// beneath opens a checked name below dirfd, following no symbolic link.
func (o *osFS) beneath(dirfd int, name string, flags int, mode uint32) (int, error) {
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW
	if o.inKernel {
		return openBeneath(dirfd, name, flags, mode)
	}
	return walk(dirfd, name, flags, mode)
}

// walk is beneath, element by element.
func walk(dirfd int, name string, flags int, mode uint32) (fd int, err error) {
	dir, base := splitName(name)
	at := dirfd
	for dir != "" {
		var first string
		first, dir = cutFirst(dir)
		var next int
		err := again(func() (err error) {
			next, err = unix.Openat(at, first, passFlags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			return err
		})
		if at != dirfd {
			closeFD(at)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	err = again(func() (err error) {
		fd, err = unix.Openat(at, base, flags, mode)
		return err
	})
	if at != dirfd {
		closeFD(at)
	}
	if err != nil {
		return -1, err
	}
	return fd, nil
}

func cutFirst(name string) (first, rest string) {
	for i := range len(name) {
		if name[i] == '/' {
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}

// in runs f with the directory that holds a checked name, and its last element.
func (o *osFS) in(fd int, name string, f func(dirfd int, base string) error) error {
	dir, base := splitName(name)
	if dir == "" {
		return again(func() error { return f(fd, base) })
	}
	parent, err := o.beneath(fd, dir, passFlags|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer closeFD(parent)
	return again(func() error { return f(parent, base) })
}

// one runs f, an operation on one name, and wraps its error.
func (o *osFS) one(op, name string, f func(dirfd int, base string) error) error {
	err := checkName(name, false)
	if err == nil {
		err = o.use(func(fd int) error { return o.in(fd, name, f) })
	}
	return o.fail(op, name, err)
}

// two runs f, an operation on two names, and wraps its error.
func (o *osFS) two(op, oldname, newname string, f func(olddir int, oldbase string, newdir int, newbase string) error) error {
	err := errors.Join(checkName(oldname, false), checkName(newname, false))
	if err != nil {
		return o.failLink(op, oldname, newname, syscall.EINVAL)
	}
	olddir, _ := splitName(oldname)
	newdir, newbase := splitName(newname)
	err = o.use(func(fd int) error {
		return o.in(fd, oldname, func(from int, oldbase string) error {
			if olddir == newdir {
				return f(from, oldbase, from, newbase)
			}
			return o.in(fd, newname, func(to int, newbase string) error {
				return f(from, oldbase, to, newbase)
			})
		})
	})
	return o.failLink(op, oldname, newname, err)
}

// open opens a name, which may be "." for directories.
func (o *osFS) open(name string, flags int, mode uint32) (fd int, err error) {
	if err := checkName(name, flags&unix.O_DIRECTORY != 0); err != nil {
		return -1, err
	}
	err = o.use(func(root int) (err error) {
		fd, err = o.beneath(root, name, flags, mode)
		return err
	})
	return fd, err
}

func (o *osFS) Stat(name string) (Info, error) {
	var st unix.Stat_t
	var err error
	if name == "." {
		err = o.use(func(fd int) error { return again(func() error { return unix.Fstat(fd, &st) }) })
		if err == nil && st.Nlink == 0 {
			err = unix.ENOENT // deleted
		}
		err = o.fail("stat", name, err)
	} else {
		err = o.one("stat", name, func(dirfd int, base string) error {
			return unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
		})
	}
	if err != nil {
		return Info{}, err
	}
	_, base := splitName(name)
	return infoOf(base, &st), nil
}

func (o *osFS) ReadDir(name string) ([]string, error) { return o.readDir(name, -1) }

func (o *osFS) ReadDirBatch(name string, n int) ([]string, error) { return o.readDir(name, max(n, 1)) }

func (o *osFS) readDir(name string, n int) ([]string, error) {
	fd, err := o.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, o.fail("readdir", name, err)
	}
	f := os.NewFile(uintptr(fd), filepath.Join(o.dir, name))
	defer f.Close()
	names, err := f.Readdirnames(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, o.fail("readdir", name, bare(err))
	}
	return names, nil
}

// bare strips the wrapping of package os, which fail puts on again.
func bare(err error) error {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func (o *osFS) Mkdir(name string, perm fs.FileMode) error {
	return o.one("mkdir", name, func(dirfd int, base string) error {
		return unix.Mkdirat(dirfd, base, modeBits(perm))
	})
}

func (o *osFS) MkdirAll(name string, perm fs.FileMode) error {
	if name == "." {
		_, err := o.Stat(name)
		return err
	}
	err := o.Mkdir(name, perm)
	if errors.Is(err, fs.ErrNotExist) {
		dir, _ := splitName(name)
		if dir == "" {
			return err // the root is gone
		}
		if err := o.MkdirAll(dir, perm); err != nil {
			return err
		}
		err = o.Mkdir(name, perm)
	}
	if errors.Is(err, fs.ErrExist) {
		info, serr := o.Stat(name)
		switch {
		case serr != nil:
			return serr
		case !info.IsDir():
			return o.fail("mkdir", name, unix.ENOTDIR)
		}
		return nil
	}
	return err
}

func (o *osFS) Link(oldname, newname string) error {
	return o.two("link", oldname, newname, func(olddir int, oldbase string, newdir int, newbase string) error {
		return unix.Linkat(olddir, oldbase, newdir, newbase, 0)
	})
}

func (o *osFS) Rename(oldname, newname string) error {
	return o.two("rename", oldname, newname, unix.Renameat)
}

func (o *osFS) RenameNew(oldname, newname string) error {
	return o.two("rename", oldname, newname, renameNew)
}

func (o *osFS) RenameDir(oldname, newname string) error {
	return o.two("rename", oldname, newname, func(olddir int, oldbase string, newdir int, newbase string) error {
		// The slash makes it an error if oldname is not a directory.
		return unix.Renameat(olddir, oldbase+"/", newdir, newbase)
	})
}

func (o *osFS) Chmod(name string, perm fs.FileMode) error {
	fd, err := o.open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		err = again(func() error { return unix.Fchmod(fd, modeBits(perm)) })
		closeFD(fd)
	}
	return o.fail("chmod", name, err)
}

func (o *osFS) Chgrp(name string, gid uint32) error {
	fd, err := o.open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		err = again(func() error { return unix.Fchown(fd, -1, int(gid)) })
		closeFD(fd)
	}
	return o.fail("chgrp", name, err)
}

func (o *osFS) SyncDir(name string) error {
	fd, err := o.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		err = syncDirFD(fd)
		closeFD(fd)
	}
	return o.fail("sync", name, err)
}

func (o *osFS) Sub(name string) (FS, error) {
	fd, err := o.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, o.fail("open", name, err)
	}
	return &osFS{dir: filepath.Join(o.dir, name), inKernel: o.inKernel, fd: fd}, nil
}

func (o *osFS) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fd < 0 {
		return o.fail("close", "", fs.ErrClosed)
	}
	fd := o.fd
	o.fd = -1
	return o.fail("close", "", unix.Close(fd))
}
