package instance

import "errors"

// ErrUnsupported reports that the platform does not tell boots apart.
var ErrUnsupported = errors.New("instance: no boot identity on this platform")

// An ID names one boot of one machine. Time, in Unix seconds, is for people: it
// may drift by a second or two within one boot. UUID alone identifies it.
type ID struct {
	Time int64
	UUID string
}

// String returns "<time>.<uuid>".
func (id ID) String() string { return "" }

// Parse is the inverse of ID.String.
func Parse(s string) (ID, error) { return ID{}, errors.New("instance: todo") }

// Boot returns the current boot.
func Boot() (ID, error) { return ID{}, ErrUnsupported }

// Hostname returns the machine's name.
func Hostname() string { return "" }

// Process returns "<pid>.<birth>", which no other process of this boot has.
func Process() string { return "" }

// Supported says whether the spool protocol can hold on this platform.
const Supported = true
