//go:build !unix

package wasmvfs_test

const syncsDirectories = false
