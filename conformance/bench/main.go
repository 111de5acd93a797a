package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench/report"
)

var (
	rounds = flag.Int("rounds", 5, "rounds, each with all engines")
	only   = flag.String("only", "", "groups to measure, with commas between (default: "+strings.Join(names(true), ",")+"; also: "+strings.Join(names(false), ",")+")")
	dir    = flag.String("dir", "", "where to work (default: the temporary directory)")
	quick  = flag.Bool("quick", false, "small and few of everything, to see whether it works")
	asJSON = flag.Bool("json", false, "print JSON instead of a table")
	check  = flag.Bool("check", false, "fail if a limit is not kept")
	limit  = flag.Duration("time", 15*time.Minute, "after that start no more rounds")
	sizes  = flag.String("sizes", "10MB,1GB", "of the databases of the group sizes; sparse files, of which 16GB takes a minute and 256GB half an hour: set -time")
	bulk   = flag.Int("bulk-mb", 1000, "size of the database that is loaded in bulk")

	// deletions is how often one of the spools of "faults" is deleted.
	deletions = flag.Duration("deletions", 250*time.Millisecond, "between two deletions of a spool")

	uses  = flag.Int("spool-transactions", 10_000, "transactions over which the size of a spool is measured")
	seed  = flag.Uint64("seed", 1, "of those transactions")
	size  = flag.Int("restore-mb", 250, "size of the database that is restored")
	child = flag.String("child", "", "internal: be a child process")
)

// A bench is one run.
type bench struct {
	*report.Report
	rounds int
}

// A group is what is measured together.
type group struct {
	name      string
	byDefault bool
	run       func(b *bench, ctx context.Context, work string) error
}

// groups are in the order in which they are measured.
func groups() []group {
	return []group{
		{"start", true, (*bench).start},
		{"memory", true, (*bench).memory},
		{"small", true, (*bench).small},
		{"medium", true, (*bench).medium},
		{"stall", true, (*bench).stall},
		{"burst", true, (*bench).burst},
		{"sizes", true, (*bench).sizes},
		{"reads", true, (*bench).reads},
		{"speedtest1", true, (*bench).speedtest},
		{"bulk", true, (*bench).bulk},
		{"upload", true, (*bench).upload},
		{"restore", true, (*bench).restore},
		{"faults", false, (*bench).faults},
		{"spool", false, (*bench).spool},
	}
}

func (b *bench) groups() (all []report.Group) {
	for _, g := range groups() {
		all = append(all, report.Group{Name: g.name, Run: func(ctx context.Context, dir string) error { return g.run(b, ctx, dir) }})
	}
	return all
}

// names are those of the groups that are measured by default, or those that are not.
func names(byDefault bool) (names []string) {
	for _, g := range groups() {
		if g.byDefault == byDefault {
			names = append(names, g.name)
		}
	}
	return names
}

func main() {
	flag.Parse()
	if *child != "" {
		if err := beChild(*child, flag.Args()); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), *limit)
	defer stop()
	r, err := run(ctx)
	if r != nil {
		show := r.Text
		if *asJSON {
			show = r.JSON
		}
		err = errors.Join(err, show(os.Stdout))
	}
	if err == nil && *check && !r.OK() {
		err = errors.New("bench: a limit is not kept")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run measures. The report is of what could be measured; it is nil if nothing was tried.
func run(ctx context.Context) (*report.Report, error) {
	if *quick {
		*rounds, *bulk, *size, *uses, *sizes = 1, 16, 16, 100, "10MB"
	}
	b := &bench{Report: report.New(""), rounds: *rounds}
	chosen, err := report.Choose(b.groups(), *only, names(true))
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(*dir, "boule-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if work, err = filepath.EvalSymlinks(work); err != nil {
		return nil, err
	}
	v, err := boule.Version(&boule.Config{})
	if err != nil {
		return nil, err
	}
	b.Title = fmt.Sprintf("SQLite %s, wazero %s (%s), %d rounds", v.SQLite, v.Wazero, v.Engine, b.rounds)
	return b.Report, b.Measure(ctx, "bench", *limit, chosen, func(name string) (string, error) {
		sub := filepath.Join(work, name)
		return sub, os.Mkdir(sub, 0o700)
	})
}

// each calls f for each round, as long as there is time. The first round is always made, and the context that f is
// given does not end with the time: what has begun is measured to its end.
func (b *bench) each(ctx context.Context, f func(ctx context.Context, round int) error) error {
	for i := range b.rounds {
		if i > 0 && ctx.Err() != nil {
			break
		}
		if err := f(context.WithoutCancel(ctx), i); err != nil {
			return err
		}
	}
	return nil
}

// few is n, or in a quick run the less.
func few(n, less int) int {
	if *quick {
		return less
	}
	return n
}
