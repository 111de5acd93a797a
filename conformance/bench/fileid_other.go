//go:build !unix

package main

import "io/fs"

// A fileID is the file's name where links can't be told from each other.
type fileID string

func idOf(fi fs.FileInfo) fileID { return fileID(fi.Name()) }

// allocated is what a file takes on its disk, which can't be told here.
func allocated(fs.FileInfo) int64 { return 0 }
