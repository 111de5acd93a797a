//go:build !unix

package spool

import "errors"

// identify returns the device and inode of what has the path now.
func identify(path string) (dev, ino uint64, err error) { return 0, 0, errors.ErrUnsupported }
