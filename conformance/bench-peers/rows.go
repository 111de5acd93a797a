package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench-peers/workload"
	"github.com/boule-db/boule/conformance/bench/report"
	"github.com/boule-db/boule/conformance/s3count"
	"github.com/boule-db/boule/store/storeurl"
	"github.com/boule-db/boule/store/target"
)

// rowBytes is about what a row of t takes with its index.
const rowBytes = 540

// defaults are the settings of databases that are replicated: Boule replicates rollback journals, Litestream a WAL.
var (
	rollback = workload.Args{Journal: "TRUNCATE", Sync: "FULL", Page: 4096}
	wal      = workload.Args{Journal: "WAL", Sync: "NORMAL", Page: 4096}
)

// of is what a workload does to a place.
func of(a workload.Args, p place, mode string, n int, rate float64) workload.Args {
	a.DB, a.Mode, a.N, a.Rate = p.db, mode, n, rate
	return a
}

func row(group, what, engine string, a workload.Args, s report.Sample, unit string) report.Row {
	r := report.Row{Group: group, What: what, Engine: engine, PageSize: a.Page, Journal: a.Journal, Sync: a.Sync, Figure: s, Unit: unit}
	if fi, err := os.Stat(a.DB); err == nil {
		r.Size = fi.Size()
	}
	return r
}

// engines compares engines that replicate nothing: rows 1 and 9 without a store.
func (b *bench) engines(ctx context.Context, dir string) error {
	all := []string{stock, mattn, modernc, plain, ours}
	versions := make([]string, len(all))
	for _, setting := range []workload.Args{
		{Journal: "DELETE", Sync: "FULL", Page: 4096}, {Journal: "TRUNCATE", Sync: "OFF", Page: 4096},
	} {
		at := map[string]place{}
		for i, e := range all {
			var err error
			if at[e], err = b.place(dir); err != nil {
				return err
			}
			r, err := b.child(ctx, e, of(setting, at[e], "fill", few(20000, 2000), 0))
			if err != nil {
				return err
			}
			versions[i] = e + " " + r.SQLite
		}
		modes := []struct {
			name string
			n    int
		}{{"insert", few(300, 30)}, {"update", few(300, 30)}, {"batch", few(10, 2)}}
		if setting.Sync == "OFF" {
			modes = append(modes, []struct {
				name string
				n    int
			}{{"point", few(20000, 500)}, {"scan", few(20, 2)}}...)
		}
		for _, mode := range modes {
			p50 := map[string]report.Sample{}
			for round := range *rounds {
				if round > 0 && ctx.Err() != nil {
					break
				}
				for i := range all {
					e := all[(round+i)%len(all)]
					r, err := b.child(context.WithoutCancel(ctx), e, of(setting, at[e], mode.name, mode.n, 0))
					if err != nil {
						return err
					}
					p50[e] = append(p50[e], r.P50)
				}
			}
			base := row("engines", mode.name+", p50", stock, of(setting, at[stock], mode.name, 0, 0), p50[stock], "µs")
			b.Add(base)
			for _, e := range all[1:] {
				b.Add(row("engines", mode.name+", p50", e, of(setting, at[e], mode.name, 0, 0), p50[e], "µs").Over(base))
			}
		}
	}
	b.Note("versions of SQLite: %s", strings.Join(versions, "; "))
	return nil
}

// A replicator makes and replicates databases its way.
type replicator struct {
	name    string
	engine  string // of the writer
	base    string // the engine that writes when nothing is replicated
	setting workload.Args
	layout  target.Layout // of Boule's replicas; empty for others
}

// boules are the replicators that Boule is, one for each layout.
func boules() (rs []replicator) {
	for _, l := range []target.Layout{target.LayoutLog, target.LayoutChunks} {
		if *layout == "" || *layout == string(l) {
			rs = append(rs, replicator{bouleS3 + ", " + string(l), bouleS3, ours, rollback, l})
		}
	}
	return rs
}

func (b *bench) replicators() []replicator {
	rs := boules()
	if b.litestream != "" {
		rs = append(rs, replicator{litestream, stock, stock, wal, ""})
	}
	return rs
}

// A replica is a place with what keeps it replicated.
type replica struct {
	replicator
	place
	b    *bench
	side *sidecar
}

