package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

// A moment is a state in the history of a replica: an entry of its log, or a time. The zero value is the newest.
type moment struct {
	entry uint64
	at    string
}

func (m *moment) flags(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&m.entry, "entry", 0, "the state of this entry of 'boule history'")
	cmd.Flags().StringVar(&m.at, "at", "", "the newest state at this time: RFC 3339, 'YYYY-MM-DD hh:mm:ss' here, or -5m for five minutes ago, -2d for two days")
}

// parseTime reads a time as people write it.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "now" {
		return now, nil
	}
	if ago, ok := strings.CutPrefix(s, "-"); ok {
		d, err := time.ParseDuration(ago)
		if err != nil && !strings.Contains(ago, "m") { // which is a minute here, and a month there
			d, err = parseAge(ago)
		}
		if err == nil && d >= 0 {
			return now.Add(-d), nil
		}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--at %q is no time; write 2026-01-31T12:00:00Z, '2026-01-31 12:00:00', -5m, -2d or now", s)
}

func newHistory(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "history PATH",
		Short: "List the states of a database that its replica keeps",
		Long: `History lists the entries of the log of the database that was at PATH (on --hostname), or that a
boule:// reference names, the oldest first. 'boule restore --entry' and '--at' restore them. A replica in
the layout chunks has no history.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := a.logRefs(args[0])
			if err != nil {
				return err
			}
			var points []boule.Point // also if others are damaged
			_, err = firstOfRefs(a, refs, func(ref string) ([]boule.Point, error) {
				found, err := boule.History(cmd.Context(), ref, a.cfg)
				points = append(points, found...)
				return found, err
			})
			if err == nil || len(points) > 0 {
				err = errors.Join(err, a.printHistory(points))
			}
			return err
		},
	}
}

// logRefs are the references to the log of a database, given by its path or a reference.
func (a *app) logRefs(arg string) ([]string, error) {
	if boule.IsRef(arg) {
		return []string{arg}, nil
	}
	if arg == "" {
		return nil, usagef("the path of the database is empty")
	}
	return a.pathRefs(arg)
}

type pointJSON struct {
	Entry  uint64    `json:"entry"`
	Time   time.Time `json:"time"`
	Size   int64     `json:"size"`
	Object int64     `json:"object_size"`
}

func (a *app) printHistory(points []boule.Point) error {
	if a.json {
		rows := []pointJSON{}
		for _, p := range points {
			rows = append(rows, pointJSON{p.Entry, p.Time, p.Size, p.ObjectSize})
		}
		return a.printJSON(rows)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "entry\ttime\tdatabase\tentry's object")
	for _, p := range points {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", p.Entry, p.Time.Local().Format(time.RFC3339Nano), humanize.IBytes(uint64(p.Size)), humanize.IBytes(uint64(p.ObjectSize)))
	}
	return w.Flush()
}
