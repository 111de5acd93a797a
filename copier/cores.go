package copier

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// writing is for how long after a snapshot its application counts as being at work.
const writing = 300 * time.Millisecond

// cores bounds how many goroutines compress at a time: as many as there are processors, and half
// of that while transactions are committed in this process. Their goroutines give up their place at
// each fsync, and would queue behind those that compress.
type cores struct {
	all   int64
	free  *semaphore.Weighted
	until atomic.Int64 // when the application does not count as being at work any more
}

func newCores() *cores {
	n := int64(runtime.GOMAXPROCS(0))
	return &cores{all: n, free: semaphore.NewWeighted(n)}
}

// busy notes that a snapshot was taken.
func (c *cores) busy() { c.until.Store(time.Now().Add(writing).UnixNano()) }

// weight is how much of the processors a goroutine that compresses takes.
func (c *cores) weight() int64 {
	if time.Now().UnixNano() < c.until.Load() {
		return min(2, c.all)
	}
	return 1
}

func (c *cores) compress(data []byte) []byte {
	defer c.enter()()
	return manifest.Compress(data)
}

// frame makes a frame of the log layout.
func (c *cores) frame(b []byte, kind remotelog.Kind, raw []byte) []byte {
	defer c.enter()()
	return remotelog.AppendFrame(b, kind, raw)
}

// enter waits until there is a processor to compress on, and returns what gives it back.
func (c *cores) enter() (leave func()) {
	weight := c.weight()
	_ = c.free.Acquire(context.Background(), weight) // which is never more than all
	return func() { c.free.Release(weight) }
}
