package boule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/store/target"
)

// A FlushResult tells how it went with one database and one target.
type FlushResult struct {
	Path, Target, Manifest string
	Err                    error
}

// FlushSpool uploads what the spool directory holds, each database to the target
// that it was spooled for, whatever the targets of cfg; nil stands for what
// [ConfigFromEnv] gives. A result without error says that the target holds the
// database as it is now, or, if the file is gone, as it was spooled last under that name.
func FlushSpool(ctx context.Context, dir string, cfg *Config) ([]FlushResult, error) {
	cfg, err := effective(cfg)
	if err != nil {
		return nil, err
	}
	if fi, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("boule: spool: %w", err)
	} else if !fi.IsDir() {
		return nil, fmt.Errorf("boule: spool %s is not a directory", dir)
	}
	spools, err := readSpools(dir)
	if err != nil {
		return nil, err
	}
	// Deleted databases go first: to track one of the others cleans the spool, and
	// that would take what is left of the deleted ones before it is uploaded.
	var gone, there []spoolInfo
	for _, s := range worthFlushing(spools) {
		if _, _, ok := fileID(s.Path); ok {
			there = append(there, s)
		} else {
			gone = append(gone, s)
		}
	}
	results := append(flushAll(ctx, dir, cfg, gone), flushAll(ctx, dir, cfg, there)...)
	slices.SortFunc(results, func(a, b FlushResult) int {
		return strings.Compare(a.Path+"\x00"+a.Target, b.Path+"\x00"+b.Target)
	})
	return results, nil
}

// flushAll flushes several spools at once.
func flushAll(ctx context.Context, dir string, cfg *Config, spools []spoolInfo) []FlushResult {
	results := make([]FlushResult, len(spools))
	var g errgroup.Group
	g.SetLimit(4)
	for i, s := range spools {
		g.Go(func() error {
			results[i] = FlushResult{
				Path: s.Path, Target: s.target.String(), Manifest: s.name,
				Err: flushOne(ctx, dir, cfg, s),
			}
			return nil
		})
	}
	_ = g.Wait() // errors are in the results
	return results
}

// worthFlushing leaves out the spools of files that were replaced, whose paths
// lead to other databases by now, and those of deleted files that hold nothing.
func worthFlushing(spools []spoolInfo) []spoolInfo {
	byPath := map[string][]spoolInfo{}
	for _, s := range spools {
		byPath[s.Path] = append(byPath[s.Path], s)
	}
	var keep []spoolInfo
	for path, infos := range byPath {
		_, _, there := fileID(path)
		for _, s := range present(path, infos) {
			if there || s.staged != nil || s.Pending() {
				keep = append(keep, s)
			}
		}
	}
	return keep
}

func flushOne(ctx context.Context, dir string, cfg *Config, s spoolInfo) error {
	own := *cfg
	own.SpoolDir = dir
	own.Targets = []target.Target{s.target}
	if host, ok := s.hostname(); ok {
		own.Hostname = host // that of whoever filled the spool
	}
	r, err := New(&own)
	if err != nil {
		return err
	}
	err = r.flush(ctx, s.Path, flushing)
	if errors.Is(err, fs.ErrNotExist) && exists(s.Path) != nil {
		// The database was deleted: what it was goes to the store nevertheless.
		err = r.e.currentCopier().Flush(ctx, r.e.root, s.Key)
		switch {
		case errors.Is(err, copier.ErrNothingStaged) && s.staged == nil:
			err = nil // what was ready is uploaded, and there is no more
		case errors.Is(err, copier.ErrSuperseded):
			err = nil // another file had the name later, and was uploaded
		case err != nil:
			err = fmt.Errorf("%w: %w", ErrBehind, err)
		}
	}
	if cerr := r.Close(ctx); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s to %s: %w", s.Path, s.target, err)
	}
	return nil
}
