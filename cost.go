package boule

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store/target"
)

// A ReplicaUsage is what the replica of a database takes in a store.
type ReplicaUsage struct {
	Store    string        `json:"store"`
	Manifest string        `json:"manifest"` // name of the replica
	Layout   target.Layout `json:"layout"`
	Size     int64         `json:"size"`    // of the database
	Objects  int           `json:"objects"` // in the layout chunks, those that the newest state needs
	Live     int64         `json:"live_bytes"`
	// Dead bytes are not needed by the newest state: earlier ones that are kept, and what they and failed uploads leave behind. In the
	// layout chunks they are not known, since databases share chunks.
	Dead int64 `json:"dead_bytes"`
}

// Usage measures what the replicas of the database that ref, a boule:// reference, leads to take in all targets of cfg that
// have one. It fails with [ErrNoReplica] if none has. A nil cfg stands for what [ConfigFromEnv] gives.
func Usage(ctx context.Context, ref string, cfg *Config) ([]ReplicaUsage, error) {
	name, targets, err := namedReplica(ref, cfg)
	if err != nil {
		return nil, fmt.Errorf("boule: %w", err)
	}
	all := []ReplicaUsage{}
	var absent []error
	for _, t := range targets {
		r, err := newest(ctx, []target.Target{t}, name, nil)
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
		all = append(all, u)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("boule: %w", errors.Join(absent...))
	}
	return all, nil
}

func usage(ctx context.Context, t target.Target, r *Remote) (ReplicaUsage, error) {
	u := ReplicaUsage{Store: r.Store, Manifest: r.Name, Layout: target.LayoutLog, Size: r.Manifest.Size}
	src := openSources(ctx, []target.Target{t})[0]
	if r.logged != nil {
		seen, err := logrep.New(src.Chunks, src.Manifests, r.Name).Usage(ctx)
		u.Objects, u.Live, u.Dead = seen.Entries+seen.Packs, seen.Live, seen.Bytes-seen.Live
		return u, err
	}
	u.Layout = target.LayoutChunks
	stats, err := replica.Check(ctx, r.Manifest, src, nil, func(string, error) {})
	if err != nil {
		return u, err
	}
	u.Objects = stats.Asked + stats.Blocks + 1
	u.Live = stats.Bytes + int64(stats.Blocks)*manifest.ChunkSize + int64(len(r.Raw))
	return u, nil
}
