package copier

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed reports a call after [Copier.Close].
	ErrClosed = errors.New("copier: closed")
	// ErrNothingStaged reports a flush of a spool that holds no snapshot to flush. Take one and
	// flush again.
	ErrNothingStaged = errors.New("copier: no snapshot is staged")
	// ErrDesync reports that the store lacks data that the spool takes to be there. Only a full
	// snapshot helps; [Options.Desync] was told.
	ErrDesync = errors.New("copier: store and spool disagree")
	// ErrSuperseded reports a staged snapshot older than one already uploaded under the same name,
	// as after the database file was replaced or the clock stepped back. It is not uploaded.
	ErrSuperseded = errors.New("copier: a newer snapshot was uploaded under this name")
	// ErrFenced reports that another spool, of another database or on another machine, replicates under the same name.
	// Nothing was uploaded. A takeover moves the name here.
	ErrFenced = errors.New("copier: the replica belongs to another writer")
	// ErrNoLog reports a takeover of a replica whose layout knows no owner.
	ErrNoLog = errors.New("copier: the layout of the target is not log: there is nothing to take over")
	// ErrBehind reports that a database has changes that its target does not hold yet.
	ErrBehind = errors.New("copier: target is behind")
	// ErrPanic reports a bug caught inside a pass.
	ErrPanic = errors.New("copier: panic in a pass")
)

// An Error says which database and which target an operation failed for.
type Error struct {
	Op     string // "flush", "close", "pass"
	Path   string // of the database
	Target string // where it is replicated to, without credentials
	Err    error
}

// Error describes the failure on one line.
func (e *Error) Error() string {
	return fmt.Sprintf("copier: %s %s to %s: %v", e.Op, e.Path, e.Target, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
