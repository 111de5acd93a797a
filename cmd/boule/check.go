package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

const checkHelp = `Check verifies the replica of the database that was at PATH (on --hostname), or that a boule:// reference
names, in every configured store. Of a replica in the layout log, every state that it keeps ('boule history') must
be whole: the header of every entry, all indexes, and the end of every pack are read, what they name must be there, and each
object must be the one that was put there, as long as it was, also those that wait to be removed. In the layout chunks the
manifest and its index blocks are read, and the store is asked for every chunk.

--read-data also fetches all data, and compares them with their fingerprints, as a restore would, and what objects have
that no state needs; --read-data-subset N% does so with about N percent, others each time. A state that is gone, and was not
pruned, is a fault. Only one whose writer was killed just when it had put it, before it put the copy of its header, can be gone unnoticed, if this
machine was not the one that uploaded it, or was started anew since. Where the database is, 'boule sync --repair' uploads again what
its newest state needs.

Exit status: 0 all is there and whole, 1 something is not (each fault is printed, with the object) or the store could not be asked,
2 wrong arguments. --json prints an object with counts, and the array faults of objects with store, object and detail.`

func newCheck(a *app) *cobra.Command {
	var all bool
	var subset string
	var jobs int
	cmd := &cobra.Command{
		Use:   "check PATH",
		Short: "Verify that a replica is there and whole",
		Long:  checkHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := &boule.CheckOptions{Jobs: jobs}
			if jobs < 0 || jobs > 256 {
				return usagef("--jobs %d: want between 1 and 256", jobs)
			}
			if cmd.Flags().Changed("read-data-subset") {
				var err error
				if opts.Percent, err = parsePercent(subset); err != nil {
					return err
				}
				if all {
					return usagef("give --read-data or --read-data-subset, not both")
				}
			}
			if all {
				opts.Percent = 100
			}
			refs, err := a.logRefs(args[0])
			if err != nil {
				return err
			}
			return a.check(cmd.Context(), refs, opts)
		},
	}
	cmd.Flags().BoolVar(&all, "read-data", false, "fetch and verify all data")
	cmd.Flags().StringVar(&subset, "read-data-subset", "", "fetch and verify about `N%` of the data")
	cmd.Flags().IntVarP(&jobs, "jobs", "j", 0, "requests at a time (default 16)")
	return cmd
}

// parsePercent reads a whole number from 0 to 100, and the sign.
func parsePercent(s string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "%"), 10, 8)
	if err != nil || n > 100 || !strings.HasSuffix(s, "%") {
		return 0, usagef("--read-data-subset %q: want 0%% to 100%%", s)
	}
	return int(n), nil
}

func (a *app) check(ctx context.Context, refs []string, opts *boule.CheckOptions) error {
	bar := a.steps("checking")
	opts.Progress = bar.steps
	report, err := firstOfRefs(a, refs, func(ref string) (*boule.CheckReport, error) { return boule.Check(ctx, ref, a.cfg, opts) })
	bar.finish()
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(report)
	} else {
		a.printCheck(report)
	}
	if n := len(report.Faults); err == nil && n > 0 {
		err = &quietError{errors.New(counted(n, "fault"))}
	}
	return err
}

func (a *app) printCheck(r *boule.CheckReport) {
	for _, f := range r.Faults {
		object := f.Object
		if object == "" {
			object = f.Store
		}
		fmt.Fprintf(a.stdout, "%s: %s\n", object, oneLine(f.Detail))
	}
	what := counted(r.Entries, "entry")
	if r.Entries != 1 {
		what = fmt.Sprintf("%d entries", r.Entries)
	}
	fmt.Fprintf(a.stdout, "%s: looked at %s and %s in %s (%s), read %d\n", r.Manifest,
		what, counted(r.Chunks, "chunk"), counted(r.Stores, "store"), humanize.IBytes(uint64(r.Bytes)), r.Read)
	if n := len(r.Faults); n > 0 {
		fmt.Fprintln(a.stdout, counted(n, "fault"))
		fmt.Fprintln(a.stderr, "where the database is, 'boule sync --repair' uploads again what its newest state needs; 'boule prune' removes older states, and makes lists anew")
	} else {
		fmt.Fprintln(a.stdout, "no fault")
	}
}
