package boule

import (
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/target"
)

// budgets are the process's request budgets. What is uploaded in the background
// is held to 30 requests a second whatever the number of databases and targets,
// and what somebody waits for to 1000; each attempt counts. Requests of a
// directory cost nothing, and reads are bounded by the size of what is read:
// those are only counted.
var budgets = struct {
	uploads, directories, reads *budget.Limiter
}{
	budget.NewLimiter(nil),
	budget.NewLimiter(&budget.Options{Rate: -1, FlushRate: -1}),
	budget.NewLimiter(&budget.Options{Rate: -1, FlushRate: -1}),
}

func writeBudget(t target.Target) *budget.Limiter {
	if t.File != nil {
		return budgets.directories
	}
	return budgets.uploads
}

// Metrics counts what this process has asked of stores, attempts that failed
// included.
type Metrics struct {
	Requests      map[string]int64 `json:"requests"` // by verb
	BytesSent     int64            `json:"bytes_sent"`
	BytesReceived int64            `json:"bytes_received"`
}

// ReadMetrics returns the counts so far.
func ReadMetrics() Metrics {
	m := Metrics{Requests: map[string]int64{}}
	for _, l := range []*budget.Limiter{budgets.uploads, budgets.directories, budgets.reads} {
		s := l.Stats()
		for verb, n := range s.Requests {
			m.Requests[string(verb)] += n
		}
		m.BytesSent += s.Sent
		m.BytesReceived += s.Received
	}
	return m
}