// start makes a database and replicates it for the first time.
func (b *bench) start(ctx context.Context, r replicator, dir string, megabytes int) (_ *replica, took time.Duration, rss float64, err error) {
	p, err := b.place(dir)
	if err != nil {
		return nil, 0, 0, err
	}
	p.layout = string(r.layout)
	x := &replica{replicator: r, place: p, b: b}
	if _, err := b.child(ctx, r.base, of(r.setting, p, "fill", megabytes*1e6/rowBytes, 0)); err != nil {
		return nil, 0, 0, err
	}
	before, began := b.proxy.Counts(), time.Now()
	if r.layout != "" {
		rss, err = b.program(ctx, p, "sync", p.db)
		return x, time.Since(began), rss, err
	}
	if x.side, err = b.replicate(p); err != nil {
		return nil, 0, 0, err
	}
	rest, err := b.quiet(ctx, x.side, before)
	return x, rest.Sub(began), 0, err
}

// write runs a workload, and waits until all of it is uploaded: Boule's by closing, Litestream's by its interval.
func (x *replica) write(ctx context.Context, mode string, n int, rate float64) (ran, error) {
	r, err := x.b.child(ctx, x.engine, of(x.setting, x.place, mode, n, rate), x.b.env(x.place)...)
	if err == nil && x.side != nil {
		_, err = x.b.quiet(ctx, x.side, s3count.Counts{})
	}
	return r, err
}

func (x *replica) stop() (rss float64, err error) {
	if x.side == nil {
		return 0, nil
	}
	return x.side.stop()
}

// restore restores into a file, which it removes again: the newest state, or that of a time which is not zero.
func (x *replica) restore(ctx context.Context, at time.Time) (rss float64, err error) {
	out := filepath.Join(x.dir, "restored.db")
	defer os.Remove(out)
	if x.replicator.layout != "" {
		args := []string{"restore", "-s", x.db, "-o", out}
		if !at.IsZero() {
			args = append(args, "--at", at.Format(time.RFC3339))
		}
		return x.b.program(ctx, x.place, args...)
	}
	config, err := x.b.litestreamConfig(x.place)
	if err != nil {
		return 0, err
	}
	args := []string{"restore", "-config", config, "-o", out}
	if !at.IsZero() {
		args = append(args, "-timestamp", at.UTC().Format(time.RFC3339))
	}
	_, rss, err = measured(exec.CommandContext(ctx, x.b.litestream, append(args, x.db)...))
	return rss, err
}

// took is what replication keeps beside the database, in MB.
func (x *replica) took() float64 {
	n := int64(0)
	_ = filepath.WalkDir(x.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Dir(path) == x.dir {
			return nil // what vanishes meanwhile takes nothing
		}
		if fi, err := e.Info(); err == nil {
			n += fi.Size()
		}
		return nil
	})
	return float64(n) / 1e6
}

// writes measures what replication costs a writer: row 1.
func (b *bench) writes(ctx context.Context, dir string) error {
	for _, r := range b.replicators() {
		x, _, _, err := b.start(ctx, r, dir, few(10, 2))
		if err != nil {
			return err
		}
		alone, err := b.place(dir)
		if err != nil {
			return err
		}
		if _, err := b.child(ctx, r.base, of(r.setting, alone, "fill", few(10, 2)*1e6/rowBytes, 0)); err != nil {
			return err
		}
		for _, mode := range []struct {
			name string
			n    int
			rate float64
		}{{"insert", few(2000, 50), 0}, {"insert", few(500, 20), 100}, {"batch", few(20, 2), 0}} {
			base, with := map[string]report.Sample{}, map[string]report.Sample{}
			note := func(m map[string]report.Sample, r ran) {
				m["p50"], m["p99"], m["longest"] = append(m["p50"], r.P50), append(m["p99"], r.P99), append(m["longest"], r.Max)
			}
			for round := range *rounds {
				if round > 0 && ctx.Err() != nil {
					break
				}
				ctx := context.WithoutCancel(ctx)
				r0, err := b.child(ctx, r.base, of(r.setting, alone, mode.name, mode.n, mode.rate))
				if err != nil {
					return err
				}
				r1, err := x.write(ctx, mode.name, mode.n, mode.rate)
				if err != nil {
					return err
				}
				note(base, r0)
				note(with, r1)
			}
			what := mode.name
			if mode.rate > 0 {
				what += fmt.Sprintf(" at %.0f/s", mode.rate)
			}
			for _, figure := range []string{"p50", "p99", "longest"} {
				bare := row("1 writes", what+", "+figure, r.base, of(r.setting, alone, "", 0, 0), base[figure], "µs")
				b.Add(bare, row("1 writes", what+", "+figure, r.name, of(r.setting, x.place, "", 0, 0), with[figure], "µs").Over(bare))
			}
		}
		if _, err := x.stop(); err != nil {
			return err
		}
	}
	return nil
}

