//go:build !unix

package wasmvfs

import "path/filepath"

// resolve makes an absolute path of one of which something is missing.
func resolve(name string) (string, error) { return filepath.Abs(name) }
