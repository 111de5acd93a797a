package boule

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/replica"
)

// A PrunePolicy says which states of a database to keep, in restic's words.
type PrunePolicy = logwriter.Policy

// PruneOptions configures [Prune].
type PruneOptions = logwriter.PruneOptions

// DefaultGrace is how long [Prune] leaves objects alone that nothing needs, if nothing else is said.
const DefaultGrace = logwriter.DefaultGrace

// A PruneReport says what [Prune] did in one target, or would do.
type PruneReport struct {
	Target string
	logwriter.PruneReport
}

// Prune removes the states that a policy does not keep from the replica that ref, a boule:// reference, leads to, and, after a grace, what nothing
// else needs, in every target that has a log of it. It fails with [ErrNoHistory] if none has, and with [ErrNoReplica] if there is no replica.
// What it says of running beside others is what logwriter.Prune says.
func Prune(ctx context.Context, ref string, policy PrunePolicy, opts *PruneOptions, cfg *Config) ([]PruneReport, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return nil, err
	}
	parsed, err := replica.ParseRef(ref)
	if err != nil {
		return nil, fmt.Errorf("boule: %w", err)
	}
	if parsed.Kind != replica.RefDatabase {
		return nil, fmt.Errorf("boule: %s: %w; write boule://HOST/path", ref, ErrNoHistory)
	}
	targets := cfg.durable()
	if len(targets) == 0 {
		return nil, fmt.Errorf("boule: %s: %w to prune in", ref, ErrNoTarget)
	}
	var o PruneOptions
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = cfg.Logger
	}
	name := parsed.ManifestName(cfg.hostname())
	var reports []PruneReport
	var errs []error
	other := false
	for _, t := range targets {
		if _, err := newestLog(ctx, t, name); errors.Is(err, ErrNoHistory) {
			other = true
			continue
		} else if err != nil {
			errs = append(errs, err)
			continue
		}
		stores, err := readStores(ctx, t)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		report, err := logwriter.Prune(ctx, stores.Chunks, stores.Manifests, name, policy, o)
		if err != nil {
			errs = append(errs, fmt.Errorf("prune %s: %w", t, err))
		}
		if err == nil || report.Done {
			reports = append(reports, PruneReport{t.String(), report})
		}
	}
	if len(reports) == 0 && len(errs) == 0 && other {
		return nil, fmt.Errorf("boule: %s: %w", ref, ErrNoHistory)
	}
	if err := errors.Join(errs...); err != nil {
		return reports, fmt.Errorf("boule: %w", err)
	}
	return reports, nil
}
