//go:build !unix

package wasmvfs_test

import "github.com/boule-db/boule/wasmvfs"

const syncsDirectories = false

func (r *recorder) system() wasmvfs.System { return nil }
