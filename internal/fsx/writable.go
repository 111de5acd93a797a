//go:build linux || darwin

package fsx

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// CheckWritable says why the present user can't make files in a directory of the operating system: no
// permission, a filesystem that is read-only or full. It changes nothing, and nil is no promise.
func CheckWritable(dir string) error {
	err := again(func() error { return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS) })
	if err == nil {
		var st unix.Statfs_t
		err = again(func() error { return unix.Statfs(dir, &st) })
		if err == nil && st.Blocks > 0 && st.Bavail == 0 {
			err = unix.ENOSPC
		}
	}
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "write", Path: dir, Err: err}
}
