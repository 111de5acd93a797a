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

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store/target"
)

// A FlushResult tells how it went with one database and one target.
type FlushResult struct {
	Path, Target, Manifest string
	Err                    error
}

// FlushSpool uploads what the spool directory holds, each database to the target
// that it was spooled for, whatever the targets of cfg. A result without error says
// that the target holds the database as it is now, or, if the file is gone, as it
// was spooled last.
func FlushSpool(ctx context.Context, dir string, cfg *Config) ([]FlushResult, error) {
	if fi, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("boule: spool: %w", err)
	} else if !fi.IsDir() {
		return nil, fmt.Errorf("boule: spool %s is not a directory", dir)
	}
	spools, closeRoot, err := readSpools(dir)
	if err != nil {
		return nil, err
	}
	closeRoot()
	results := make([]FlushResult, len(spools))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, s := range spools {
		g.Go(func() error {
			res := FlushResult{Path: s.Path, Target: s.target.String(), Manifest: s.name}
			res.Err = flushOne(ctx, dir, cfg, s)
			results[i] = res
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(results, func(a, b FlushResult) int {
		return strings.Compare(a.Path+"\x00"+a.Target, b.Path+"\x00"+b.Target)
	})
	return results, nil
}

func flushOne(ctx context.Context, dir string, cfg *Config, s spoolInfo) error {
	own := *cfg
	own.SpoolDir = dir
	own.Targets = []target.Target{s.target}
	if host, _, ok := manifest.ParseName(s.name); ok {
		own.Hostname = host // that of whoever filled the spool
	}
	r, err := New(&own)
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	err = r.Flush(ctx, s.Path)
	if errors.Is(err, fs.ErrNotExist) && s.staged != nil {
		// The database was deleted: what it was goes to the store nevertheless.
		err = r.e.copier.Flush(ctx, r.e.root, s.Key)
	}
	if err != nil {
		return fmt.Errorf("%s to %s: %w", s.Path, s.target, err)
	}
	return nil
}
