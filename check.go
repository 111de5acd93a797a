package boule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

// CheckOptions configure [Check]. Nil is the same as the zero value.
type CheckOptions struct {
	// Percent is how much of the data is fetched and verified: 0 is none but the end of each pack, 100 and more is all. Which, is chosen at
	// random.
	Percent int
	// Jobs is how many requests are under way at a time; 0 means 16.
	Jobs int
	// Progress is called as chunks, or entries of a log, are done, by one goroutine at a time.
	Progress func(done, total int)
}

// A ReplicaFault is something that a store should have, and does not have, or not as it should be.
type ReplicaFault struct {
	Store  string `json:"store"`
	Object string `json:"object"` // empty if it can't be said
	Detail string `json:"detail"`
}

// A CheckReport says what [Check] saw.
type CheckReport struct {
	Manifest string `json:"manifest"` // name of the replica
	Stores   int    `json:"stores"`   // that have it
	Entries  int    `json:"entries"`  // of logs; or manifests
	Packs    int    `json:"packs"`    // of logs
	Unused   int    `json:"unused"`   // packs that no entry names, as a failed upload leaves behind
	Blocks   int    `json:"blocks"`   // index blocks; not counted in logs
	Chunks   int    `json:"chunks"`   // that the store was asked for; in logs, all versions of all chunks
	Read     int    `json:"read"`     // of those, how many were fetched and are sound
	Bytes    int64  `json:"bytes"`    // of the objects that there are

	Faults []ReplicaFault `json:"faults"`
}

// Check verifies the replicas of the database that ref, a boule:// reference, leads to, in all targets of cfg: that
// everything is there, whole, and can be restored. Of a log that is every state which it keeps. What is wrong is in
// the report, and no error. It fails with [ErrNoReplica] if no target has the replica, and when a target can't be asked. A nil
// cfg stands for what [ConfigFromEnv] gives.
func Check(ctx context.Context, ref string, cfg *Config, opts *CheckOptions) (*CheckReport, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return nil, err
	}
	name, targets, err := namedReplica(ref, cfg)
	if err != nil {
		return nil, fmt.Errorf("boule: %w", err)
	}
	c := &checking{report: &CheckReport{Manifest: name, Faults: []ReplicaFault{}}, shift: rand.Uint32()}
	c.spoolDir, _ = cfg.spoolDir()
	if opts != nil {
		c.opts = *opts
	}
	var absent []ReplicaFault
	var errs []error
	for _, t := range targets {
		switch err := c.target(ctx, t); {
		case isAbsent(err):
			errs = append(errs, err)
			absent = append(absent, ReplicaFault{Store: t.String(), Detail: "it has no such replica"})
		case err != nil:
			return c.report, fmt.Errorf("boule: %w", err)
		}
	}
	if len(absent) == len(targets) {
		return c.report, fmt.Errorf("boule: %w", errors.Join(errs...))
	}
	c.report.Faults = append(c.report.Faults, absent...)
	return c.report, nil
}

// namedReplica returns the name of the replica that a boule:// reference leads to, and the targets that may have it.
func namedReplica(text string, cfg *Config) (string, []target.Target, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return "", nil, err
	}
	ref, err := replica.ParseRef(text)
	if err != nil {
		return "", nil, err
	}
	if ref.Kind != replica.RefDatabase {
		return "", nil, fmt.Errorf("%w: %s names no database; write boule://HOST/path", replica.ErrBadRef, text)
	}
	targets := cfg.durable()
	if len(targets) == 0 {
		return "", nil, fmt.Errorf("%s: %w to read from", text, ErrNoTarget)
	}
	return ref.ManifestName(cfg.hostname()), targets, nil
}

type checking struct {
	opts     CheckOptions
	shift    uint32
	spoolDir string // empty if there is none
	report   *CheckReport
	mu       sync.Mutex // guards the faults of the report
}

func (c *checking) fault(src replica.Source, object string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Faults = append(c.report.Faults, ReplicaFault{Store: src.String(), Object: object, Detail: err.Error()})
}

// target checks what a target has, in each layout in which there is something.
func (c *checking) target(ctx context.Context, t target.Target) error {
	src := openSources(ctx, []target.Target{t})[0]
	var absent error
	found := false
	for _, layout := range layouts(t, nil) {
		check := c.chunks
		if layout == target.LayoutLog {
			check = func(ctx context.Context, src replica.Source) error { return c.log(ctx, src, t) }
		}
		switch err := check(ctx, src); {
		case isAbsent(err):
			absent = err
		case err != nil:
			return err
		default:
			found = true
		}
	}
	if found {
		return nil
	}
	return absent
}

func (c *checking) chunks(ctx context.Context, src replica.Source) error {
	m, _, _, err := replica.FetchManifest(ctx, []replica.Source{src}, c.report.Manifest)
	if errors.Is(err, manifest.ErrCorrupt) {
		c.report.Stores++
		c.fault(src, c.report.Manifest, err)
		return nil
	}
	if err != nil {
		return err
	}
	c.report.Stores++
	c.report.Entries++
	stats, err := replica.Check(ctx, m, src, &replica.CheckOptions{
		Percent: c.opts.Percent, Shift: c.shift, Jobs: c.opts.Jobs, Progress: c.opts.Progress,
	}, func(object string, err error) { c.fault(src, object, err) })
	c.report.Blocks += stats.Blocks
	c.report.Chunks += stats.Asked
	c.report.Read += stats.Read
	c.report.Bytes += stats.Bytes
	return err
}

func (c *checking) log(ctx context.Context, src replica.Source, t target.Target) error {
	log := logrep.New(src.Chunks, src.Manifests, c.report.Manifest)
	stats, err := log.Check(ctx, &logrep.CheckOptions{
		Percent: c.opts.Percent, Shift: c.shift, Jobs: c.opts.Jobs, Progress: c.opts.Progress, Known: uploaded(c.spoolDir, t, c.report.Manifest),
	}, func(f *logrep.Fault) { c.fault(src, f.Object, f) })
	if store.IsNotExist(err) || err == nil && stats.Entries == 0 && stats.Packs == 0 && stats.Faults == 0 {
		return fmt.Errorf("%w: no log of %s in %s", ErrNoReplica, c.report.Manifest, src)
	}
	c.report.Stores++
	c.report.Entries += stats.Entries
	c.report.Packs += stats.Packs
	c.report.Unused += stats.Unused
	c.report.Chunks += stats.Versions
	c.report.Read += stats.Read
	c.report.Bytes += stats.EntryBytes + stats.PackBytes
	return err
}
