package boule

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store/target"
)

// Activity is what was asked of a target for one database, by all programs of this machine that share the spool.
type Activity = copier.Report

// A ReplicaUsage is what the replica of a database takes in a store, and what keeping it there took.
type ReplicaUsage struct {
	Store    string `json:"store"`
	Manifest string `json:"manifest"` // name of the replica
	Size     int64  `json:"size"`     // of the database
	Stored
	*Activity // nil where no spool of this machine knows
}

// Stored is what a replica takes in a store.
type Stored struct {
	Layout  target.Layout `json:"layout"`
	Objects int           `json:"objects"` // in the layout chunks, those that the newest state needs
	// LiveObjects are those that a restore of the newest state reads from.
	LiveObjects int   `json:"live_objects"`
	Live        int64 `json:"live_bytes"`
	// Dead bytes are not needed by the newest state: earlier ones that are kept, and what they and failed uploads leave behind. In the
	// layout chunks they are not known, since databases share chunks.
	Dead int64 `json:"dead_bytes"`
}

// Usage measures what the replicas of the database that ref, a boule:// reference, leads to take in all targets of cfg that
// have one, in each layout. It fails with [ErrNoReplica] if none has. A nil cfg stands for what [ConfigFromEnv] gives.
func Usage(ctx context.Context, ref string, cfg *Config) ([]ReplicaUsage, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return nil, err
	}
	name, targets, err := namedReplica(ref, cfg)
	if err != nil {
		return nil, fmt.Errorf("boule: %w", err)
	}
	spools := cfg.spools()
	all := []ReplicaUsage{}
	var absent []error
	for _, t := range targets {
		for _, t.Layout = range layouts(t, nil) {
			r, err := newest(ctx, []target.Target{t}, name, nil, "")
			if isAbsent(err) {
				absent = append(absent, err)
				continue
			}
			var u ReplicaUsage
			if err == nil {
				u, err = usage(ctx, t, r)
			}
			if err != nil {
				return nil, fmt.Errorf("boule: %w", err)
			}
			for _, s := range spools {
				if s.name == name && s.target.ID() == t.ID() {
					u.Activity = s.activity
				}
			}
			all = append(all, u)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("boule: %w", errors.Join(absent...))
	}
	return all, nil
}

func usage(ctx context.Context, t target.Target, r *Remote) (ReplicaUsage, error) {
	u := ReplicaUsage{Store: r.Store, Manifest: r.Name, Size: r.Manifest.Size}
	if r.logged != nil {
		stored, err := r.logged.stored(ctx)
		u.Stored = stored
		return u, err
	}
	src := openSources(ctx, []target.Target{t})[0]
	u.Layout = target.LayoutChunks
	stats, err := replica.Check(ctx, r.Manifest, src, nil, func(string, error) {})
	if err != nil {
		return u, err
	}
	u.Objects = stats.Asked + stats.Blocks + 1
	u.LiveObjects = u.Objects
	u.Live = stats.Bytes + int64(stats.Blocks)*manifest.ChunkSize + int64(len(r.Raw))
	return u, nil
}

// stored measures what the log takes: it is listed, and the newest index is read.
func (l *logged) stored(ctx context.Context) (Stored, error) {
	seen, err := l.log.Usage(ctx)
	return Stored{
		Layout: target.LayoutLog, Objects: seen.Entries + seen.Packs, LiveObjects: seen.LiveObjects,
		Live: seen.Live, Dead: seen.Bytes - seen.Live,
	}, err
}
