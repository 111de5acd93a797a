package spool

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/instance"
)

// Options configures a [Root]. The zero value is usable; so is a nil *Options.
//
// From FS on they stand for the world outside. Programs leave them alone. A test that sets all of
// them has a Root whose every decision can be replayed, and that touches nothing of the machine.
type Options struct {
	Logger     *slog.Logger  // nil discards
	Hostname   string        // whose taps may be cleaned; empty means the machine's
	ScratchAge time.Duration // age at which scratch files are stale; zero means 10s, negative at once

	// FS opens a directory, given its absolute path: the prefix, a parent of it, or "/". Nil means
	// [fsx.OS].
	FS func(dir string) (fsx.FS, error)
	// WrapFS stands between the spool and what FS returns.
	WrapFS func(fsx.FS) fsx.FS
	// Lstat describes what has an absolute path, without opening it or following a symbolic link
	// there. The spool looks with it whether databases exist, and whether a spool that it holds
	// open is still the one at its path. Nil means as FS sees it.
	Lstat func(path string) (fsx.Info, error)
	// Boot is the current boot. Zero means the machine's.
	Boot instance.ID
	// Process is what no other process of this boot has, see [instance.Process]. Empty means that.
	Process string
	// Now returns the time that the files of FS get. Nil means [time.Now].
	Now func() time.Time
	// Rand returns random numbers, for names as for decisions. Nil means crypto/rand.
	Rand func() uint64
	// Sleep waits, for a lock. It may return early, and does when ctx is done. Nil means by the clock.
	Sleep func(ctx context.Context, d time.Duration)

	real bool // FS is the operating system's
}

func (o *Options) withDefaults() *Options {
	opts := new(Options)
	if o != nil {
		*opts = *o
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Hostname == "" {
		opts.Hostname = instance.Hostname()
	}
	switch {
	case opts.ScratchAge == 0:
		opts.ScratchAge = 10 * time.Second
	case opts.ScratchAge < 0:
		opts.ScratchAge = 0
	}
	if opts.WrapFS == nil {
		opts.WrapFS = func(f fsx.FS) fsx.FS { return f }
	}
	switch {
	case opts.Lstat != nil:
	case opts.FS != nil:
		opts.Lstat = opts.statBelow
	default:
		opts.Lstat = fsx.Lstat
	}
	if opts.real = opts.FS == nil; opts.real {
		opts.FS = fsx.OS
	}
	if opts.Process == "" {
		opts.Process = instance.Process()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Rand == nil {
		opts.Rand = randomBits
	}
	if opts.Sleep == nil {
		opts.Sleep = sleep
	}
	return opts
}

// openFS opens a directory by its absolute path.
func (o *Options) openFS(dir string) (fsx.FS, error) {
	base, err := o.FS(dir)
	if err != nil {
		return nil, err
	}
	return o.WrapFS(base), nil
}

// statBelow is Lstat through FS.
func (o *Options) statBelow(path string) (fsx.Info, error) {
	base, err := o.openFS("/")
	if err != nil {
		return fsx.Info{}, err
	}
	defer base.Close()
	return base.Stat(strings.TrimPrefix(path, "/"))
}

// since returns the time that has passed since t.
func (o *Options) since(t time.Time) time.Duration { return o.Now().Sub(t) }

// intN returns a random number below n, which is positive.
func (o *Options) intN(n int) int { return rand.New(source(o.Rand)).IntN(n) }

// jitter returns a random duration below d.
func (o *Options) jitter(d time.Duration) time.Duration { return time.Duration(o.intN(int(d))) }

// source makes a rand.Source of a function.
type source func() uint64

func (s source) Uint64() uint64 { return s() }

// randomBits does not repeat itself when a virtual machine is resumed twice.
func randomBits() uint64 {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
