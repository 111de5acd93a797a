package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/boule-db/boule/conformance/bench/report"
)

// warmUp transactions go before those that are measured.
const warmUp = 20

// latencies are what transactions took, one figure of each round.
type latencies struct{ p50, p99, mean report.Sample }

func (l *latencies) add(ds []time.Duration) {
	l.mean = append(l.mean, report.Mean(ds))
	l.p50 = append(l.p50, report.Quantile(ds, 0.5))
	l.p99 = append(l.p99, report.Quantile(ds, 0.99))
}

// measure makes blocks of n transactions of so many rows on all engines.
func (w *site) measure(ctx context.Context, b *bench, n, rows int) (map[string]*latencies, error) {
	found := map[string]*latencies{}
	for _, e := range w.engines {
		found[e] = &latencies{}
	}
	err := b.each(ctx, func(ctx context.Context, round int) error {
		return w.turns(round, func(e string) error {
			if _, err := insertRows(w.conns[e], max(warmUp/rows, 2), rows); err != nil {
				return err
			}
			ds, err := insertRows(w.conns[e], n, rows)
			if err != nil {
				return err
			}
			found[e].add(ds)
			return w.settle(ctx)
		})
	})
	return found, err
}

// row begins a row of this site.
func (w *site) row(group, what, engine string, s report.Sample, unit string) report.Row {
	return report.Row{
		Group: group, What: what, Engine: engine, PageSize: w.page, Journal: w.journal, Sync: w.sync, Size: w.size,
		Figure: s, Unit: unit,
	}
}

// small measures transactions of one row each, autocommitted.
func (b *bench) small(ctx context.Context, work string) error {
	setups := []setup{
		{page: 4096, journal: "DELETE", sync: "FULL"},
		{page: 4096, journal: "TRUNCATE", sync: "FULL"},
		{page: 4096, journal: "PERSIST", sync: "FULL"},
		{page: 4096, journal: "DELETE", sync: "OFF"},
		{page: 4096, journal: "TRUNCATE", sync: "OFF"},
		{page: 4096, journal: "PERSIST", sync: "OFF"},
		{page: 65536, journal: "DELETE", sync: "FULL"},
		{page: 65536, journal: "TRUNCATE", sync: "OFF"},
	}
	return b.transactions(ctx, work, "small", setups, few(200, 20), 1)
}

// medium measures transactions of a hundred rows.
func (b *bench) medium(ctx context.Context, work string) error {
	setups := []setup{
		{page: 4096, journal: "DELETE", sync: "FULL"}, {page: 4096, journal: "TRUNCATE", sync: "OFF"}, {page: 65536, journal: "DELETE", sync: "FULL"},
	}
	return b.transactions(ctx, work, "medium", setups, few(50, 5), 100)
}

func (b *bench) transactions(ctx context.Context, work, group string, setups []setup, n, rows int) error {
	if *quick {
		setups = setups[:1]
	}
	for i, s := range setups {
		s.size = 10e6
		w, err := newSite(ctx, filepath.Join(work, fmt.Sprint(i)), s, engines, nil)
		if err != nil {
			return err
		}
		found, err := w.measure(ctx, b, n, rows)
		if err != nil {
			return err
		}
		if err := w.close(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		base := found[plain]
		for _, e := range engines {
			row := w.row(group, "commit, p50", e, found[e].p50, "µs")
			if e != plain {
				row = row.Over(w.row("", "", plain, base.p50, ""))
			}
			b.Add(row)
		}
		ours := found[replicated]
		b.Add(w.row(group, "commit, mean", replicated, ours.mean, "µs").Over(w.row("", "", plain, base.mean, "")),
			w.row(group, "commit, p99", replicated, ours.p99, "µs").Over(w.row("", "", plain, base.p99, "")))
		if rows == 1 && s.sync == "FULL" && s.page == 4096 {
			b.Must(report.Limit{
				What:     fmt.Sprintf("small commits with fsync, %s, time to %s's, p50", s.journal, plain),
				Measured: ours.p50.Ratio(base.p50), Limit: 1.25, Unit: "x",
			})
		}
	}
	return nil
}

// stall looks for the longest commit while one connection commits as fast as it can, mostly small transactions and
// now and then a large one.
func (b *bench) stall(ctx context.Context, work string) error {
	for _, sync := range []string{"FULL", "OFF"} {
		s := setup{page: 4096, journal: "DELETE", sync: sync, size: int64(few(100e6, 10e6))}
		w, err := newSite(ctx, filepath.Join(work, sync), s, []string{plain, replicated}, nil)
		if err != nil {
			return err
		}
		longest := map[string]report.Sample{}
		err = b.each(ctx, func(ctx context.Context, round int) error {
			return w.turns(round, func(e string) error {
				most := time.Duration(0)
				for end := time.Now().Add(time.Duration(few(4000, 300)) * time.Millisecond); time.Now().Before(end); {
					ds, err := insertRows(w.conns[e], 200, 1)
					if err != nil {
						return err
					}
					large, err := insertRows(w.conns[e], 1, 1000)
					if err != nil {
						return err
					}
					for _, d := range append(ds, large...) {
						most = max(most, d)
					}
				}
				longest[e] = append(longest[e], float64(most)/float64(time.Millisecond))
				return w.settle(ctx)
			})
		})
		if err != nil {
			return err
		}
		if err := w.close(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		base := w.row("stall", "longest commit", plain, longest[plain], "ms")
		b.Add(base, w.row("stall", "longest commit", replicated, longest[replicated], "ms").Over(base))
		b.Must(report.Limit{
			What:     fmt.Sprintf("longest commit of all under full load, synchronous=%s, above %s's", sync, plain),
			Measured: report.Sample{longest[replicated].Max() - longest[plain].Max()}, Limit: 50, Unit: "ms",
		})
	}
	return nil
}

// burst measures transactions all over a database that follow each other without a pause, so that more chunks change than a
// snapshot can take meanwhile.
func (b *bench) burst(ctx context.Context, work string) error {
	s := setup{page: 4096, journal: "DELETE", sync: "OFF", size: int64(few(100e6, 10e6))}
	w, err := newSite(ctx, work, s, []string{plain, replicated}, nil)
	if err != nil {
		return err
	}
	n := few(5000, 200)
	took, longest, high := map[string]report.Sample{}, map[string]report.Sample{}, map[string]report.Sample{}
	err = b.each(ctx, func(ctx context.Context, round int) error {
		return w.turns(round, func(e string) error {
			began := time.Now()
			ds, err := updateRows(w.conns[e], n, int(s.size)/600)
			if err != nil {
				return err
			}
			took[e] = append(took[e], time.Since(began).Seconds())
			high[e] = append(high[e], report.Quantile(ds, 0.99))
			longest[e] = append(longest[e], float64(slices.Max(ds))/float64(time.Millisecond))
			return w.settle(ctx)
		})
	})
	if err != nil {
		return err
	}
	if err := w.close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	for _, f := range []struct {
		what, unit string
		found      map[string]report.Sample
	}{{fmt.Sprintf("%d updates anywhere", n), "s", took}, {"commit, p99", "µs", high}, {"longest commit", "ms", longest}} {
		base := w.row("burst", f.what, plain, f.found[plain], f.unit)
		b.Add(base, w.row("burst", f.what, replicated, f.found[replicated], f.unit).Over(base))
	}
	return nil
}
