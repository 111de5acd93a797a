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
		Long: `Prune keeps those entries of 'boule history' that one of the --keep flags says, and always the newest. The others
are removed: they are no states to restore any more. The objects that nothing needs then are garbage, and are removed by the
first prune that runs --grace later, or after that. So it takes two, as of a daily job; and whoever reads a state while
it is pruned has that long to end. Prune may run beside those who write and read the replica.

With a negative number a flag keeps all of its kind. --dry-run tells what would go.`,
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
				return usagef("--grace %v is too short for those who are reading: at least 2m", opts.Grace)
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
	flags.DurationVar(&opts.Grace, "grace", boule.DefaultGrace, "how long garbage stays; at least 2m")
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
	Removed []uint64 `json:"removed"`
	Objects int      `json:"removed_objects"`
	Bytes   int64    `json:"removed_bytes"`
	Left    int      `json:"left_objects"`
	LeftB   int64    `json:"left_bytes"`
	Waiting int      `json:"garbage_objects"`
	WaitB   int64    `json:"garbage_bytes"`
	Next    string   `json:"garbage_removable,omitempty"`
}

func (a *app) printPruned(reports []boule.PruneReport, dry bool) error {
	rows := []prunedJSON{}
	for _, r := range reports {
		row := prunedJSON{
			Target: r.Target, DryRun: dry, Newest: r.Newest, Kept: []uint64{}, Removed: append([]uint64{}, r.Pruned...),
			Objects: r.RemovedEntries + r.RemovedPacks, Bytes: r.RemovedBytes,
			Left: r.LeftEntries + r.LeftPacks, LeftB: r.LeftBytes, Waiting: r.Waiting, WaitB: r.WaitingBytes,
		}
		if !r.Next.IsZero() {
			row.Next = nextSecond(r.Next.UTC()).Format(time.RFC3339)
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
		if n := len(r.Removed); n > 0 {
			fmt.Fprintf(a.stdout, "  %s %s: entries %s\n", verb, counted(n, "state"), runs(r.Removed))
		}
		fmt.Fprintf(a.stdout, "  %s %s with %s; %s with %s stay\n", verb, counted(r.Objects, "object"), humanize.IBytes(uint64(r.Bytes)),
			counted(r.Left, "object"), humanize.IBytes(uint64(r.LeftB)))
		if r.Waiting > 0 {
			fmt.Fprintf(a.stdout, "  of these, nothing needs %s with %s: prune again to remove them, from %s on\n", counted(r.Waiting, "object"),
				humanize.IBytes(uint64(r.WaitB)), nextSecond(reports[i].Next.Local()).Format(time.RFC3339))
		}
	}
	return nil
}

// nextSecond rounds a time up.
func nextSecond(t time.Time) time.Time { return t.Add(time.Second - 1).Truncate(time.Second) }

// runs writes numbers, which ascend, as 1-5, 7.
func runs(numbers []uint64) string {
	var parts []string
	for i := 0; i < len(numbers); i++ {
		first := numbers[i]
		for i+1 < len(numbers) && numbers[i+1] == numbers[i]+1 {
			i++
		}
		part := strconv.FormatUint(first, 10)
		if numbers[i] > first {
			part += "-" + strconv.FormatUint(numbers[i], 10)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
