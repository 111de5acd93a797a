package copier

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store/target"
)

// Stores are the two object stores of one target.
type Stores = target.Stores

// Options configures a [Copier]. In each field zero means the default and negative means off.
type Options struct {
	// Open makes the stores of a target from its specification. It is called when a pass first
	// needs the target, and again after failures. Required.
	Open func(ctx context.Context, spec json.RawMessage) (*Stores, error)
	// Desync is told that only a full snapshot can repair the replica of a spool, and why. The
	// callee drops the staged manifest and takes such a snapshot, now or later. It is called
	// from within a pass: it must not flush the same spool. Nil ignores it.
	Desync func(key spool.Key, reason error)
	// Logger gets failures, recoveries and repairs. Nil discards them.
	Logger *slog.Logger

	Spacing        time.Duration // least time between manifest uploads of one spool; 1.1s. More in the log layout, as long as commits go on
	Rescan         time.Duration // one spool is looked at for forgotten work this often; 5s
	Workers        int           // concurrent passes; 8
	ChunkUploads   int           // concurrent chunk uploads of one pass; 8
	RequestTimeout time.Duration // bound of one call of a store, with what the store waits and retries; 3m
	MinBackoff     time.Duration // first pause after a failed pass; 1s
	MaxBackoff     time.Duration // longest pause after failed passes; 60s
	Remember       int           // chunks remembered as recently uploaded; 65536
	RememberFor    time.Duration // how long they are; 1h

	// Rand returns random numbers, for the lengths of pauses. Nil means math/rand/v2's.
	Rand func() uint64
}

func (o *Options) withDefaults() Options {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Desync == nil {
		opts.Desync = func(spool.Key, error) {}
	}
	if opts.Rand == nil {
		opts.Rand = rand.Uint64
	}
	def := func(p *time.Duration, d time.Duration) {
		switch {
		case *p == 0:
			*p = d
		case *p < 0:
			*p = 0
		}
	}
	defInt := func(p *int, d, floor int) {
		switch {
		case *p == 0:
			*p = d
		case *p < floor:
			*p = floor
		}
	}
	def(&opts.Spacing, 1100*time.Millisecond)
	def(&opts.Rescan, 5*time.Second)
	def(&opts.RequestTimeout, 3*time.Minute)
	def(&opts.MinBackoff, time.Second)
	def(&opts.MaxBackoff, time.Minute)
	def(&opts.RememberFor, time.Hour)
	defInt(&opts.Workers, 8, 1)
	defInt(&opts.ChunkUploads, 8, 1)
	defInt(&opts.Remember, 65536, 0)
	return opts
}

// below returns a random time below d, which is positive.
func (o *Options) below(d time.Duration) time.Duration {
	return time.Duration(rand.New(source(o.Rand)).Int64N(int64(d)))
}

// jitter returns a time of d to 2d.
func (o *Options) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return d
	}
	return d + o.below(d)
}

// source makes a rand.Source of a function.
type source func() uint64

func (s source) Uint64() uint64 { return s() }
