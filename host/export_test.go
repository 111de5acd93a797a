package host

import (
	"io/fs"
	"os"
)

// Reseal writes the checksum of an entry, whatever it holds.
func Reseal(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	sum, err := checksum(path, fs.FileInfoToDirEntry(info))
	if err != nil {
		return err
	}
	return writeFile(path+sumSuffix, sum)
}
