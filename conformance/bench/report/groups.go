package report

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// A Group is some rows that are measured together.
type Group struct {
	Name string
	// Run measures, in a directory of its own, which is removed afterwards.
	Run func(ctx context.Context, dir string) error
}

// Choose returns the groups that are named, with commas between, in their own order; all of
// byDefault if none is.
func Choose(all []Group, only string, byDefault []string) ([]Group, error) {
	wanted := byDefault
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	var names []string
	for _, g := range all {
		names = append(names, g.Name)
	}
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("-only %s: want some of %s", name, strings.Join(names, ","))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(g Group) bool { return !slices.Contains(wanted, g.Name) }), nil
}

// Measure runs groups one after the other, each in what sub returns for its name, until ctx, which lasts for
// limit, is done: what had no time left is noted. It tells program's standard error how long each took.
func (r *Report) Measure(ctx context.Context, program string, limit time.Duration, groups []Group, sub func(name string) (string, error)) error {
	for _, g := range groups {
		if ctx.Err() != nil {
			r.Note("%s was not measured: -time %v is over", g.Name, limit)
			continue
		}
		began := time.Now()
		dir, err := sub(g.Name)
		if err != nil {
			return err
		}
		err = g.Run(ctx, dir)
		if err != nil && ctx.Err() != nil {
			r.Note("%s was not measured to its end: -time %v is over (%v)", g.Name, limit, err)
			err = nil
		}
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			return fmt.Errorf("%s: %w", g.Name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %s took %v\n", program, g.Name, time.Since(began).Round(100*time.Millisecond))
	}
	return nil
}
