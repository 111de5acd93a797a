package fsx

import "io/fs"

// Replace and CreateTemp with an FS that the test can make fail.
var ReplaceIn = replace

func CreateTempIn(dir FS, name string, perm fs.FileMode) (*TempFile, error) {
	return createTemp(dir, name, perm)
}
