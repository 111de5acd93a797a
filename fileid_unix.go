//go:build unix

package boule

import "golang.org/x/sys/unix"

// fileID returns what identifies the file that has the path now.
func fileID(path string) (dev, ino uint64, ok bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, false
	}
	return uint64(st.Dev), uint64(st.Ino), true
}