// first measures the first upload of a database: rows 4 and 12.
func (b *bench) first(ctx context.Context, dir string) error {
	for _, r := range b.replicators() {
		before := b.proxy.Counts()
		x, took, rss, err := b.start(ctx, r, dir, *mb)
		if err != nil {
			return err
		}
		disk := x.took()
		if x.side != nil {
			if rss, err = x.stop(); err != nil {
				return err
			}
		}
		b.counted("4 first upload", "", x, b.proxy.Counts().Minus(before))
		one := func(what string, f float64, unit string) {
			b.Add(row("4 first upload", what, r.name, of(r.setting, x.place, "", 0, 0), report.Sample{f}, unit))
		}
		one("time", took.Seconds(), "s")
		one("local disk, afterwards", disk, "MB")
		one("peak memory (row 12)", rss, "MB")
	}
	return nil
}

// counted adds what was asked of the store.
func (b *bench) counted(group, what string, x *replica, c s3count.Counts) {
	if what != "" {
		what += ", "
	}
	add := func(name string, f float64, unit string) {
		b.Add(row(group, what+name, x.name, of(x.setting, x.place, "", 0, 0), report.Sample{f}, unit))
	}
	add("class A requests", float64(c.ClassA()), "requests")
	add("all requests", float64(c.Sum()), "requests")
	add("sent", float64(c.Up)/1e6, "MB")
	add("received", float64(c.Down)/1e6, "MB")
}

