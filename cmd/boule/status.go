package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

func newStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [DB…]",
		Short: "Tell what is spooled, what is in the store, and how far behind it is",
		Long: `Status measures: it reads the header of each database and asks each store. Without
DB it covers all databases that have a spool since the machine started.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := boule.Status(cmd.Context(), a.cfg, args...)
			if err != nil {
				return err
			}
			if a.json {
				if all == nil {
					all = []boule.DatabaseStatus{}
				}
				return a.printJSON(all)
			}
			return a.printStatus(all)
		},
	}
}

func (a *app) printStatus(all []boule.DatabaseStatus) error {
	if len(all) == 0 {
		fmt.Fprintln(a.stdout, "nothing is spooled")
		return nil
	}
	for _, db := range all {
		fmt.Fprintf(a.stdout, "%s  %s, %s\n", db.Path, humanize.IBytes(uint64(db.Size)), db.Mode)
		if db.Warning != "" {
			fmt.Fprintf(a.stdout, "  warning: %s\n", db.Warning)
		}
		if len(db.Targets) == 0 {
			fmt.Fprintln(a.stdout, "  not replicated: no store is configured")
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		for _, t := range db.Targets {
			fmt.Fprintf(w, "  target\t%s\n", t.Target)
			if t.Manifest != "" {
				fmt.Fprintf(w, "  manifest\t%s\n", t.Manifest)
			}
			fmt.Fprintf(w, "  spooled\t%d chunks, %s%s\n", t.SpooledChunks, humanize.IBytes(uint64(t.SpooledBytes)), when(", snapshot of ", t.StagedTime))
			switch {
			case t.Error != "":
				fmt.Fprintf(w, "  in the store\tunknown: %s\n", t.Error)
			case t.InSync:
				fmt.Fprintf(w, "  in the store\tthe present state%s\n", when(", of ", t.RemoteTime))
			default:
				fmt.Fprintf(w, "  in the store\tthe state%s\n", when(" of ", t.RemoteTime))
				fmt.Fprintf(w, "  lag\tat most %v\n", t.Lag.Round(time.Millisecond))
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func when(prefix string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return prefix + t.Local().Format(time.RFC3339)
}
