//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// A fileID is the same for all links of a file.
type fileID struct{ dev, ino uint64 }

func idOf(fi fs.FileInfo) fileID {
	st := fi.Sys().(*syscall.Stat_t)
	return fileID{uint64(st.Dev), uint64(st.Ino)}
}

// allocated is what a file takes on its disk.
func allocated(fi fs.FileInfo) int64 { return int64(fi.Sys().(*syscall.Stat_t).Blocks) * 512 }
