package replica

import (
	"errors"
	"strings"
)

// Errors of this package. Damaged data are reported with manifest.ErrCorrupt,
// and manifests of a newer format with manifest.ErrVersion.
var (
	// ErrNotFound reports that every source was asked and none has the manifest.
	ErrNotFound = errors.New("replica: no such manifest")
	// ErrMissing reports that every source was asked and none has a chunk, or an
	// index block, that the manifest names.
	ErrMissing = errors.New("replica: chunk is missing")
	// ErrNoSource reports that there is no store to ask.
	ErrNoSource = errors.New("replica: no store to read from")
	// ErrExists reports that the output exists already.
	ErrExists = errors.New("replica: output exists")
	// ErrStaleJournal reports a journal of another database beside the output.
	ErrStaleJournal = errors.New("replica: journal of another database beside the output")
	// ErrBadRef reports text that is not a reference to a manifest.
	ErrBadRef = errors.New("replica: bad reference")
)

// A sourceError is what one source answered.
type sourceError struct {
	source string
	err    error
}

func (e *sourceError) Error() string { return e.source + ": " + e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// sourceErrors are what all sources answered, on one line.
type sourceErrors []*sourceError

func (e sourceErrors) Error() string {
	parts := make([]string, len(e))
	for i, err := range e {
		parts[i] = err.Error()
	}
	return strings.Join(parts, "; ")
}

func (e sourceErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}
