package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

func newSync(a *app) *cobra.Command {
	var optimize, repair bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "sync DB",
		Short: "Upload the database as it is now, whoever wrote it",
		Long: `Sync takes a snapshot of the database, uploads what the store lacks, and prints the
name of the manifest once the store has acknowledged it. --optimize first gives the
database 64 KiB pages and compacts it (VACUUM), which replicates best.

--repair first fetches and verifies all that the newest state in each store needs, as a restore does, prints what
is damaged or gone, and uploads that anew, with all else that the state has in the same objects, so that they can be
removed. Older states that need them stay as they are: 'boule check' names them until 'boule prune' has removed those
states and, after its grace, the objects.

--json prints an object with manifest, and with --repair damaged: what was wrong, as an array of texts.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.needStore(); err != nil {
				return err
			}
			ctx, cancel := bounded(cmd.Context(), timeout)
			defer cancel()
			return a.sync(ctx, args[0], optimize, repair)
		},
	}
	cmd.Flags().BoolVarP(&optimize, "optimize", "O", false, "first VACUUM into 64 KiB pages (rewrites the whole database)")
	cmd.Flags().BoolVar(&repair, "repair", false, "look for damage in the stores, and upload anew what can't be read")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (default: when the store has only failed for 30s)")
	return cmd
}

func bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}

func mustExist(path string) error {
	switch fi, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: no such database", path)
	case err != nil:
		return err
	case fi.IsDir():
		return fmt.Errorf("%s is a directory, not a database", path)
	case fi.Size() == 0:
		return fmt.Errorf("%s is empty: there is nothing to replicate before the first table", path)
	}
	return nil
}

func (a *app) sync(ctx context.Context, path string, optimize, repair bool) error {
	if err := mustExist(path); err != nil {
		return err
	}
	r, err := boule.New(a.cfg)
	if err != nil {
		return err
	}
	defer a.done(r)
	if optimize {
		if err := r.Optimize(ctx, path); err != nil {
			return err
		}
	}
	if !repair {
		if err := a.upload(func() error { return r.Flush(ctx, path) }, r, path); err != nil {
			return err
		}
		return a.printName(r, path, nil)
	}
	damaged := []string{}
	err = a.upload(func() error {
		return r.Repair(ctx, path, func(err error) { damaged = append(damaged, message(err)) })
	}, r, path)
	if !a.json {
		for _, d := range damaged {
			fmt.Fprintln(a.stderr, "damaged:", d)
		}
	}
	if err != nil {
		return err
	}
	return a.printName(r, path, map[string]any{"damaged": damaged})
}

// printName prints what the replica of a database is called, and in JSON more.
func (a *app) printName(r *boule.Replicator, path string, more map[string]any) error {
	name, err := r.ManifestName(path)
	if err != nil {
		return err
	}
	if a.json {
		out := map[string]any{"manifest": name}
		maps.Copy(out, more)
		return a.printJSON(out)
	}
	fmt.Fprintln(a.stdout, name)
	return nil
}

// upload calls flush, and shows on a terminal how far it is.
func (a *app) upload(flush func() error, r *boule.Replicator, path string) error {
	if !isTerminal(a.stderr) {
		return flush()
	}
	done := make(chan error, 1)
	go func() { done <- flush() }()
	bar := a.progress("reading", -1)
	defer bar.finish()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var most int64
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			_, waiting := r.Progress(path)
			if waiting > 0 {
				bar.Describe("uploading")
				most = max(most, waiting)
				bar.ChangeMax64(most)
			}
			bar.set(most-waiting, most)
		}
	}
}

func newFlush(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "flush [SPOOL]",
		Short: "Upload everything that waits in a spool",
		Long: `Flush uploads what waits in the spool directory (by default the configured one), each
database to the target it was spooled for, whatever the configuration says now. It
succeeds only when every database there is in its store as it is on disk now.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := bounded(cmd.Context(), timeout)
			defer cancel()
			dir := a.cfg.SpoolDir
			if len(args) == 1 {
				dir = args[0]
			}
			return a.flush(ctx, dir)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (default: when the store has only failed for 30s)")
	return cmd
}

func (a *app) flush(ctx context.Context, dir string) error {
	if dir == "" {
		var err error
		if dir, err = boule.DefaultSpoolDir(); err != nil {
			return err
		}
	}
	results, err := boule.FlushSpool(ctx, dir, a.cfg)
	if err != nil {
		return err
	}
	var failed []error
	for _, res := range results {
		if res.Err != nil {
			failed = append(failed, res.Err)
		}
	}
	if a.json {
		type row struct {
			Path     string `json:"path"`
			Target   string `json:"target"`
			Manifest string `json:"manifest,omitempty"`
			Error    string `json:"error,omitempty"`
		}
		rows := []row{}
		for _, res := range results {
			r := row{Path: res.Path, Target: res.Target, Manifest: res.Manifest}
			if res.Err != nil {
				r.Error = message(res.Err)
			}
			rows = append(rows, r)
		}
		if err := a.printJSON(rows); err != nil {
			return err
		}
	} else {
		for _, res := range results {
			if res.Err == nil {
				fmt.Fprintf(a.stdout, "%s -> %s\n", res.Path, res.Target)
			}
		}
	}
	return errors.Join(failed...)
}
