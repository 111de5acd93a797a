//go:build linux || darwin

package doctor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SQLite's bytes for locks.
const (
	pendingByte = 0x40000000
	sharedFirst = pendingByte + 2
	sharedSize  = 510
)

// lockShared takes the lock of a reader, without waiting. The error is errBusy if a writer has
// the database, or waits for it.
func lockShared(f *os.File) (unlock func(), err error) {
	set := func(kind int16, start, length int64) error {
		err := unix.FcntlFlock(f.Fd(), setLock, &unix.Flock_t{Type: kind, Whence: 0, Start: start, Len: length})
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return errBusy
		}
		return err
	}
	if err := set(unix.F_RDLCK, pendingByte, 1); err != nil {
		return nil, err
	}
	err = set(unix.F_RDLCK, sharedFirst, sharedSize)
	_ = set(unix.F_UNLCK, pendingByte, 1)
	if err != nil {
		return nil, err
	}
	return func() { _ = set(unix.F_UNLCK, sharedFirst, sharedSize) }, nil
}

func identify(f *os.File) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, err
	}
	return uint64(st.Dev), uint64(st.Ino), nil
}
