package remotelog

import (
	"errors"
	"fmt"
)

// Errors of this package.
var (
	// ErrCorrupt is wrapped by the errors of everything that is not what a writer of this format
	// made, and by those of values that break a rule of the format.
	ErrCorrupt = errors.New("remotelog: corrupt")
	// ErrVersion reports something that was written by a version that this program does not know.
	ErrVersion = errors.New("remotelog: unknown format version")
	// ErrShort reports that the bytes at hand end before the header of an entry does.
	ErrShort = errors.New("remotelog: header goes on")
	// ErrTooLarge reports an entry whose header would have more than MaxHeader bytes: the blocks
	// with the most overrides have to be stored anew.
	ErrTooLarge = errors.New("remotelog: header too large")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrCorrupt, fmt.Errorf(format, args...))
}
