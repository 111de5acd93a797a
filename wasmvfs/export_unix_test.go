//go:build unix

package wasmvfs

// Permissions are what a System is about.
type Permissions = permissions
