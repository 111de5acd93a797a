package tracker

// A Tracker follows one connection to a database. It is not safe for concurrent use.
type Tracker struct{}

// LockedExclusive says that EXCLUSIVE was just obtained: the id of the database is noted.
func (t *Tracker) LockedExclusive() { panic("todo") }

// WillWrite says that n bytes at off are about to be written to the file.
func (t *Tracker) WillWrite(off int64, n int) { panic("todo") }

// WillTruncate says that the size of the file is about to change.
func (t *Tracker) WillTruncate(oldSize, newSize int64) { panic("todo") }

// NeedsSnapshot reports whether Snapshot would do anything. It is cheap.
func (t *Tracker) NeedsSnapshot() bool { panic("todo") }

// Snapshot stages the database for every target that needs it.
func (t *Tracker) Snapshot(held Held) { panic("todo") }

// Current reads what is staged for each target and compares it with the database. The
// connection must hold at least SHARED.
func (t *Tracker) Current() ([]StagedInfo, error) { panic("todo") }

// Untracked returns why nothing is staged for this connection; nil when it is.
func (t *Tracker) Untracked() error { panic("todo") }

// Close ends the tracking of the connection.
func (t *Tracker) Close() { panic("todo") }
