package tracker

import "errors"

var (
	// ErrUntracked reports a database that is not tracked, with the reason.
	ErrUntracked = errors.New("tracker: not tracked")
	// ErrWAL reports a database in WAL mode, of which no snapshot is taken.
	ErrWAL = errors.New("tracker: database is in WAL mode")
	// ErrEmpty reports a database without any content, of which there is no snapshot.
	ErrEmpty = errors.New("tracker: database is empty")
	// ErrPanic reports a bug caught while a snapshot was taken.
	ErrPanic = errors.New("tracker: panic")
	// ErrChanged reports that a database changed while it was locked against changes: its
	// filesystem's locks do not work.
	ErrChanged = errors.New("tracker: database changed under lock")
	// ErrHotJournal reports that the last transaction failed and waits to be rolled back, which
	// the next connection that reads does.
	ErrHotJournal = errors.New("tracker: hot journal")
	// ErrYield reports a snapshot that gave way to a writer, to be repeated.
	ErrYield = errors.New("tracker: gave way to a writer")

	// errIndex reports index blocks of the staged manifest that cannot be had.
	errIndex = errors.New("tracker: index of the staged snapshot is not usable")
)
