//go:build freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"

	"golang.org/x/sys/unix"
)

// passFlags opens a directory that is only passed through.
const passFlags = unix.O_RDONLY

func canOpenBeneath(int) bool { return false }

func openBeneath(int, string, int, uint32) (int, error) { return -1, errors.ErrUnsupported }

func renameNew(int, string, int, string) error { return errors.ErrUnsupported }

func syncFD(fd int) error { return unix.Fsync(fd) }

func syncDirFD(fd int) error { return again(func() error { return unix.Fsync(fd) }) }
