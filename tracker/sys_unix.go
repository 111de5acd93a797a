//go:build unix

package tracker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// fileInfo is what identifies and dates an open file.
type fileInfo struct {
	dev, ino uint64
	changed  time.Time
}

func changeTime(st *unix.Stat_t) time.Time { return time.Unix(st.Ctim.Unix()).UTC() }

func statFile(fd uintptr) (fileInfo, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(fd), &st) }); err != nil {
		return fileInfo{}, fmt.Errorf("stat database: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileInfo{}, errors.New("stat database: not a regular file")
	}
	return fileInfo{dev: uint64(st.Dev), ino: uint64(st.Ino), changed: changeTime(&st)}, nil
}

// identify returns the identity of what has the path now.
func identify(path string) (fileInfo, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Lstat(path, &st) }); err != nil {
		return fileInfo{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return fileInfo{dev: uint64(st.Dev), ino: uint64(st.Ino), changed: changeTime(&st)}, nil
}

// readStart reads the start of a file, without the cost of an os.File: this is done at each
// commit. The error is fs.ErrNotExist when there is no file.
func readStart(path string, p []byte) (int, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var n int
	err = retry(func() (err error) {
		n, err = unix.Pread(fd, p, 0)
		return err
	})
	if err != nil {
		return 0, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
