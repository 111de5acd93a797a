// Package fsx holds the few file operations that Boule makes, so that every
// one of them can be made to fail in a test and none can leave its root.
//
// # Two verbs, never mixed
//
// [Publish] makes a file appear in a tree that carries the boot's identity and
// is ignored after a reboot: whole, without any sync. [Replace] and
// [TempFile] make one appear anywhere else: synced, renamed, and the directory
// synced too. No other code of Boule creates files.
//
// # How names are kept inside
//
// The tree of a spool may be writable by several users, so a name must not lead
// outside even if somebody planted a symbolic link. Names are checked (no "..",
// no absolute name, no empty element), and no symbolic link below the root is
// ever followed. The root itself is opened once, through whatever links its
// path has, and held.
//
// On Linux openat2(2) walks a name inside the kernel with RESOLVE_BENEATH and
// RESOLVE_NO_SYMLINKS: one call to open or create a file, and one more (and a
// close) for the directory in which link, rename or unlink then take a name of a
// single element. Where openat2 is missing or forbidden, and on other systems, the
// elements are opened one by one without following links.
//
// That was chosen by measurement. Publishing a 4 KiB file from staging/scratch to
// staging/chunks on ext4 (Linux 6.18, medians) took 32 microseconds with the bare
// calls that follow links, 34.5 this way, and 53 with os.Root, which walks names
// element by element in user space; a Stat took 1.2, 2.6 and 5.8. Setting the mode
// explicitly (because of the umask) and renameat2 in place of link and unlink made no
// difference that could be measured.
//
// Also, os.Rename and os.Root.Rename refuse to rename a directory onto an empty
// one, which the spool protocol is built on; RenameDir is rename(2) proper.
//
// # For tests
//
// [Mem] is an FS in memory that can lose its power: it says which trees may be found
// then. [Faulty] makes any FS fail, or its process crash, at a chosen call; package
// faultloop does that for one call after the other. One suite of tests runs over all of
// them, and random operations are compared between Mem and the system.
//
// On systems that are not Unix, there is no Mem, and [OS] sits on os.Root; RenameDir and
// TryLock fail there with errors.ErrUnsupported.
package fsx
