package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"strings"
	"time"

	"github.com/boule-db/boule/conformance/bench/report"
)

var (
	rounds  = flag.Int("rounds", 5, "rounds of what is measured by time")
	only    = flag.String("only", "", "groups to measure, with commas between (default: all: "+strings.Join(names(), ",")+")")
	dir     = flag.String("dir", "", "where to work (default: the temporary directory); its file system needs user extended attributes")
	quick   = flag.Bool("quick", false, "small and few of everything, to see whether it works")
	asJSON  = flag.Bool("json", false, "print JSON instead of a table")
	limit   = flag.Duration("time", 75*time.Minute, "after that start nothing more")
	mb      = flag.Int("mb", 94, "size of the databases that are replicated")
	seconds = flag.Int("seconds", 60, "of each workload whose uploads are counted")
	latency = flag.Duration("latency", 20*time.Millisecond, "of each request to the distant store")
	layout  = flag.String("layout", "", "of Boule's replicas: log or chunks (default: both)")
	server  = flag.String("s3", "", "URL of an S3 server to use, keys test and testsecret (default: versitygw is started)")
)

// A group is what is measured together.
type group struct {
	name string
	run  func(b *bench, ctx context.Context, dir string) error
}

func groups() []group {
	return []group{
		{"engines", (*bench).engines},
		{"writes", (*bench).writes},
		{"first", (*bench).first},
		{"upload", (*bench).upload},
		{"idle", (*bench).idle},
		{"many", (*bench).many},
		{"restore", (*bench).restore},
		{"aged", (*bench).aged},
		{"pitr", (*bench).pitr},
		{"replica", (*bench).replica},
		{"lag", (*bench).lag},
		{"binary", (*bench).binary},
	}
}

func (b *bench) groups() (all []report.Group) {
	for _, g := range groups() {
		all = append(all, report.Group{Name: g.name, Run: func(ctx context.Context, dir string) error { return g.run(b, ctx, dir) }})
	}
	return all
}

func names() (names []string) {
	for _, g := range groups() {
		names = append(names, g.name)
	}
	return names
}

func main() {
	flag.Parse()
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
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (_ *report.Report, err error) {
	if *quick {
		*rounds, *mb, *seconds = 1, 8, 3
	}
	b := newBench()
	chosen, err := report.Choose(b.groups(), *only, names())
	if err != nil {
		return nil, err
	}
	if err := b.prepare(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	return b.Report, b.Measure(ctx, "bench-peers", *limit, chosen, b.sub)
}

// few is n, or in a quick run the less.
func few(n, less int) int {
	if *quick {
		return less
	}
	return n
}
