package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mount makes dir a file system in memory of so many bytes.
func mount(dir string, size int64) error {
	return unix.Mount("bench", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
}

// unmount takes it away, also when something is open in it.
func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }
