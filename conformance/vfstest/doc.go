// Package vfstest is the suite that every read-write VFS of Boule must pass. It
// looks at a VFS from both sides: through SQL, and through the file objects that
// SQLite holds; in one process and in several.
package vfstest
