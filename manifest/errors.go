package manifest

import (
	"errors"
	"fmt"
)

// Errors of this package.
var (
	// ErrCorrupt reports bytes that no writer of this format makes, or a
	// Manifest value that breaks a rule of the format.
	ErrCorrupt = errors.New("manifest: corrupt")
	// ErrVersion reports a manifest of a major version that this program does not read.
	ErrVersion = errors.New("manifest: unknown format version")
	// ErrTooLarge reports a database of more than MaxSize bytes.
	ErrTooLarge = errors.New("manifest: database too large")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrCorrupt, fmt.Errorf(format, args...))
}
