package boule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
)

// ErrNoHistory reports that a replica has no log, and so no earlier states.
var ErrNoHistory = errors.New("boule: the replica has no history: its layout is not log")

// ErrNoEntry reports that a log has no state of that number or time, or not any more. It comes together with [ErrNoReplica].
var ErrNoEntry = logrep.ErrNotFound

// A Point is a state of a database that a log keeps.
type Point = logrep.Point

// openLog finds the log of the database that ref, a boule:// reference, leads to, in the first target that has it, and what the spool knows of it.
func openLog(ctx context.Context, text string, cfg *Config) (l *logged, from string, known logrep.KnownState, err error) {
	fail := func(err error) (*logged, string, logrep.KnownState, error) { return nil, "", logrep.KnownState{}, err }
	if cfg, err = effective(cfg); err != nil {
		return fail(err)
	}
	ref, err := replica.ParseRef(text)
	if err != nil {
		return fail(err)
	}
	if ref.Kind != replica.RefDatabase {
		return fail(fmt.Errorf("%s: %w; write boule://HOST/path", text, ErrNoHistory))
	}
	targets := cfg.durable()
	if len(targets) == 0 {
		return fail(fmt.Errorf("%s: %w to read from", text, ErrNoTarget))
	}
	spoolDir, _ := cfg.spoolDir() // without one, nobody knows better than the store
	name := ref.ManifestName(cfg.hostname())
	var errs []error
	for _, t := range targets {
		known := uploaded(spoolDir, t, name) // before the store is asked
		r, err := newestLog(ctx, t, name)
		switch {
		case err == nil:
			return r.logged, r.Store, known, nil
		case errors.Is(err, ErrNoHistory):
			err = fmt.Errorf("%s: %w", text, err)
		}
		errs = append(errs, err)
	}
	return fail(errors.Join(errs...))
}

// FetchEntry is [Fetch] of the state that an entry of a log describes. It fails with [ErrNoReplica] if
// there is no such entry or it was pruned, and [ErrNoHistory] if there is no log.
func FetchEntry(ctx context.Context, ref string, entry uint64, cfg *Config) (*Remote, error) {
	return fetchLogged(ctx, ref, cfg, func(l *logged, _ logrep.KnownState) (*logrep.Head, error) { return l.log.RecoveryPoint(ctx, entry) })
}

// FetchAt is [Fetch] of the state that was the newest in the store at that time.
// It fails if that may have been one that was lost, and with [ErrLost] as [Fetch] does.
func FetchAt(ctx context.Context, ref string, at time.Time, cfg *Config) (*Remote, error) {
	return fetchLogged(ctx, ref, cfg, func(l *logged, known logrep.KnownState) (*logrep.Head, error) {
		head, err := l.log.At(ctx, at)
		if err == nil && head.Entry.Number >= l.head.Entry.Number {
			err = lost(l.log.Name(), head, known)
		}
		return head, err
	})
}

func fetchLogged(ctx context.Context, ref string, cfg *Config, find func(*logged, logrep.KnownState) (*logrep.Head, error)) (*Remote, error) {
	l, from, known, err := openLog(ctx, ref, cfg)
	if err != nil {
		return nil, fmt.Errorf("boule: %w", err)
	}
	head, err := find(l, known)
	if errors.Is(err, logrep.ErrNotFound) {
		return nil, fmt.Errorf("boule: %w: %w", ErrNoReplica, err)
	}
	if err != nil {
		return nil, fmt.Errorf("boule: %w", err)
	}
	return remoteEntry(from, l.log, head), nil
}

// History lists the states of a database that its log keeps, the oldest first. If some are damaged, it returns the others, and an error
// that names the damaged objects.
func History(ctx context.Context, ref string, cfg *Config) ([]Point, error) {
	l, _, _, err := openLog(ctx, ref, cfg)
	if err != nil {
		return nil, fmt.Errorf("boule: %w", err)
	}
	points := []Point{}
	var errs []error
	for p, err := range l.log.History(ctx) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		points = append(points, p)
	}
	if err := errors.Join(errs...); err != nil {
		return points, fmt.Errorf("boule: %w", err)
	}
	return points, nil
}
