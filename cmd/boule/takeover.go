package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
)

func newTakeover(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "takeover DB",
		Short: "Let a database continue a replica that another one has written to",
		Long: `Takeover uploads the database as it is now to its replica (layout log), although somebody else wrote
there last: the same database before it moved to this machine, or another one by mistake. Who did so is
fenced: it spools on, uploads nothing more, and says so in its log and status. Nothing is lost: 'boule
history' lists what was there before.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.needStore(); err != nil {
				return err
			}
			ctx, cancel := bounded(cmd.Context(), timeout)
			defer cancel()
			if err := mustExist(args[0]); err != nil {
				return err
			}
			r, err := boule.New(a.cfg)
			if err != nil {
				return err
			}
			defer a.done(r)
			if err := r.Takeover(ctx, args[0]); err != nil {
				return err
			}
			return a.printName(r, args[0], nil)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (default: when the store has only failed for 30s)")
	return cmd
}
