package fsx

import (
	"errors"

	"golang.org/x/sys/unix"
)

// passFlags opens a directory that is only passed through.
const passFlags = unix.O_RDONLY

func canOpenBeneath(int) bool { return false }

func openBeneath(int, string, int, uint32) (int, error) { return -1, errors.ErrUnsupported }

func renameNew(olddir int, oldbase string, newdir int, newbase string) error {
	return unix.RenameatxNp(olddir, oldbase, newdir, newbase, unix.RENAME_EXCL)
}

// syncFD goes down to the medium, where the filesystem can do that; fsync(2) of
// this system does not.
func syncFD(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY) {
		return unix.Fsync(fd)
	}
	return err
}

func syncDirFD(fd int) error { return again(func() error { return syncFD(fd) }) }
