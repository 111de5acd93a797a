// Package instance tells which boot of which machine this is, and which process.
// Spool directories carry the boot, names of files in them the process, and
// manifests the host name. The package reads; it never writes.
package instance
