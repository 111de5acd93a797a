//go:build unix

package spool

import "golang.org/x/sys/unix"

// identify returns the device and inode of what has the path now.
func identify(path string) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, 0, err
	}
	return uint64(st.Dev), uint64(st.Ino), nil
}
