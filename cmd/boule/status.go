package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule"
)

const statusHelp = `Status measures: it reads the header of each database and asks each store. Without
DB it covers all databases that have a spool since the machine started.

It tells what the programs of this machine that share the spool have asked of the store, and why they fail if they do; what the replica
takes there (layout log: --quick leaves that out, since it lists the replica; layout chunks: 'boule cost' measures it); and what a month like the time
since counting began would cost, at prices as for 'boule cost'.`

// A statusJSON is a status with what it costs.
type statusJSON struct {
	boule.DatabaseStatus
	Targets []targetJSON `json:"targets"`
}

type targetJSON struct {
	boule.TargetStatus
	*monthly // nil if what the replica takes is not known
}

func newStatus(a *app) *cobra.Command {
	var p prices
	var quick bool
	cmd := &cobra.Command{
		Use:   "status [DB…]",
		Short: "Tell what is spooled, what is in the store, how far behind it is, and what that costs",
		Long:  statusHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notNegative(p.Put, p.Get, p.GB); err != nil {
				return err
			}
			found, err := boule.Status(cmd.Context(), a.cfg, args...)
			if err != nil {
				return err
			}
			all, err := priced(cmd.Context(), found, p, quick)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(all)
			}
			return a.printStatus(all)
		},
	}
	p.flags(cmd.Flags())
	cmd.Flags().BoolVar(&quick, "quick", false, "do not measure what replicas take in the store")
	return cmd
}

// priced adds what each replica takes and costs.
func priced(ctx context.Context, found []boule.DatabaseStatus, p prices, quick bool) ([]statusJSON, error) {
	all := make([]statusJSON, len(found))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	now := time.Now()
	for i, db := range found {
		all[i] = statusJSON{db, make([]targetJSON, len(db.Targets))}
		for j := range db.Targets {
			t := &all[i].Targets[j]
			t.TargetStatus = db.Targets[j]
			g.Go(func() error {
				if quick {
					return nil
				}
				if err := t.Measure(ctx); err != nil {
					t.Error = strings.TrimPrefix(err.Error(), "boule: ")
				}
				if t.Stored != nil {
					m := p.price(measured(t.Activity, now), t.Live+t.Dead)
					t.monthly = &m
				}
				return ctx.Err()
			})
		}
	}
	return all, g.Wait()
}

func (a *app) printStatus(all []statusJSON) error {
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
			if t.Activity != nil {
				if why := oneLine(t.Activity.Error); why != "" {
					if strings.Contains(why, boule.ErrFenced.Error()) {
						why += hintTakeover
					}
					fmt.Fprintf(w, "  failing\t%s%s\n", why, when(", since ", t.ErrorSince))
				}
				fmt.Fprintf(w, "  requests\t%s\n", asked(t.Activity))
			}
			if t.Stored != nil {
				fmt.Fprintf(w, "  takes\t%s\n", stored(t.Stored))
			}
			if t.monthly != nil {
				fmt.Fprintf(w, "  costs\t$%.4f a month like this: $%.4f for storage, $%.4f for requests\n", t.Total, t.Storage, t.Request)
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
