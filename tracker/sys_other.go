//go:build !unix

package tracker

import (
	"errors"
	"io"
	"os"
	"time"
)

// fileInfo is what identifies and dates an open file.
type fileInfo struct {
	dev, ino uint64
	changed  time.Time
}

func statFile(uintptr) (fileInfo, error) { return fileInfo{}, errors.ErrUnsupported }

func identify(string) (fileInfo, error) { return fileInfo{}, errors.ErrUnsupported }

func readStart(path string, p []byte) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := io.ReadFull(f, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
