package copier

import (
	"time"

	"github.com/boule-db/boule/spool"
)

// Requests counts calls of the stores by verb. A call that a store layer below retries is one.
type Requests struct{ Put, Get, Head, List, Delete, Touch int64 }

// A Status tells how the copying of one spool goes.
type Status struct {
	Known         bool      // the spool is in the copier's care
	Path          string    // of the database; empty before the first pass
	Target        string    // where to, without credentials; empty before the first pass
	LastSuccess   time.Time // when the store last acknowledged a manifest, or was found to be current
	LastSequence  uint64    // of the last manifest known to be in the store
	LastError     error     // nil once a pass succeeded
	ErrorSince    time.Time // first of the present run of failures
	Failures      int       // their number
	PendingChunks int       // chunk files seen waiting at the last look
	PendingBytes  int64     // their size; a full chunk where it is not known
	Requests      Requests
	BytesUp       int64
}

// Metrics are counts of a whole process.
type Metrics struct {
	Spools, Behind, Running, Queued                           int
	Passes, Failures, Panics, Desyncs                         int64
	ChunksUploaded, ChunksSkipped, ManifestsUploaded, BytesUp int64
	Requests                                                  Requests
}

// Status reports on one spool from memory; it touches neither disk nor network.
func (c *Copier) Status(key spool.Key) Status { return Status{} }

// Metrics returns the counts of the process so far.
func (c *Copier) Metrics() Metrics { return Metrics{} }
