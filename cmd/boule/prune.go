package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

func newPrune(a *app) *cobra.Command {
	var policy boule.PrunePolicy
	var opts boule.PruneOptions
	var within string
	cmd := &cobra.Command{
		Use:   "prune PATH --keep-…",
		Short: "Remove old states from a replica, and what nothing else needs",
		Long: `Prune keeps those entries of 'boule history' that one of the --keep flags says, and always the newest, and
removes the others; then the objects that nothing needs which is kept. It may run beside whoever writes and
reads the replica: what was the newest state within --grace stays, and all that it needs. Only a restore of an older
state, which this very command removes, can lose objects then; it fails, and leaves no file. With a negative
number a flag keeps all of its kind. --dry-run tells what would go.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if within != "" {
				d, err := parseAge(within)
				if err != nil {
					return usagef("--keep-within %q: %w", within, err)
				}
				policy.Within = d
			}
			switch {
			case policy.IsZero():
				return usagef("what shall stay? give at least one --keep flag, as --keep-within 30d or --keep-hourly 48")
			case cmd.Flags().Changed("grace") && opts.Grace < 2*time.Minute:
				return usagef("--grace %v is too short for those who are reading now: at least 2m", opts.Grace)
			}
			refs, err := a.logRefs(args[0])
			if err != nil {
				return err
			}
			var done []boule.PruneReport // also if others fail
			_, err = firstOfRefs(a, refs, func(ref string) ([]boule.PruneReport, error) {
				reports, err := boule.Prune(cmd.Context(), ref, policy, &opts, a.cfg)
				done = append(done, reports...)
				return reports, err
			})
			if err == nil || len(done) > 0 {
				err = errors.Join(err, a.printPruned(done, opts.DryRun))
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&policy.Last, "keep-last", 0, "so many of the newest")
	flags.StringVar(&within, "keep-within", "", "all that are at most so much older than the newest: 12h, 30d, 6w, 3m (months of 30 days), 1y, 1y6m")
	flags.IntVar(&policy.Hourly, "keep-hourly", 0, "the newest of each hour, for so many hours that have any")
	flags.IntVar(&policy.Daily, "keep-daily", 0, "the same of days")
	flags.IntVar(&policy.Weekly, "keep-weekly", 0, "of weeks")
	flags.IntVar(&policy.Monthly, "keep-monthly", 0, "of months")
	flags.IntVar(&policy.Yearly, "keep-yearly", 0, "of years")
	flags.BoolVarP(&opts.DryRun, "dry-run", "n", false, "remove nothing, only tell")
	flags.DurationVar(&opts.Grace, "grace", 24*time.Hour, "leave alone what is younger; at least 2m")
	return cmd
}

// ages are the units of parseAge. Those of restic: m is a month.
var ages = map[byte]time.Duration{
	's': time.Second, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'm': 30 * 24 * time.Hour, 'y': 365 * 24 * time.Hour,
}

// parseAge reads a duration as 1y6m, in the units of ages.
func parseAge(s string) (d time.Duration, err error) {
	const most = 200 * 365 * 24 * time.Hour
	rest := s
	for rest != "" {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 {
			break
		}
		n, nerr := strconv.ParseInt(rest[:i], 10, 32)
		unit, ok := ages[rest[i]]
		if nerr != nil || !ok || time.Duration(n) > most/unit {
			break
		}
		if d += time.Duration(n) * unit; d > most {
			break
		}
		rest = rest[i+1:]
	}
	if s == "" || rest != "" || d == 0 {
		return 0, fmt.Errorf("write numbers with s, h, d, w, m (months) or y, as 30d or 1y6m")
	}
	return d, nil
}

type prunedJSON struct {
	Target  string   `json:"target"`
	DryRun  bool     `json:"dry_run"`
	Newest  uint64   `json:"newest"`
	Kept    []uint64 `json:"kept"`
	Recent  int      `json:"kept_for_grace"`
	Removed []uint64 `json:"removed"`
	Objects int      `json:"removed_objects"`
	Bytes   int64    `json:"removed_bytes"`
	Left    int      `json:"left_objects"`
	LeftB   int64    `json:"left_bytes"`
	Young   int      `json:"young_packs"`
}

func (a *app) printPruned(reports []boule.PruneReport, dry bool) error {
	rows := []prunedJSON{}
	for _, r := range reports {
		row := prunedJSON{
			Target: r.Target, DryRun: dry, Newest: r.Newest, Kept: []uint64{}, Recent: r.Recent, Removed: append([]uint64{}, r.Pruned...),
			Objects: r.RemovedEntries + r.RemovedPacks, Bytes: r.RemovedBytes,
			Left: r.LeftEntries + r.LeftPacks, LeftB: r.LeftBytes, Young: r.Young,
		}
		for _, k := range r.Kept {
			row.Kept = append(row.Kept, k.Entry)
		}
		rows = append(rows, row)
	}
	if a.json {
		return a.printJSON(rows)
	}
	verb := "removed"
	if dry {
		verb = "would remove"
	}
	for i, r := range rows {
		fmt.Fprintf(a.stdout, "%s\n", r.Target)
		for _, k := range reports[i].Kept {
			fmt.Fprintf(a.stdout, "  keep entry %d of %s: %s\n", k.Entry, k.Time.Local().Format(time.RFC3339), strings.Join(k.Reasons, ", "))
		}
		if r.Recent > 0 {
			fmt.Fprintf(a.stdout, "  keep %d more that are younger than the grace\n", r.Recent)
		}
		fmt.Fprintf(a.stdout, "  %s %d states, %d objects with %s; %d objects with %s stay\n", verb,
			len(r.Removed), r.Objects, humanize.IBytes(uint64(r.Bytes)), r.Left, humanize.IBytes(uint64(r.LeftB)))
	}
	return nil
}
