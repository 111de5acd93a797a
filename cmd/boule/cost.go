package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

const costHelp = `Cost measures what the replica of the database that was at PATH (on --hostname), or that a boule://
reference names, takes in each configured store, and estimates what that costs in a month of 730 hours.

Live bytes are those that the newest state needs; dead ones are of earlier states, or of none. The layout log is listed, and its
newest index is read. In the layout chunks the store is asked for every chunk of the manifest, and dead bytes are not known.

The default prices are those of S3 Standard in us-east-1, in dollars: --price-put for 1000 puts, --price-get for 1000 gets,
--price-gb for a month of 10^9 bytes. Lists cost what puts do, heads what gets do, and removals nothing.
Requests are those that the programs of this machine that share the spool have made since they began to count, in a month
at that rate (what was counted for less than an hour is taken for an hour's); where nobody counted they are none. With --commits-per-hour they
are estimated instead, each commit uploaded by itself (those that come close together are uploaded as one, which is cheaper): 17/16 puts in the
layout log, for the entry and now and then the copy of its header; 3 in the layout chunks, for two chunks and the manifest.
--restores-per-month adds a get for each live object. Transfer is not counted.`

type costJSON struct {
	boule.ReplicaUsage
	monthly
}

// A costing is what a replica is for, and what that costs.
type costing struct {
	prices
	PerHour  float64 `json:"commits_per_hour,omitempty"`
	PerMonth float64 `json:"restores_per_month"`
	counted  bool    // requests, and not PerHour
}

func newCost(a *app) *cobra.Command {
	var p costing
	cmd := &cobra.Command{
		Use:   "cost PATH",
		Short: "Measure what a replica takes in the store, and estimate what it costs",
		Long:  costHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notNegative(p.Put, p.Get, p.GB, p.PerHour, p.PerMonth); err != nil {
				return err
			}
			p.counted = !cmd.Flags().Changed("commits-per-hour")
			refs, err := a.logRefs(args[0])
			if err != nil {
				return err
			}
			return a.cost(cmd.Context(), refs, p)
		},
	}
	p.flags(cmd.Flags())
	cmd.Flags().Float64Var(&p.PerHour, "commits-per-hour", 0, "uploads in an hour (default: requests as they were counted)")
	cmd.Flags().Float64Var(&p.PerMonth, "restores-per-month", 0, "restores in a month")
	return cmd
}

func (p *costing) of(u boule.ReplicaUsage) costJSON {
	m := commits(p.PerHour, u.Layout)
	if p.counted {
		m = measured(u.Activity, time.Now())
	}
	m.Gets += p.PerMonth * float64(u.LiveObjects)
	return costJSON{u, p.price(m, u.Live+u.Dead)}
}

func (a *app) cost(ctx context.Context, refs []string, p costing) error {
	all, err := firstOfRefs(a, refs, func(ref string) ([]boule.ReplicaUsage, error) { return boule.Usage(ctx, ref, a.cfg) })
	if err != nil {
		return err
	}
	rows := []costJSON{}
	for _, u := range all {
		rows = append(rows, p.of(u))
	}
	if a.json {
		return a.printJSON(map[string]any{"prices": p, "replicas": rows})
	}
	for _, c := range rows {
		fmt.Fprintf(a.stdout, "%s\n  %s for a database of %s\n", c.Store, stored(&c.Stored), humanize.IBytes(uint64(c.Size)))
		if c.Activity != nil {
			fmt.Fprintf(a.stdout, "  %s\n", asked(c.Activity))
		}
		fmt.Fprintf(a.stdout, "  $%.4f a month: $%.4f for storage, $%.4f for %.0f puts and %.0f gets\n", c.Total, c.Storage, c.Request, c.Puts, c.Gets)
	}
	return nil
}
