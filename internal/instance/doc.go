// Package instance tells which boot of which machine, and which process, this
// is. Spool directories carry the boot, names of files in them the process, and
// manifests the host name. It reads; it never writes.
package instance