// upload counts what workloads cost, each in a replica that was uploaded just now: rows 2 and 3.
func (b *bench) upload(ctx context.Context, dir string) error {
	for _, w := range []struct {
		mode string
		rate float64
	}{{"append", 100}, {"update", 100}, {"edit", 1}, {"update", 1}, {"insert", 100}, {"reindex", 20}, {"batch", 1}} {
		for _, r := range b.replicators() {
			what := fmt.Sprintf("%s at %.0f/s for %d s", w.mode, w.rate, *seconds)
			if ctx.Err() != nil {
				b.Note("upload: %s of %s was not measured: -time %v is over", what, r.name, *limit)
				continue
			}
			ctx := context.WithoutCancel(ctx)
			x, _, _, err := b.start(ctx, r, dir, *mb)
			if err != nil {
				return err
			}
			before := b.proxy.Counts()
			if _, err := x.write(ctx, w.mode, int(w.rate)**seconds, w.rate); err != nil {
				return err
			}
			b.counted("2+3 upload", what, x, b.proxy.Counts().Minus(before))
			if _, err := x.stop(); err != nil {
				return err
			}
			if err := os.RemoveAll(x.dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// idle counts what a database costs that is open, replicated, and not written: row 5.
func (b *bench) idle(ctx context.Context, dir string) error {
	for _, r := range b.replicators() {
		x, _, _, err := b.start(ctx, r, dir, few(10, 2))
		if err != nil {
			return err
		}
		long := few(30, 3)
		open := func(seconds int) (ran, s3count.Counts, error) {
			before := b.proxy.Counts()
			r, err := b.child(ctx, x.engine, of(x.setting, x.place, "idle", seconds, 0), b.env(x.place)...)
			return r, b.proxy.Counts().Minus(before), err
		}
		if _, _, err := open(0); err != nil { // the next begins with a database that has its settings
			return err
		}
		_, brief, err := open(0)
		if err != nil {
			return err
		}
		child, c, err := open(long)
		if err != nil {
			return err
		}
		c = c.Minus(brief)
		rss, err := x.stop()
		if err != nil {
			return err
		}
		if x.side == nil {
			rss = child.rss
		}
		per := 60 / float64(long)
		add := func(what string, f float64, unit string) {
			b.Add(row("5 idle", what, r.name, of(x.setting, x.place, "", 0, 0), report.Sample{f}, unit))
		}
		if x.side == nil { // a sidecar is there before and after
			add("opening and closing", float64(brief.Sum()), "requests")
		}
		add("open, all requests", float64(c.Sum())*per, "per minute")
		add("open, class A requests", float64(c.ClassA())*per, "per minute")
		add("peak memory", rss, "MB")
	}
	return nil
}

// many counts what many databases cost that are open, replicated, and not written: row 5.
func (b *bench) many(ctx context.Context, dir string) error {
	n, long := few(500, 10), few(60, 3)
	for _, r := range b.replicators() {
		p, err := b.place(dir)
		if err != nil {
			return err
		}
		p.layout = string(r.layout)
		all, a := filepath.Join(p.dir, "all"), of(r.setting, p, "fill", 20, 0)
		if err := os.Mkdir(all, 0o700); err != nil {
			return err
		}
		for i := range n {
			a.DB = filepath.Join(all, fmt.Sprintf("%03d.db", i))
			if _, err := b.child(ctx, stock, a); err != nil {
				return err
			}
		}
		what := fmt.Sprintf("%d databases, ", n)
		add := func(name string, f float64, unit string) {
			b.Add(row("5 idle", what+name, r.name, r.setting, report.Sample{f}, unit))
		}
		before, began, per := b.proxy.Counts(), time.Now(), 60/float64(long)
		if r.name == litestream {
			config, err := b.litestreamDir(p, all)
			if err != nil {
				return err
			}
			side, err := b.sidecar(config)
			if err != nil {
				return err
			}
			rest, err := b.quiet(ctx, side, before)
			first := b.proxy.Counts()
			if err == nil {
				select {
				case <-time.After(time.Duration(long) * time.Second):
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
			c := b.proxy.Counts().Minus(first)
			rss, serr := side.stop()
			if err := errors.Join(err, serr); err != nil {
				return err
			}
			add("first upload, time", rest.Sub(began).Seconds(), "s")
			add("first upload, all requests", float64(first.Minus(before).Sum()), "requests")
			add("open, all requests", float64(c.Sum())*per, "per minute")
			add("peak memory", rss, "MB")
			continue
		}
		open := func(seconds int) (ran, s3count.Counts, error) {
			before := b.proxy.Counts()
			a.DB, a.N = all, seconds
			r, err := b.child(ctx, r.engine, a, append(b.env(p), "BENCH_ENGINE=many")...)
			return r, b.proxy.Counts().Minus(before), err
		}
		_, first, err := open(0)
		if err != nil {
			return err
		}
		took := time.Since(began)
		_, brief, err := open(0)
		if err != nil {
			return err
		}
		child, c, err := open(long)
		if err != nil {
			return err
		}
		add("first upload, time", took.Seconds(), "s")
		add("first upload, all requests", float64(first.Sum()), "requests")
		add("opening and closing all again", float64(brief.Sum()), "requests")
		add("open, all requests", float64(c.Minus(brief).Sum())*per, "per minute")
		add("peak memory, a connection to each", child.rss, "MB")
	}
	return nil
}

// restores measures restoring some times, with so long a request.
func (x *replica) restores(ctx context.Context, delay time.Duration) (took, rss report.Sample, c s3count.Counts, err error) {
	x.b.proxy.SetLatency(delay)
	defer x.b.proxy.SetLatency(0)
	for round := range *rounds {
		if round > 0 && ctx.Err() != nil {
			break
		}
		before, began := x.b.proxy.Counts(), time.Now()
		m, err := x.restore(context.WithoutCancel(ctx), time.Time{})
		if err != nil {
			return nil, nil, c, err
		}
		took, rss = append(took, time.Since(began).Seconds()), append(rss, m)
		c = x.b.proxy.Counts().Minus(before)
	}
	return took, rss, c, nil
}

// aged measures restoring after many commits, against restoring what was uploaded just now, and what the store has then.
func (b *bench) aged(ctx context.Context, dir string) error {
	for _, r := range b.replicators() {
		x, _, _, err := b.start(ctx, r, dir, *mb)
		if err != nil {
			return err
		}
		setting := of(x.setting, x.place, "", 0, 0)
		fresh, _, c, err := x.restores(ctx, *latency)
		if err != nil {
			return err
		}
		received := float64(c.Down) / 1e6
		n := few(10_000, 100)
		if _, err := x.write(context.WithoutCancel(ctx), "reindex", n, 200); err != nil {
			return err
		}
		old, _, c, err := x.restores(ctx, *latency)
		if err != nil {
			return err
		}
		held, err := b.held(ctx, x.place)
		if err != nil {
			return err
		}
		if _, err := x.stop(); err != nil {
			return err
		}
		what := fmt.Sprintf("after %d commits, ", n)
		base := row("14 aged", "fresh upload, restore, time", r.name, setting, fresh, "s")
		b.Add(base, row("14 aged", what+"restore, time", r.name, setting, old, "s").Over(base),
			row("14 aged", what+"restore, requests", r.name, setting, report.Sample{float64(c.Sum())}, "requests"),
			row("14 aged", what+"restore, received", r.name, setting, report.Sample{float64(c.Down) / 1e6}, "MB"),
			row("14 aged", "fresh upload, restore, received", r.name, setting, report.Sample{received}, "MB"),
			row("14 aged", what+"in the store, with history", r.name, setting, report.Sample{held}, "MB"))
		if r.layout != target.LayoutLog {
			continue
		}
		to, err := target.FromURL(b.storeURL(x.place))
		if err != nil {
			return err
		}
		usage, err := boule.Usage(ctx, x.ref(), &boule.Config{Hostname: hostname, Targets: []target.Target{to}})
		if err != nil {
			return err
		}
		b.Add(row("14 aged", what+"what the newest state needs", r.name, setting, report.Sample{float64(usage[0].Live) / 1e6}, "MB"))
	}
	return nil
}

// held is what the store has of a place, in MB.
func (b *bench) held(ctx context.Context, p place) (float64, error) {
	q := url.Values{"region": {region}, "endpoint": {b.proxy.URL}}
	s, err := storeurl.Open(ctx, "s3://"+bucket+"/"+p.prefix+"?"+q.Encode(), nil)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for info, err := range s.List(ctx, "") {
		if err != nil {
			return 0, err
		}
		n += info.Size
	}
	return float64(n) / 1e6, nil
}

// restore measures restoring, from near and from far: rows 6 and 12.
func (b *bench) restore(ctx context.Context, dir string) error {
	for _, r := range b.replicators() {
		x, _, _, err := b.start(ctx, r, dir, *mb)
		if err != nil {
			return err
		}
		if _, err := x.write(ctx, "update", few(500, 20), 100); err != nil {
			return err
		}
		if _, err := x.stop(); err != nil {
			return err
		}
		for _, delay := range []time.Duration{0, *latency} {
			took, rss, c, err := x.restores(ctx, delay)
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%v a request, ", delay)
			setting := of(x.setting, x.place, "", 0, 0)
			b.Add(row("6 restore", what+"time", r.name, setting, took, "s"),
				row("6 restore", what+"peak memory (row 12)", r.name, setting, rss, "MB"),
				row("6 restore", what+"requests", r.name, setting, report.Sample{float64(c.Sum())}, "requests"),
				row("6 restore", what+"received", r.name, setting, report.Sample{float64(c.Down) / 1e6}, "MB"))
		}
	}
	return nil
}

// pitr counts what it costs to restore what was there some time before, beside what a restore of it cost then, as the newest state, and
// what the newest one costs now: row 7. An older state may lie in more objects than one that was compacted since.
func (b *bench) pitr(ctx context.Context, dir string) error {
	for _, r := range b.replicators() {
		if r.layout == target.LayoutChunks {
			continue // it keeps the newest state
		}
		x, _, _, err := b.start(ctx, r, dir, few(10, 2))
		if err != nil {
			return err
		}
		restore := func(t time.Time) (requests, seconds float64, err error) {
			before, began := b.proxy.Counts(), time.Now()
			_, err = x.restore(ctx, t)
			return float64(b.proxy.Counts().Minus(before).Sum()), time.Since(began).Seconds(), err
		}
		if _, err := x.write(ctx, "update", few(600, 60), 10); err != nil {
			return err
		}
		at := time.Now()
		then, _, err := restore(time.Time{})
		if err != nil {
			return err
		}
		if _, err := x.write(ctx, "update", few(3000, 60), 10); err != nil {
			return err
		}
		if _, err := x.stop(); err != nil {
			return err
		}
		newest, took, err := restore(time.Time{})
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%v back, ", time.Since(at).Round(time.Second))
		old, tookOld, err := restore(at)
		if err != nil {
			return err
		}
		setting := of(x.setting, x.place, "", 0, 0)
		for _, f := range []struct {
			what string
			n    float64
			unit string
		}{
			{what + "requests more than when it was the newest", old - then, "requests"},
			{what + "requests more than the newest now", old - newest, "requests"},
			{"newest, requests", newest, "requests"},
			{what + "time", tookOld, "s"},
			{"newest, time", took, "s"},
		} {
			b.Add(row("7 restore to a time", f.what, r.name, setting, report.Sample{f.n}, f.unit))
		}
	}
	return nil
}

// replica measures reading a replica in the store: rows 8, 9 and 10. Litestream's reader is a library for C.
func (b *bench) replica(ctx context.Context, dir string) error {
	if b.litestream != "" {
		b.Note("replica: Litestream's reader is a shared library for C programs (8 to 11 are not measured of it)")
	}
	for _, r := range boules() {
		if err := b.replicaOf(ctx, dir, r); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) replicaOf(ctx context.Context, dir string, rep replicator) error {
	defer b.proxy.SetLatency(0)
	x, _, _, err := b.start(ctx, rep, dir, *mb)
	if err != nil {
		return err
	}
	b.proxy.SetLatency(*latency)
	ref := of(x.setting, x.place, "", 0, 0)
	for _, q := range []struct {
		group, what, mode string
		n                 int
		rate              float64
	}{
		{"8 first query", "open and first query of a cold replica", "point", 1, 0},
		{"9 lookups, scan", "50 lookups, cold", "point", 50, 0},
		{"9 lookups, scan", "scan of 20,000 rows, cold", "scan", 1, 0},
		{"10 polls", "1 connection", "poll", 1, float64(few(10, 2))},
		{"10 polls", "4 connections", "poll", 4, float64(few(10, 2))},
	} {
		var took, requests, received, rss report.Sample
		run := func(a workload.Args) (ran, s3count.Counts, error) {
			before := b.proxy.Counts()
			r, err := b.child(context.WithoutCancel(ctx), bouleS3, a, append(b.env(x.place), "BENCH_ENGINE=replica")...)
			return r, b.proxy.Counts().Minus(before), err
		}
		a := ref
		a.DB, a.Mode, a.N, a.Rate = x.ref(), q.mode, q.n, q.rate
		var opening s3count.Counts
		if q.mode == "poll" {
			var err error
			idle := a
			idle.Rate = 0
			if _, opening, err = run(idle); err != nil {
				return err
			}
		}
		for round := range *rounds {
			if q.mode == "poll" && round > 0 || round > 0 && ctx.Err() != nil {
				break // polls are counted, not timed
			}
			r, c, err := run(a)
			if err != nil {
				return err
			}
			c = c.Minus(opening)
			took, rss = append(took, r.Seconds), append(rss, r.rss)
			requests, received = append(requests, float64(c.Sum())), append(received, float64(c.Down)/1e6)
		}
		what := fmt.Sprintf("%s, %v a request, ", q.what, *latency)
		if q.mode == "poll" {
			for i := range requests {
				requests[i] /= q.rate // a poll each second
			}
			b.Add(row(q.group, what+"requests", x.name, ref, requests, "a poll"))
		} else {
			b.Add(row(q.group, what+"time", x.name, ref, took, "s"), row(q.group, what+"requests", x.name, ref, requests, "requests"),
				row(q.group, what+"received", x.name, ref, received, "MB"))
		}
		b.Add(row(q.group, what+"peak memory (row 12)", x.name, ref, rss, "MB"))
	}
	return nil
}

// lag measures when a commit is seen in a replica: row 11.
func (b *bench) lag(ctx context.Context, dir string) error {
	for _, r := range boules() {
		if err := b.lagOf(ctx, dir, r); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) lagOf(ctx context.Context, dir string, r replicator) error {
	defer b.proxy.SetLatency(0)
	x, _, _, err := b.start(ctx, r, dir, few(10, 2))
	if err != nil {
		return err
	}
	b.proxy.SetLatency(*latency)
	ran, err := b.child(ctx, bouleS3, of(x.setting, x.place, "lag", few(30, 3), 0), append(b.env(x.place), "BENCH_ENGINE=lag")...)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("commit to seen in a replica, %v a request, ", *latency)
	setting := of(x.setting, x.place, "", 0, 0)
	b.Add(row("11 lag", what+"p50", x.name, setting, report.Sample{ran.P50 / 1e6}, "s"),
		row("11 lag", what+"longest", x.name, setting, report.Sample{ran.Max / 1e6}, "s"))
	return nil
}

// binary is row 13.
func (b *bench) binary(_ context.Context, _ string) error {
	programs := map[string]string{bouleS3: b.boule}
	if b.litestream != "" {
		programs[litestream] = b.litestream
	}
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		fi, err := os.Stat(programs[name])
		if err != nil {
			return err
		}
		b.Add(report.Row{Group: "13 binary", What: "the program", Engine: name, Figure: report.Sample{float64(fi.Size()) / 1e6}, Unit: "MB"})
	}
	return nil
}
