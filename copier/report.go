package copier

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/boule-db/boule/spool"
)

// reportEvery is how much of its counting a process that is killed loses at most.
const reportEvery = 10 * time.Second

// A Report is what all processes together tell of the copying of one database to one target, since the machine started or
// for as long as the spool lasts. It is kept beside the taps and is as unimportant as what it tells: two processes that write it in
// the same moment lose counts of one of them, and what cannot be read is begun anew.
type Report struct {
	Since       time.Time `json:"counted_since"`
	Requests    Requests  `json:"requests"`
	BytesUp     int64     `json:"bytes_up"`   // of the objects that were put
	BytesDown   int64     `json:"bytes_down"` // of those that were read
	LastSuccess time.Time `json:"last_success,omitzero"`
	// Error is why the last pass failed; empty if it did not.
	Error      string    `json:"last_error,omitempty"`
	ErrorSince time.Time `json:"last_error_since,omitzero"`
}

// ReadReport returns the report on a spool. The error is fs.ErrNotExist if there is none.
func ReadReport(root *spool.Root, key spool.Key) (*Report, error) {
	data, err := root.Report(key)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// A reported is what a process has put into a report. It is guarded by the turn of the entry.
type reported struct {
	at       time.Time // zero: never
	requests Requests
	up, down int64
	failing  bool
}

// A reporting is what is to be reported of an entry.
type reporting struct {
	mu      sync.Mutex // guards what follows: requests tell of failures while others are made
	done    reported
	err     error
	success time.Time
}

// note takes note of how a pass ended.
func (n *reporting) note(out *outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !out.success.IsZero() {
		n.success = out.success
	}
	if !errors.Is(out.err, context.Canceled) { // ended early, which is nobody's failure
		n.err = out.err
	}
}

// trying takes note of a request that failed and is tried again, in a pass that has not ended.
func (n *reporting) trying(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.err = err
	}
}

// report adds to the report what happened since the last time, unless that is nothing or was done within after. Whether
// copying works is told at once. The caller has the turn, or makes a request for who has it.
func (c *Copier) report(e *entry, after time.Duration) {
	n := &e.reporting
	n.mu.Lock()
	defer n.mu.Unlock()
	now := reported{
		at: time.Now(), requests: e.counts.requests(), up: e.counts.bytes.Load(), down: e.counts.down.Load(), failing: n.err != nil,
	}
	same := now.requests == n.done.requests && now.up == n.done.up && now.down == n.done.down && now.failing == n.done.failing
	if same || now.failing == n.done.failing && now.at.Sub(n.done.at) < after {
		return
	}
	r, err := ReadReport(e.root, e.key)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.opts.Logger.Debug("report not read", "spool", e.key, "err", err)
		}
		r = &Report{Since: now.at.UTC()}
	}
	r.Requests.add(now.requests, n.done.requests)
	r.BytesUp += now.up - n.done.up
	r.BytesDown += now.down - n.done.down
	if n.success.After(r.LastSuccess) {
		r.LastSuccess = n.success.UTC()
	}
	switch {
	case n.err == nil:
		r.Error, r.ErrorSince = "", time.Time{}
	case r.ErrorSince.IsZero():
		r.ErrorSince = now.at.UTC()
		fallthrough
	default:
		r.Error = n.err.Error()
	}
	n.done = now
	data, err := json.Marshal(r)
	if err == nil {
		err = e.root.WriteReport(e.key, data)
	}
	if err != nil {
		c.opts.Logger.Debug("report not written", "spool", e.key, "err", err)
	}
}

// add adds what came from before to now.
func (r *Requests) add(now, before Requests) {
	r.Put += now.Put - before.Put
	r.Head += now.Head - before.Head
	r.Get += now.Get - before.Get
	r.List += now.List - before.List
	r.Delete += now.Delete - before.Delete
}
