package boule

import (
	"errors"

	"github.com/boule-db/boule/copier"
)

// Sentinels for callers' decisions; test with [errors.Is].
var (
	// ErrNoTarget reports an operation that needs a store, and a configuration
	// without one.
	ErrNoTarget = errors.New("boule: no replication target is configured")

	// ErrWAL reports a database in WAL mode, which is used as always but not
	// replicated. PRAGMA journal_mode=DELETE changes that.
	ErrWAL = errors.New("boule: the database is in WAL mode, which is not replicated yet: PRAGMA journal_mode=DELETE makes it so")

	// ErrBehind reports that the store does not hold the database's present
	// state. What the store had before is untouched; trying again is safe.
	ErrBehind = errors.New("boule: replication is behind")

	// ErrFenced reports that another database, or the same one on another machine, has appended to the replica, in the
	// layout log. Nothing was written; [Replicator.Takeover] moves the replica.
	ErrFenced = copier.ErrFenced

	// ErrUnsupported reports a platform on which the spool's protocol cannot
	// hold. Databases work there, unreplicated; replicas can be read.
	ErrUnsupported = errors.New("boule: this platform can't replicate (linux and darwin can)")

	// ErrClosed reports use after Close.
	ErrClosed = errors.New("boule: closed")
)
