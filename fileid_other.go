//go:build !unix

package boule

// fileID is not known here, where nothing replicates.
func fileID(string) (dev, ino uint64, ok bool) { return 0, 0, false }
