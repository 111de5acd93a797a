package progress

import "sync"

// A Counter adds up what is done, and tells it. It is safe for concurrent use.
type Counter struct {
	report func(done, total int64)
	total  int64

	mu   sync.Mutex // held while reporting
	done int64
}

// New returns a Counter that tells report, which may be nil, by one goroutine at a time and with done never
// decreasing.
func New(report func(done, total int64), total int64) *Counter {
	return &Counter{report: report, total: total}
}

// Add counts n more as done.
func (c *Counter) Add(n int) {
	if c.report == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += int64(n)
	c.report(c.done, c.total)
}
