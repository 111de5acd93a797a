package instance

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Errors of this package.
var (
	// ErrUnsupported reports that the platform does not tell one boot from another.
	ErrUnsupported = errors.New("instance: no boot identity on this platform")
	// ErrSyntax reports a string that is not an ID.
	ErrSyntax = errors.New("instance: malformed")
)

// An ID names one boot of one machine. Time, in Unix seconds, is for people to
// read: it follows the clock, so it may drift by a second or two within one boot.
// UUID alone identifies the boot.
type ID struct {
	Time int64
	UUID string // lower case, 8-4-4-4-12
}

// String returns "<time>.<uuid>".
func (id ID) String() string { return strconv.FormatInt(id.Time, 10) + "." + id.UUID }

// Parse is the inverse of [ID.String]; it fails with [ErrSyntax].
func Parse(s string) (ID, error) {
	secs, uuid, _ := strings.Cut(s, ".")
	t, err := strconv.ParseInt(secs, 10, 64)
	if err != nil || t < 0 || strconv.FormatInt(t, 10) != secs {
		return ID{}, fmt.Errorf("%w: no boot time in %q", ErrSyntax, s)
	}
	if !isUUID(uuid) {
		return ID{}, fmt.Errorf("%w: no boot UUID in %q", ErrSyntax, s)
	}
	return ID{Time: t, UUID: uuid}, nil
}

// isUUID says whether s is a UUID in lower case.
func isUUID(s string) bool {
	const shape = "00000000-0000-0000-0000-000000000000"
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case shape[i] == '-':
			if c != '-' {
				return false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// newID checks what the system said.
func newID(secs int64, uuid string) (ID, error) {
	uuid = strings.ToLower(strings.TrimSpace(uuid))
	if secs < 0 || !isUUID(uuid) {
		return ID{}, fmt.Errorf("%w: boot at %d with UUID %q", ErrSyntax, secs, uuid)
	}
	return ID{Time: secs, UUID: uuid}, nil
}
