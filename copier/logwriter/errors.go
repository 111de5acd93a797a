package logwriter

import (
	"errors"
	"fmt"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

var (
	// ErrFenced reports that somebody else appends to the replica. Nothing was appended. A *FencedError
	// says who.
	ErrFenced = errors.New("logwriter: the replica belongs to another writer")
	// ErrSuperseded reports a snapshot that is not newer than what the same owner appended last.
	ErrSuperseded = errors.New("logwriter: a newer snapshot was appended under this name")
	// ErrLost reports that the replica is not what was appended: its objects were removed, or replaced by older ones.
	ErrLost = errors.New("logwriter: the replica was lost")
	// ErrContended reports that other processes of the same owner were faster, again and again.
	ErrContended = errors.New("logwriter: others append at the same time")
)

// A FencedError is an ErrFenced with the entry of the other writer.
type FencedError struct {
	Entry    uint64
	Owner    remotelog.Owner
	Writer   string // who appended it, for people to read
	Appended time.Time
	Stranger bool // that is long ago, but by what they have, the snapshot is none of the same database
}

// Error describes the other writer on one line.
func (e *FencedError) Error() string { return fmt.Sprintf("%v: %s", ErrFenced, e.Reason()) }

// Reason describes the other writer.
func (e *FencedError) Reason() string {
	s := fmt.Sprintf("entry %d was appended by %s at %s", e.Entry, e.Writer, e.Appended.Format(time.RFC3339))
	if e.Stranger {
		s += ", and has nothing of this database"
	}
	return s
}

// Unwrap returns ErrFenced.
func (e *FencedError) Unwrap() error { return ErrFenced }

func fencedBy(e *remotelog.Entry) *FencedError {
	return &FencedError{Entry: e.Number, Owner: e.Owner, Writer: e.Writer, Appended: e.Appended}
}

// A MissingError reports a chunk of the snapshot that is neither in the replica nor at hand, or not
// intact. Only a full snapshot helps. Nothing was appended.
type MissingError struct {
	Chunk int // its number in the database
	Sum   manifest.Fingerprint
	Err   error
}

// Error names the chunk.
func (e *MissingError) Error() string {
	return fmt.Sprintf("logwriter: chunk %d, %v, is not at hand: %v", e.Chunk, e.Sum, e.Err)
}

// Unwrap returns why.
func (e *MissingError) Unwrap() error { return e.Err }
