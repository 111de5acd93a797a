//go:build !unix

package host

import (
	"fmt"
	"os"
)

// SupportsPrivateCheck says whether this platform can tell a private directory
// from others.
const SupportsPrivateCheck = false

func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("host: examine cache directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("host: %s is not a directory", dir)
	}
	return nil
}

func privateFile(*os.File) error { return nil }

func unreachable(string) error { return nil }
