package remotelog

import "errors"

// ErrCorrupt is wrapped by the errors of everything that is not what a writer made.
var ErrCorrupt = errors.New("remotelog: corrupt")

// ErrVersion says that something was written by a version that this one does not know.
var ErrVersion = errors.New("remotelog: unknown format version")

// ErrShort says that the bytes at hand end before the header of an entry does.
var ErrShort = errors.New("remotelog: header goes on")
