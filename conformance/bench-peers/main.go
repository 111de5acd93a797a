package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
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
	limit   = flag.Duration("time", 20*time.Minute, "after that start nothing more")
	mb      = flag.Int("mb", 94, "size of the databases that are replicated")
	seconds = flag.Int("seconds", 20, "of each workload whose uploads are counted")
	latency = flag.Duration("latency", 20*time.Millisecond, "of each request to the distant store")
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
		{"restore", (*bench).restore},
		{"replica", (*bench).replica},
		{"lag", (*bench).lag},
		{"binary", (*bench).binary},
	}
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
	wanted := names()
	if *only != "" {
		wanted = strings.Split(*only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("-only %s: want some of %s", name, strings.Join(names(), ","))
		}
	}
	b, err := newBench(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, g := range groups() {
		switch {
		case !slices.Contains(wanted, g.name):
			continue
		case ctx.Err() != nil:
			b.Note("%s was not measured: -time %v is over", g.name, *limit)
			continue
		}
		began := time.Now()
		sub, err := b.sub(g.name)
		if err != nil {
			return b.Report, err
		}
		err = g.run(b, ctx, sub)
		if err != nil && ctx.Err() != nil {
			b.Note("%s was not measured to its end: -time %v is over (%v)", g.name, *limit, err)
			err = nil
		}
		if err = errors.Join(err, os.RemoveAll(sub)); err != nil {
			return b.Report, fmt.Errorf("%s: %w", g.name, err)
		}
		fmt.Fprintf(os.Stderr, "bench-peers: %s took %v\n", g.name, time.Since(began).Round(100*time.Millisecond))
	}
	return b.Report, nil
}

// few is n, or in a quick run the less.
func few(n, less int) int {
	if *quick {
		return less
	}
	return n
}
