package main

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

const costHelp = `Cost measures what the replica of the database that was at PATH (on --hostname), or that a boule://
reference names, takes in each configured store, and estimates what that costs in a month of 730 hours.

Live bytes are those that the newest state needs; dead ones are of earlier states, or of none. The layout log is listed, and its
newest index is read. In the layout chunks the store is asked for every chunk of the manifest, and dead bytes are not known.

The default prices are those of S3 Standard in us-east-1, in dollars: --price-put for 1000 puts, --price-get for 1000 gets,
--price-gb for a month of 10^9 bytes. Requests are estimated from --commits-per-hour, each uploaded by
itself (those that come close together are uploaded as one, which is cheaper): 17/16 puts in the layout log, for the entry and now and then
the copy of its header; 3 in the layout chunks, for two chunks and the manifest. --restores-per-month reads all live objects
by a get each. Transfer is not counted.`

// prices are in dollars, and the use that they are for.
type prices struct {
	Put      float64 `json:"price_put"`
	Get      float64 `json:"price_get"`
	GB       float64 `json:"price_gb"`
	PerHour  float64 `json:"commits_per_hour"`
	PerMonth float64 `json:"restores_per_month"`
}

type costJSON struct {
	boule.ReplicaUsage
	Puts    float64 `json:"puts_per_month"`
	Gets    float64 `json:"gets_per_month"`
	Storage float64 `json:"storage_dollars"`
	Request float64 `json:"request_dollars"`
	Total   float64 `json:"dollars_per_month"`
}

func newCost(a *app) *cobra.Command {
	var p prices
	cmd := &cobra.Command{
		Use:   "cost PATH",
		Short: "Measure what a replica takes in the store, and estimate what it costs",
		Long:  costHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, v := range []float64{p.Put, p.Get, p.GB, p.PerHour, p.PerMonth} {
				if !(v >= 0 && v < 1e12) {
					return usagef("prices and numbers must not be negative, nor beyond 10^12")
				}
			}
			refs, err := a.logRefs(args[0])
			if err != nil {
				return err
			}
			return a.cost(cmd.Context(), refs, p)
		},
	}
	cmd.Flags().Float64Var(&p.Put, "price-put", 0.005, "dollars for 1000 puts")
	cmd.Flags().Float64Var(&p.Get, "price-get", 0.0004, "dollars for 1000 gets")
	cmd.Flags().Float64Var(&p.GB, "price-gb", 0.023, "dollars for a month of 10^9 bytes")
	cmd.Flags().Float64Var(&p.PerHour, "commits-per-hour", 0, "uploads in an hour")
	cmd.Flags().Float64Var(&p.PerMonth, "restores-per-month", 0, "restores in a month")
	return cmd
}

func (p *prices) of(u boule.ReplicaUsage) costJSON {
	c := costJSON{ReplicaUsage: u}
	perCommit := 17.0 / 16
	if u.Layout == target.LayoutChunks {
		perCommit = 3
	}
	c.Puts = 730 * p.PerHour * perCommit
	c.Gets = p.PerMonth * float64(u.Objects)
	c.Storage = float64(u.Live+u.Dead) / 1e9 * p.GB
	c.Request = c.Puts/1000*p.Put + c.Gets/1000*p.Get
	c.Total = c.Storage + c.Request
	return c
}

func (a *app) cost(ctx context.Context, refs []string, p prices) error {
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
		dead := humanize.IBytes(uint64(max(c.Dead, 0))) + " dead"
		if c.Layout == target.LayoutChunks {
			dead = "dead unknown"
		}
		fmt.Fprintf(a.stdout, "%s\n  %s for a database of %s: %s live, %s\n", c.Store,
			counted(c.Objects, "object"), humanize.IBytes(uint64(c.Size)), humanize.IBytes(uint64(c.Live)), dead)
		fmt.Fprintf(a.stdout, "  $%.4f a month: $%.4f for storage, $%.4f for %.0f puts and %.0f gets\n", c.Total, c.Storage, c.Request, c.Puts, c.Gets)
	}
	return nil
}
