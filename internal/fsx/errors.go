package fsx

import "errors"

// ErrLocked reports that somebody else holds a lock.
var ErrLocked = errors.New("fsx: locked")

// ErrIrregular reports that a name which should be a regular file is something
// else: a symbolic link, a pipe, a device, a directory.
var ErrIrregular = errors.New("fsx: not a regular file")

// ErrCrashed reports that the process is supposed to be dead: see [CrashAt].
var ErrCrashed = errors.New("fsx: crashed")
