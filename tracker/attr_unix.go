//go:build linux || darwin

package tracker

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// getAttr returns an attribute of at most limit bytes, empty when there is none; the error is
// errNoAttr when the filesystem has none at all.
func getAttr(fd uintptr, name string, limit int) ([]byte, error) {
	buf := make([]byte, limit)
	var n int
	err := retry(func() (err error) {
		n, err = unix.Fgetxattr(int(fd), name, buf)
		return err
	})
	switch {
	case err == nil:
		return buf[:n], nil
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EOPNOTSUPP):
		return nil, errNoAttr
	case errors.Is(err, errNoData):
		return nil, nil
	}
	return nil, fmt.Errorf("read %s: %w", name, err)
}

// setAttr replaces an attribute.
func setAttr(fd uintptr, name string, value []byte) error {
	err := retry(func() error { return unix.Fsetxattr(int(fd), name, value, 0) })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EOPNOTSUPP):
		return errNoAttr
	}
	return fmt.Errorf("set %s: %w", name, err)
}

// removeAttr removes an attribute, if there is one.
func removeAttr(fd uintptr, name string) error {
	err := retry(func() error { return unix.Fremovexattr(int(fd), name) })
	if err == nil || errors.Is(err, errNoData) {
		return nil
	}
	return fmt.Errorf("remove %s: %w", name, err)
}
