//go:build unix

package wasmvfs

// What a System is about.
type (
	NewFile     = newFile
	Permissions = permissions
)
