package logrep

import (
	"errors"
	"fmt"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// Errors of this package. Damaged data are reported with [remotelog.ErrCorrupt], entries of a newer
// format with [remotelog.ErrVersion], and objects that are not there with store.ErrNotExist.
var (
	// ErrNotFound reports that there is no log of that name, or no entry of that number or time. It
	// comes together with store.ErrNotExist.
	ErrNotFound = errors.New("logrep: no such entry")
)

// A Fault is an error about one object.
type Fault struct {
	Object string // its key
	Err    error

	frame remotelog.Place // in it, if the error is about one
}

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %w", remotelog.ErrCorrupt, fmt.Errorf(format, args...))
}

// isFault says whether an error is about what is in the stores, rather than about asking them.
func isFault(err error) bool {
	return errors.Is(err, remotelog.ErrCorrupt) || errors.Is(err, remotelog.ErrVersion) || errors.Is(err, store.ErrNotExist)
}
