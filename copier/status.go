package copier

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/boule-db/boule/spool"
)

// Requests counts calls of the stores by verb. A call that a store layer below retries is one, and so is a list of many pages.
type Requests struct {
	Put    int64 `json:"put"`
	Head   int64 `json:"head"`
	Get    int64 `json:"get"`
	List   int64 `json:"list"`
	Delete int64 `json:"delete"`
}

// A Status tells how the copying of one spool goes.
type Status struct {
	Known         bool      // the spool is in the copier's care
	Path          string    // of the database; empty before the first pass
	Target        string    // where to, without credentials; empty before the first upload
	LastSuccess   time.Time // when the store last acknowledged a manifest, or was seen to hold it
	LastSequence  uint64    // of the last manifest known to be in the store
	LastError     error     // nil once a pass succeeded
	ErrorSince    time.Time // when the first of the present run of failures happened
	Failures      int       // their number
	PendingChunks int       // chunk files seen waiting, less those uploaded since
	PendingBytes  int64     // their size at most: full chunks
	Requests      Requests
	BytesUp       int64
}

// Metrics are counts of a whole process.
type Metrics struct {
	Spools  int // in care
	Failing int // those whose last pass failed
	Running int // passes under way, flushes included
	Waiting int // spools that wait for a place among the workers

	Passes, Failures, Panics, Desyncs int64
	Chunks, ChunksSkipped, Manifests  int64 // uploaded; found to be there already; uploaded
	BytesUp                           int64
	Requests                          Requests
}

// counters are kept for each spool and for the process.
type counters struct {
	passes, failures, panics, desyncs atomic.Int64
	chunks, skipped, manifests, bytes atomic.Int64
	put, head, get, list, del         atomic.Int64
	down                              atomic.Int64 // bytes that were read
	pending                           atomic.Int64
}

func (n *counters) requests() Requests {
	return Requests{Put: n.put.Load(), Head: n.head.Load(), Get: n.get.Load(), List: n.list.Load(), Delete: n.del.Load()}
}

// Status reports on one spool from memory; it touches neither disk nor network.
func (c *Copier) Status(key spool.Key) Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries := c.entries(key)
	if len(entries) == 0 {
		return Status{}
	}
	e := entries[0]
	if i := slices.IndexFunc(entries, func(e *entry) bool { return e.status.LastError != nil }); i >= 0 {
		e = entries[i]
	}
	st := e.status
	st.Known = true
	st.Requests = e.counts.requests()
	st.BytesUp = e.counts.bytes.Load()
	st.PendingChunks = int(e.counts.pending.Load())
	st.PendingBytes = int64(st.PendingChunks) * chunkSize
	return st
}

// Metrics returns the counts of the process so far.
func (c *Copier) Metrics() Metrics {
	n := &c.counts
	m := Metrics{
		Passes: n.passes.Load(), Failures: n.failures.Load(), Panics: n.panics.Load(), Desyncs: n.desyncs.Load(),
		Chunks: n.chunks.Load(), ChunksSkipped: n.skipped.Load(), Manifests: n.manifests.Load(),
		BytesUp: n.bytes.Load(), Requests: n.requests(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m.Spools, m.Running = len(c.order), len(c.active)
	for _, e := range c.order {
		if e.status.LastError != nil {
			m.Failing++
		}
		if e.state == waiting {
			m.Waiting++
		}
	}
	return m
}
