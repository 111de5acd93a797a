// Package wasmvfs holds the virtual file systems that SQLite calls: one that
// replicates what is written through it, and one that reads replicas.
package wasmvfs
