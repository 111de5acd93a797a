package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/target"
	"github.com/boule-db/boule/tracker"
)

const doctorHelp = `Doctor looks whether a spool (by default the configured one), the stores that it is for,
and its databases keep the invariants that spool/SPOOL.md numbers. It changes nothing, and
may be run at any time: what looks wrong while others are at work is looked at again, and
reported only if it is there while nothing moves. A database is compared with its snapshot
under the lock of a reader, 16 MiB at a time. Of a replica in the layout log it looks at the newest state,
and counts what it asks for, which may take several requests each; 'boule check' verifies all states.

What cannot be judged is said, with the reason, and is no failure: a store that does not
answer, a database that is busy all the time or in WAL mode. Invariants about the
order in which processes do things cannot be seen from outside; they are not judged.

Exit status: 0 what could be judged is well, 1 an invariant does not hold (each is
printed) or doctor itself failed, 2 wrong arguments, which a SPOOL that is no directory is.
--json prints an array of objects with kind ("violation" or "not judged"), invariant,
statement, path and detail.`

func newDoctor(a *app) *cobra.Command {
	var noStore bool
	opts := doctor.ExamineOptions{VersionID: func(f *os.File, header manifest.Fingerprint) []byte {
		return tracker.VersionID(f.Fd(), header)
	}}
	cmd := &cobra.Command{
		Use:   "doctor [SPOOL]",
		Short: "Check that spool, stores and databases keep what is promised",
		Long:  doctorHelp,
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.Requests < 1 || opts.Patience <= 0 {
				return usagef("--requests and --patience must be positive")
			}
			if !noStore {
				opts.Open = openToLook
			}
			return a.doctor(cmd.Context(), args, &opts)
		},
	}
	cmd.Flags().BoolVar(&noStore, "no-store", false, "do not ask the stores")
	cmd.Flags().IntVar(&opts.Requests, "requests", 1000, "ask each store at most so much; what is asked is chosen at random then")
	cmd.Flags().DurationVar(&opts.Patience, "patience", 10*time.Second, "how long to wait for a store, a lock, or a spool to keep still")
	return cmd
}

// openToLook opens the stores of a target and makes nothing.
func openToLook(ctx context.Context, spec json.RawMessage) (chunks, manifests store.Store, err error) {
	var t target.Target
	if err := json.Unmarshal(spec, &t); err != nil {
		return nil, nil, err
	}
	if t.S3 != nil {
		t.S3.CreateBucketsOnDemand = false
	}
	// The number of requests is bounded already.
	s, err := target.Open(ctx, t, &target.OpenOptions{Limiter: budget.NewLimiter(&budget.Options{Rate: -1, FlushRate: -1})})
	if err != nil {
		return nil, nil, err
	}
	if s.Layout == target.LayoutLog {
		chunks, manifests = logrep.View(s.Chunks, s.Manifests)
		return chunks, manifests, nil
	}
	return s.Chunks, s.Manifests, nil
}

func (a *app) doctor(ctx context.Context, args []string, opts *doctor.ExamineOptions) error {
	dir := a.cfg.SpoolDir
	if len(args) == 1 {
		dir = args[0]
	}
	if dir == "" {
		var err error
		if dir, err = boule.DefaultSpoolDir(); err != nil {
			return err
		}
	}
	report, err := doctor.Examine(ctx, dir, opts)
	switch {
	case errors.Is(err, doctor.ErrNoSpool) && len(args) == 1:
		return usage(err)
	case errors.Is(err, doctor.ErrNoSpool):
		report, err = &doctor.Report{}, nil // nothing was ever spooled
	case err != nil:
		return err
	}
	if a.json {
		err = a.printJSON(findings(report))
	} else {
		a.printReport(dir, report)
	}
	if err == nil && len(report.Violations) > 0 {
		err = &quietError{fmt.Errorf("%d violations", len(report.Violations))}
	}
	return err
}

type finding struct {
	Kind      string `json:"kind"`
	Invariant string `json:"invariant"`
	Statement string `json:"statement"`
	Path      string `json:"path"`
	Detail    string `json:"detail"`
}

func statements() map[string]string {
	all := map[string]string{}
	for _, inv := range doctor.Invariants() {
		all[inv.ID] = inv.Statement
	}
	return all
}

func findings(r *doctor.Report) []finding {
	said := statements()
	rows := []finding{}
	for _, v := range r.Violations {
		rows = append(rows, finding{"violation", v.Invariant, said[v.Invariant], v.Path, v.Detail})
	}
	for _, n := range r.NotJudged {
		for _, id := range n.Invariants {
			rows = append(rows, finding{"not judged", id, said[id], n.Path, n.Reason})
		}
	}
	return rows
}

func (a *app) printReport(dir string, r *doctor.Report) {
	said := statements()
	for _, v := range r.Violations {
		fmt.Fprintf(a.stdout, "%s violated: %s: %s (%s)\n", v.Invariant, v.Path, v.Detail, said[v.Invariant])
	}
	for _, n := range r.NotJudged {
		fmt.Fprintf(a.stdout, "not judged: %s: %s: %s\n", strings.Join(n.Invariants, " "), n.Path, n.Reason)
	}
	fmt.Fprintf(a.stdout, "%s: looked at %s with %s, compared %s of %s, made %s of stores\n", dir,
		counted(r.Spools, "spool"), counted(r.Files, "file"), humanize.IBytes(uint64(r.Compared)), counted(r.Databases, "database"), counted(r.Requests, "request"))
	switch n := len(r.Violations); {
	case n > 0:
		fmt.Fprintf(a.stdout, "%s\n", counted(n, "violation"))
	case r.Spools == 0:
		fmt.Fprintln(a.stdout, "nothing is spooled")
	default:
		fmt.Fprintf(a.stdout, "no violation of %s\n", strings.Join(doctor.Outside(), " "))
	}
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
