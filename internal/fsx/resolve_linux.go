package fsx

import (
	"errors"

	"golang.org/x/sys/unix"
)

// passFlags opens a directory that is only passed through.
const passFlags = unix.O_PATH

// canOpenBeneath says whether openat2 works: old kernels lack it, and old
// container runtimes forbid what they do not know.
func canOpenBeneath(dirfd int) bool {
	fd, err := openBeneath(dirfd, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	closeFD(fd)
	return true
}

func openBeneath(dirfd int, name string, flags int, mode uint32) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   uint64(flags),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	err = again(func() (err error) {
		fd, err = unix.Openat2(dirfd, name, &how)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

func renameNew(olddir int, oldbase string, newdir int, newbase string) error {
	err := unix.Renameat2(olddir, oldbase, newdir, newbase, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) {
		return errors.ErrUnsupported // by the filesystem
	}
	return err
}

func syncFD(fd int) error { return unix.Fsync(fd) }

func syncDirFD(fd int) error {
	err := again(func() error { return unix.Fsync(fd) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil // some network filesystems cannot
	}
	return err
}
