package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/conformance/bench/report"
)

// within is how much more a commit may cost to the largest database than to the smallest.
const within = 2

// sizes measures what a small commit costs depending on the size of the database: sparse files, 4 KiB pages, no
// fsync. Boule takes snapshots as it does by default (latencies), and one at every commit (tracker time and bytes).
func (b *bench) sizes(ctx context.Context, work string) error {
	var all []cost
	for i, text := range strings.Split(*sizes, ",") {
		n, err := humanize.ParseBytes(text)
		if err != nil {
			return fmt.Errorf("-sizes: %w", err)
		}
		if i > 0 && ctx.Err() != nil {
			b.Note("sizes: %s was not measured: -time %v is over", text, *limit)
			continue
		}
		s := setup{page: 4096, journal: "TRUNCATE", sync: "OFF", size: int64(n) / 4096 * 4096}
		dir := filepath.Join(work, text)
		if err := b.added(ctx, filepath.Join(dir, "a"), s); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		c, err := b.split(ctx, filepath.Join(dir, "b"), s)
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		all = append(all, c)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if len(all) > 1 {
		first, last := all[0], all[len(all)-1]
		between := fmt.Sprintf("at %s to that at %s", humanize.Bytes(uint64(last.size)), humanize.Bytes(uint64(first.size)))
		b.Must(report.Limit{What: "tracker time per small commit " + between, Measured: last.time.Ratio(first.time), Limit: within, Unit: "x"},
			report.Limit{What: "local bytes per small commit " + between, Measured: last.bytes.Ratio(first.bytes), Limit: within, Unit: "x"})
	}
	return nil
}

// added measures what Boule adds to commits.
func (b *bench) added(ctx context.Context, dir string, s setup) error {
	began := time.Now()
	w, err := newSite(ctx, dir, s, []string{plain, replicated}, func(path string) error { return sparse(path, s) })
	if err != nil {
		return err
	}
	first := time.Since(began)
	found, err := w.measure(ctx, b, few(1000, 50), 1)
	if err != nil {
		return err
	}
	if err := w.close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	base, ours := found[plain], found[replicated]
	p50, mean := ours.p50.Minus(base.p50), ours.mean.Minus(base.mean)
	b.Add(w.row("sizes", "first snapshot and upload", replicated, report.Sample{first.Seconds()}, "s"),
		w.row("sizes", "commit, p50", plain, base.p50, "µs"),
		w.row("sizes", "commit, p50", replicated, ours.p50, "µs").Over(w.row("", "", plain, base.p50, "")),
		w.row("sizes", "added to a commit, p50", replicated, p50, "µs"),
		w.row("sizes", "added to a commit, mean", replicated, mean, "µs"))
	if s.size/1e6 == 999 || s.size/1e6 == 1000 { // 1 GB, whole pages
		b.Must(report.Limit{What: "added to a small commit without sync, 1 GB, p50", Measured: p50, Limit: 150, Unit: "µs"},
			report.Limit{What: "added to a small commit without sync, 1 GB, mean", Measured: mean, Limit: 150, Unit: "µs"})
	}
	return nil
}

// A cost is what commits of a database cost that take a snapshot each.
type cost struct {
	size        int64
	time, bytes report.Sample // per commit, µs and bytes
}

// split measures the snapshots by their steps.
func (b *bench) split(ctx context.Context, dir string, s setup) (cost, error) {
	c := cost{size: s.size}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c, err
	}
	bare, path := filepath.Join(dir, "plain.db"), filepath.Join(dir, "t.db")
	for _, p := range []string{bare, path} {
		if err := sparse(p, s); err != nil {
			return c, err
		}
	}
	base, err := sqlite3.OpenFlags("file:"+bare, sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
	if err != nil {
		return c, err
	}
	defer base.Close()
	k, err := newStack(dir)
	if err != nil {
		return c, err
	}
	conn, err := k.open(ctx, path)
	if err != nil {
		return c, err
	}
	defer conn.Close()
	for _, x := range []*sqlite3.Conn{base, conn} {
		if err := x.Exec(s.pragmas()); err != nil {
			return c, err
		}
	}
	if _, err := insertRows(conn, 2, 1); err != nil {
		return c, err
	}
	if err := k.evaluate(context.WithoutCancel(ctx), path); err != nil { // the first snapshot is of all
		return c, err
	}
	if err := k.flush(context.WithoutCancel(ctx), path); err != nil {
		return c, err
	}
	n := few(100, 10)
	byStep, added := map[string]report.Sample{}, report.Sample{}
	err = b.each(ctx, func(ctx context.Context, _ int) error {
		ds, err := insertRows(base, n, 1)
		if err != nil {
			return err
		}
		if _, err := insertRows(conn, 2, 1); err != nil {
			return err
		}
		k.reset()
		ours, err := insertRows(conn, n, 1)
		if err != nil {
			return err
		}
		c.bytes = append(c.bytes, float64(k.written.Load())/float64(n))
		added = append(added, report.Mean(ours)-report.Mean(ds))
		sum := time.Duration(0)
		for _, step := range steps {
			d := k.took(step)
			sum += d
			byStep[step] = append(byStep[step], perCommit(d, n))
		}
		c.time = append(c.time, perCommit(sum, n))
		return k.flush(ctx, path)
	})
	if err != nil {
		return c, err
	}
	w := &site{setup: s}
	const engine = replicated + ", every commit"
	b.Add(w.row("sizes", "added to a commit, mean", engine, added, "µs"))
	for _, step := range steps {
		b.Add(w.row("sizes", "tracker: "+step, engine, byStep[step], "µs"))
	}
	b.Add(w.row("sizes", "tracker: all", engine, c.time, "µs"))
	b.Add(w.row("sizes", "written into the spool per commit", engine, c.bytes, "B"))
	if err := conn.Close(); err != nil {
		return c, err
	}
	return c, k.close(context.WithoutCancel(ctx))
}

func perCommit(d time.Duration, n int) float64 {
	return float64(d) / float64(time.Microsecond) / float64(n)
}
