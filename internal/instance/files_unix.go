//go:build unix

package instance

import "golang.org/x/sys/unix"

// OpenFiles is how many files this process may have open. Go has raised the soft limit to the hard one.
func OpenFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return manyFiles
	}
	return int(min(uint64(limit.Cur), manyFiles))
}
