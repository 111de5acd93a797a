// Package manifest owns the snapshot format: how a database is cut into chunks,
// how chunks and manifests are named and compressed, and how a manifest is
// encoded. FORMAT.md beside it is the specification. The package does no I/O.
package manifest
