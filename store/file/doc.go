// Package file is a store in a directory.
//
// It is safe for any number of processes at once, and against crashes: objects
// are written to a temporary file, synced, and moved into place; the directory
// is synced too before a Put returns. Reads take no locks and create nothing;
// the directory itself comes into being with the first Put, with mode 0700.
// What is created in it has the directory's own permissions (minus execution,
// for files), so a store for several users is a directory made for them.
//
// # Layout
//
// An object is a file whose path is its key, and segments stay as they are:
// chunks/0123456789abcdef%2F0123456789abcdef is just that below the directory,
// and such a tree may be copied to a bucket with any tool. What a file system
// can't have in names is written with a tilde:
//
//	~7e             a byte in hex: the tilde itself, control characters, and what "." and ".." consist of
//	~_              an empty segment: "a//b", "/a", "a/"
//	NAME~o          the object NAME, when there is a directory NAME too
//	PIECE~+/~-REST  a segment of more than 240 bytes, in pieces of 240
//
// A directory on a file system that does not tell names in upper and lower case
// apart has the file ~fold in it from its creation. Upper-case letters (but not
// those of escapes such as %2F) and everything outside ASCII, and what Windows
// does not like, are then written in hex as well.
//
// Next to the objects are ~tmp, for temporary files (those that crashed
// processes left are removed after an hour), and ~lock, for lock files.
//
// # ETag and ModTime
//
// The ETag is made of the file's modification time in nanoseconds, its size,
// and its inode. A Put sets the time explicitly, to the full resolution of the
// clock, so that an inode that is used again never has an ETag again. A Touch
// changes the ETag, without a change of contents.
package file
