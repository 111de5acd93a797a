package budget

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/internal/attempt"
)

// Options configures a [Limiter]. Zero fields mean the defaults; a negative
// rate is no limit; a negative burst is a burst of one.
type Options struct {
	Rate       float64 // requests per second; zero means 30
	Burst      int     // zero means 100
	FlushRate  float64 // the same for flushes; zero means 1000
	FlushBurst int     // zero means 1000
}

// A Limiter is a budget that any number of stores share.
type Limiter struct {
	background, flush bucket

	mu    sync.Mutex // guards stats
	stats Stats
}

// Stats counts what went through a budget.
type Stats struct {
	Requests map[store.Verb]int64 // begun, by verb
	Sent     int64                // bytes of bodies that puts began to send
	Received int64                // bytes of bodies that were read
	Blocked  int64                // requests that had to wait
	Waited   time.Duration        // how long, in sum
}

// Total returns the number of requests of all verbs.
func (s Stats) Total() int64 {
	var n int64
	for _, c := range s.Requests {
		n += c
	}
	return n
}

func (s Stats) clone() Stats {
	s.Requests = maps.Clone(s.Requests)
	if s.Requests == nil {
		s.Requests = make(map[store.Verb]int64)
	}
	return s
}

func (s *Stats) add(verb store.Verb, waited time.Duration) {
	if s.Requests == nil {
		s.Requests = make(map[store.Verb]int64)
	}
	s.Requests[verb]++
	if waited > 0 {
		s.Blocked++
		s.Waited += waited
	}
}

// NewLimiter returns a Limiter with full buckets.
func NewLimiter(opts *Options) *Limiter {
	var o Options
	if opts != nil {
		o = *opts
	}
	return &Limiter{
		background: newBucket(orDefault(o.Rate, 30), orDefault(o.Burst, 100)),
		flush:      newBucket(orDefault(o.FlushRate, 1000), orDefault(o.FlushBurst, 1000)),
	}
}

func orDefault[T int | float64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// Wait blocks until a request of the kind verb may begin, takes a token from
// the bucket that ctx says and counts the request. It fails only when ctx ends.
func (l *Limiter) Wait(ctx context.Context, verb store.Verb) error {
	_, err := l.wait(ctx, verb)
	return err
}

func (l *Limiter) wait(ctx context.Context, verb store.Verb) (time.Duration, error) {
	b := &l.background
	if IsFlush(ctx) {
		b = &l.flush
	}
	waited, err := b.take(ctx)
	if err != nil {
		return waited, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.add(verb, waited)
	return waited, nil
}

func (l *Limiter) bytes(sent, received int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Sent += sent
	l.stats.Received += received
}

// Stats returns what all the stores on this limiter have used.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats.clone()
}

// A bucket is a token bucket with a queue in front of it. Only the caller at
// its head sleeps, and it takes its token after waking, not before: callers
// that wake late find at most a full bucket, never a backlog of grants.
type bucket struct {
	tokens *rate.Limiter // nil: no limit
	head   chan struct{} // holds one element while somebody is at the head
}

func newBucket(perSecond float64, burst int) bucket {
	if perSecond < 0 {
		return bucket{}
	}
	return bucket{rate.NewLimiter(rate.Limit(perSecond), max(burst, 1)), make(chan struct{}, 1)}
}

// take takes a token and says how long that took, zero if there was no wait.
func (b *bucket) take(ctx context.Context) (time.Duration, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	if b.tokens == nil {
		return 0, nil
	}
	// Nobody overtakes the queue: the head is needed for the fast path too.
	select {
	case b.head <- struct{}{}:
		if b.tokens.Allow() {
			<-b.head
			return 0, nil
		}
		return b.atHead(ctx, time.Now())
	default:
	}
	start := time.Now()
	defer attempt.Pause(ctx)()
	select {
	case b.head <- struct{}{}:
		return b.atHead(ctx, start)
	case <-ctx.Done():
		return time.Since(start), context.Cause(ctx)
	}
}

func (b *bucket) atHead(ctx context.Context, start time.Time) (time.Duration, error) {
	defer func() { <-b.head }()
	defer attempt.Pause(ctx)()
	for !b.tokens.Allow() {
		missing := 1 - b.tokens.Tokens()
		delay := time.Duration(missing/float64(b.tokens.Limit())*1e9) + 1
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return time.Since(start), context.Cause(ctx)
		}
	}
	if waited := time.Since(start); waited >= time.Millisecond {
		return waited, nil
	}
	return 0, nil // it was only another caller on its way through
}

type flushKey struct{}

// WithFlush returns a context whose requests come out of the flush budget.
func WithFlush(ctx context.Context) context.Context {
	return context.WithValue(ctx, flushKey{}, true)
}

// IsFlush reports whether the requests of ctx come out of the flush budget.
func IsFlush(ctx context.Context) bool {
	flush, _ := ctx.Value(flushKey{}).(bool)
	return flush
}
