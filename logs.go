package boule

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
)

// logSet is the loggers of all engines in use, for the copier, which they share.
// It is read without a lock, since the copier logs under its own.
type logSet struct {
	mu  sync.Mutex // held while all is replaced
	all atomic.Pointer[[]*slog.Logger]
}

// copierLogs are those of all engines that use the copier.
var copierLogs logSet

func (s *logSet) load() []*slog.Logger {
	if p := s.all.Load(); p != nil {
		return *p
	}
	return nil
}

// add adds a logger, as often as it is called.
func (s *logSet) add(l *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(slices.Clone(s.load()), l)
	s.all.Store(&all)
}

// remove undoes one add.
func (s *logSet) remove(l *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.load())
	if i := slices.Index(all, l); i >= 0 {
		all = slices.Delete(all, i, i+1)
	}
	s.all.Store(&all)
}

// logger returns a logger that logs to those in the set at that time.
func (s *logSet) logger() *slog.Logger {
	return slog.New(&spread{set: s, with: func(h slog.Handler) slog.Handler { return h }})
}

// A spread is a handler that hands records to all loggers of a set.
type spread struct {
	set  *logSet
	with func(slog.Handler) slog.Handler // adds attributes and groups
}

// Enabled implements [slog.Handler].
func (s *spread) Enabled(ctx context.Context, level slog.Level) bool {
	return slices.ContainsFunc(s.set.load(), func(l *slog.Logger) bool { return l.Enabled(ctx, level) })
}

// Handle implements [slog.Handler].
func (s *spread) Handle(ctx context.Context, r slog.Record) error {
	var errs []error
	done := map[*slog.Logger]bool{}
	for _, l := range s.set.load() {
		if !done[l] && l.Enabled(ctx, r.Level) {
			done[l] = true
			errs = append(errs, s.with(l.Handler()).Handle(ctx, r.Clone()))
		}
	}
	return errors.Join(errs...)
}

// WithAttrs implements [slog.Handler].
func (s *spread) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &spread{s.set, func(h slog.Handler) slog.Handler { return s.with(h).WithAttrs(attrs) }}
}

// WithGroup implements [slog.Handler].
func (s *spread) WithGroup(name string) slog.Handler {
	return &spread{s.set, func(h slog.Handler) slog.Handler { return s.with(h).WithGroup(name) }}
}
