package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

const copyHelp = `Copy reads the newest state of a replica from the store SRC, verifies it, and writes it to the store DST, each in
the layout that its URL says (?layout=log or ?layout=chunks; DST's default is that of new targets). Both are store URLs, as for
--store, which does not count here. They may be the same but for the layout. Which replica, is said by the path that the
database had (on --hostname), or by a boule:// reference. Without --history the temporary directory needs room for the database.

A replica that DST has already is kept if it is newer, or its log belongs to another writer; --force replaces
it, which in the layout log takes it over, and keeps its history. With --history all recovery points are copied, from log
to log, as they are; a copy that was interrupted, or is older, is continued. 'boule check' verifies the result.`

func newCopy(a *app) *cobra.Command {
	var path string
	var opts boule.CopyOptions
	cmd := &cobra.Command{
		Use:   "copy SRC DST (--source-path PATH | boule://HOST/path)",
		Short: "Copy a replica to another store or layout",
		Long:  copyHelp,
		Args:  cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.Jobs < 0 || opts.Jobs > 256 {
				return usagef("--jobs %d: want between 1 and 256", opts.Jobs)
			}
			var refs []string
			var err error
			switch {
			case len(args) == 3 && path != "":
				return usagef("give --source-path or a reference, not both")
			case len(args) == 3:
				refs = args[2:]
			case path == "":
				return usagef("which replica? give --source-path PATH or boule://HOST/path")
			default:
				if refs, err = a.pathRefs(path); err != nil {
					return err
				}
			}
			from, err := target.FromURL(args[0])
			if err != nil {
				return usagef("SRC: %w", err)
			}
			to, err := target.FromURL(args[1])
			if err != nil {
				return usagef("DST: %w", err)
			}
			switch {
			case from.ID() == to.ID():
				return usagef("SRC and DST are the same")
			case opts.History && opts.Force:
				return usagef("--history continues a copy, or makes a new one; it replaces nothing, so leave --force out")
			case opts.History && (from.LayoutOrDefault() != target.LayoutLog || to.LayoutOrDefault() != target.LayoutLog):
				return usagef("--history copies from log to log: only these have recovery points")
			}
			return a.copy(cmd.Context(), refs, from, to, &opts)
		},
	}
	cmd.Flags().StringVarP(&path, "source-path", "s", "", "path of the database that was replicated (its host: --hostname)")
	cmd.Flags().BoolVarP(&opts.Force, "force", "f", false, "replace a newer replica, or one of another writer")
	cmd.Flags().BoolVar(&opts.History, "history", false, "copy all recovery points, not only the newest state")
	cmd.Flags().IntVarP(&opts.Jobs, "jobs", "j", 0, "requests at a time (default 16)")
	return cmd
}

func (a *app) copy(ctx context.Context, refs []string, from, to target.Target, opts *boule.CopyOptions) error {
	bar := a.progress("copying", -1)
	opts.Progress = func(done, total int64) {
		if bar.ProgressBar != nil {
			bar.ChangeMax64(total)
		}
		bar.set(done, total)
	}
	report, err := firstOfRefs(a, refs, func(ref string) (*boule.CopyReport, error) {
		return boule.Copy(ctx, ref, from, to, a.cfg, opts)
	})
	bar.finish()
	if errors.Is(err, boule.ErrCopyRefused) && !opts.History {
		return fmt.Errorf("%w; --force replaces it", err)
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(report)
	}
	what := "copied"
	switch {
	case report.Unchanged:
		what = "there already"
	case opts.History:
		what = fmt.Sprintf("%d recovery points copied", report.Entries)
	}
	fmt.Fprintf(a.stdout, "%s -> %s: %s, %s\n", report.Manifest, report.To, what, humanize.IBytes(uint64(report.Size)))
	return nil
}
