package instance

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Born returns what tells the file with that inode number, at path, from others that have the same number: on other file systems, or
// after it was removed. That is when it was made (statx(2)). It is empty if another file is there, or the file system does not say.
func Born(path string, ino uint64) string {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_SYNC_AS_STAT, unix.STATX_INO|unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 || st.Ino != ino {
		return ""
	}
	return strconv.FormatInt(st.Btime.Sec, 10) + "." + strconv.FormatUint(uint64(st.Btime.Nsec), 10)
}
