package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/boule-db/boule"
)

var (
	rounds = flag.Int("rounds", 5, "rounds, each with all variants")
	only   = flag.String("only", "commits,faults,spool,upload,restore,start", "what to measure")
	dir    = flag.String("dir", "", "where to work (default: the temporary directory)")
	// deletions is how often one of the spools of "faults" is deleted.
	deletions = flag.Duration("deletions", 250*time.Millisecond, "between two deletions of a spool")

	uses  = flag.Int("spool-transactions", 10_000, "transactions over which the size of a spool is measured")
	seed  = flag.Uint64("seed", 1, "of those transactions")
	size  = flag.Int("restore-mib", 256, "size of the database that is restored")
	child = flag.String("child", "", "internal: be a child process")
)

func main() {
	flag.Parse()
	if *child != "" {
		if err := startChild(*child, flag.Arg(0)); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	work, err := os.MkdirTemp(*dir, "boule-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	v, err := boule.Version(&boule.Config{})
	if err != nil {
		return err
	}
	fmt.Printf("%s, %s/%s, %d CPUs, SQLite %s, wazero %s (%s), rounds %d\n\n",
		time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), v.SQLite, v.Wazero, v.Engine, *rounds)
	for _, what := range strings.Split(*only, ",") {
		f, ok := map[string]func(context.Context, string) error{
			"commits": commits, "faults": faults, "spool": spoolUse, "upload": upload, "restore": restore, "start": start,
		}[what]
		if !ok {
			return fmt.Errorf("-only %s: want commits, faults, spool, upload, restore, start", what)
		}
		sub := filepath.Join(work, what)
		if err := os.Mkdir(sub, 0o700); err != nil {
			return err
		}
		if err := f(ctx, sub); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// sample holds one figure of each round.
type sample []float64

func (s sample) sorted() sample {
	c := slices.Clone(s)
	slices.Sort(c)
	return c
}

func (s sample) median() float64 {
	c := s.sorted()
	if len(c) == 0 {
		return 0
	}
	return (c[(len(c)-1)/2] + c[len(c)/2]) / 2
}

// String is the median and, in brackets, the least and the greatest.
func (s sample) String() string {
	c := s.sorted()
	if len(c) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g [%.3g..%.3g]", c.median(), c[0], c[len(c)-1])
}

// ratio is s over base, round by round.
func (s sample) ratio(base sample) sample {
	r := make(sample, min(len(s), len(base)))
	for i := range r {
		r[i] = s[i] / base[i]
	}
	return r
}

// quantile is in microseconds; it sorts ds.
func quantile(ds []time.Duration, q float64) float64 {
	slices.SortFunc(ds, cmp.Compare[time.Duration])
	return float64(ds[min(int(q*float64(len(ds))), len(ds)-1)]) / float64(time.Microsecond)
}

func table() *tabwriter.Writer { return tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0) }
