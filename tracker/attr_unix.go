//go:build linux || darwin

package tracker

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// getAttr returns the attribute, empty when there is none; the error is errNoAttr when the
// filesystem has none at all.
func getAttr(fd uintptr) ([]byte, error) {
	buf := make([]byte, maxAttr)
	var n int
	err := retry(func() (err error) {
		n, err = unix.Fgetxattr(int(fd), attrName, buf)
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
	return nil, fmt.Errorf("read version id: %w", err)
}

// setAttr replaces the attribute.
func setAttr(fd uintptr, value []byte) error {
	err := retry(func() error { return unix.Fsetxattr(int(fd), attrName, value, 0) })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EOPNOTSUPP):
		return errNoAttr
	}
	return fmt.Errorf("set version id: %w", err)
}
