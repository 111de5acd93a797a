//go:build unix

package host

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// SupportsPrivateCheck says whether this platform can tell a private directory
// from others.
const SupportsPrivateCheck = true

// nobody owns, in a user namespace, what belongs to users outside of it.
const nobody = 65534

func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// private returns an error if dir is not a directory of ours that is closed to
// everybody else. A symbolic link is not a directory.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("host: examine cache directory: %w", err)
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("host: %s is not a directory", dir)
	case owner(info) != os.Geteuid():
		return fmt.Errorf("host: cache directory %s belongs to user %d, not to %d", dir, owner(info), os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("host: cache directory %s has mode %#o: want 0700, since its content is executed", dir, info.Mode().Perm())
	}
	return nil
}

// privateFile returns an error if others could have written f.
func privateFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if owner(info) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s belongs to user %d and has mode %#o", info.Name(), owner(info), info.Mode().Perm())
	}
	return nil
}

// unreachable returns an error if others could put something else in the place
// of what is in dir, by renaming dir or one of its parents.
func unreachable(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("host: examine cache directory: %w", err)
	}
	var bad error
	for {
		info, err := os.Lstat(dir)
		if err != nil {
			return fmt.Errorf("host: examine cache directory: %w", err)
		}
		uid, perm := owner(info), info.Mode().Perm()
		switch {
		case uid == os.Geteuid() && perm&0o077 == 0:
			bad = nil // closed to others, with all that is below
		case uid != 0 && uid != os.Geteuid() && uid != nobody:
			bad = fmt.Errorf("host: cache directory lies in %s, which belongs to user %d", dir, uid)
		case perm&0o022 != 0 && info.Mode()&fs.ModeSticky == 0:
			bad = fmt.Errorf("host: cache directory lies in %s, which others may write (mode %#o)", dir, perm)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return bad
		}
		dir = parent
	}
}
