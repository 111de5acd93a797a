//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

// Walking makes fsys resolve names element by element, as it does where openat2
// is missing.
func Walking(fsys FS) FS {
	fsys.(*osFS).inKernel = false
	return fsys
}
