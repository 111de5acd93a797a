//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

func (o *osFS) Remove(name string) error {
	return o.one("remove", name, removeAt)
}

// removeAt removes a file or an empty directory.
func removeAt(dirfd int, base string) error {
	err := unix.Unlinkat(dirfd, base, 0)
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
		return err
	}
	derr := unix.Unlinkat(dirfd, base, unix.AT_REMOVEDIR)
	if errors.Is(derr, unix.ENOTDIR) {
		return err
	}
	return derr
}

func (o *osFS) RemoveAll(name string) error {
	err := o.one("removeall", name, removeAllAt)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeAllAt removes a file or a directory with its content. It goes round
// again, within reason, if somebody puts new files in meanwhile.
func removeAllAt(dirfd int, base string) error {
	const rounds = 100
	for round := 0; ; round++ {
		err := removeAt(dirfd, base)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !isNotEmpty(err) || round == rounds {
			return err
		}
		if err := emptyDir(dirfd, base); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
}

func isNotEmpty(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)
}

func emptyDir(dirfd int, base string) error {
	fd, err := unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	for {
		names, err := f.Readdirnames(256)
		for _, name := range names {
			if err := removeAllAt(fd, name); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return bare(err)
		}
	}
}
