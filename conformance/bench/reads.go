package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/conformance/bench/report"
	"github.com/boule-db/boule/conformance/sqlitewasm"
)

// reading is the most that reading may take, over the time that it takes without Boule.
const reading = 1.03

// number returns the number that a query gives.
func number(conn *sqlite3.Conn, query string) (int64, error) {
	stmt, _, err := conn.Prepare(query)
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	if !stmt.Step() {
		return 0, stmt.Err()
	}
	return stmt.ColumnInt64(0), nil
}

// reads measures point reads, each a transaction, and scans, of a database that does not fit into SQLite's cache.
func (b *bench) reads(ctx context.Context, work string) error {
	s := setup{page: 4096, journal: "DELETE", sync: "FULL", size: int64(few(30e6, 5e6))}
	w, err := newSite(ctx, filepath.Join(work, "db"), s, engines, nil)
	if err != nil {
		return err
	}
	points := func(conn *sqlite3.Conn) error {
		stmt, _, err := conn.Prepare(`SELECT a, b FROM t WHERE id = 1 + abs(random()) % (SELECT max(id) FROM t)`)
		if err != nil {
			return err
		}
		defer stmt.Close()
		for range 500 {
			if !stmt.Step() {
				return fmt.Errorf("a row is not there: %w", stmt.Err())
			}
			if err := stmt.Reset(); err != nil {
				return err
			}
		}
		return nil
	}
	scan := func(conn *sqlite3.Conn) error {
		n, err := number(conn, `SELECT count(*) FROM t WHERE length(b) = 480 AND a >= 0`)
		if want := s.size / rowSize; err == nil && n != want {
			err = fmt.Errorf("%d rows, want %d", n, want)
		}
		return err
	}
	for _, what := range []struct {
		name  string
		turns int
		f     func(*sqlite3.Conn) error
	}{{"point reads, each", few(20, 3), points}, {"scan", few(5, 2), scan}} {
		found := map[string]report.Sample{}
		err := b.each(ctx, func(_ context.Context, _ int) error {
			took := map[string]time.Duration{}
			for turn := range what.turns { // short ones: what else the machine does meets all alike
				err := w.turns(turn, func(e string) error {
					t := time.Now()
					err := what.f(w.conns[e])
					took[e] += time.Since(t)
					return err
				})
				if err != nil {
					return err
				}
			}
			for _, e := range engines {
				found[e] = append(found[e], took[e].Seconds()*1e6/float64(what.turns))
			}
			return nil
		})
		if err != nil {
			return err
		}
		if what.name != "scan" {
			for _, e := range engines {
				for i := range found[e] {
					found[e][i] /= 500
				}
			}
		}
		b.compared(w, "reads", what.name, found, "µs")
	}
	return w.close(context.WithoutCancel(ctx))
}

// compared adds a row for each engine, and a limit for each with Boule's VFS.
func (b *bench) compared(w *site, group, what string, found map[string]report.Sample, unit string) {
	base := w.row(group, what, plain, found[plain], unit)
	b.Add(base)
	for _, e := range []string{unreplicated, replicated} {
		row := w.row(group, what, e, found[e], unit).Over(base)
		b.Add(row)
		b.Must(report.Limit{What: fmt.Sprintf("%s, %s, time to %s's", what, e, plain), Measured: row.Ratio, Limit: reading, Unit: "x"})
	}
}

// speedtest runs SQLite's own speedtest1, as Wasm, over each engine's VFS.
func (b *bench) speedtest(ctx context.Context, work string) error {
	p, err := sqlitewasm.Load(context.WithoutCancel(ctx), "speedtest1")
	if err != nil {
		return err
	}
	defer p.Close(context.WithoutCancel(ctx))
	// The databases of the site only make that the VFSes are there.
	w, err := newSite(ctx, filepath.Join(work, "db"), setup{page: 4096, journal: "DELETE", sync: "OFF", size: 1e4}, engines, nil)
	if err != nil {
		return err
	}
	size, runs := few(5, 2), 0
	once := func(e string) (took time.Duration, err error) {
		name, err := w.vfs(e)
		if err != nil {
			return 0, err
		}
		runs++
		db := filepath.Join(work, fmt.Sprintf("%d.db", runs))
		t := time.Now()
		text, err := p.Run("speedtest1", "--vfs", name, "--size", fmt.Sprint(size), "--nosync", "--journal", "delete", db)
		if err != nil {
			return 0, fmt.Errorf("%w\n%s", err, text)
		}
		return time.Since(t), os.Remove(db)
	}
	if _, err := once(plain); err != nil { // nobody is to be the first
		return err
	}
	found := map[string]report.Sample{}
	err = b.each(ctx, func(_ context.Context, round int) error {
		sum := map[string]time.Duration{}
		turns := few(4, 1)
		for turn := range turns { // short ones, like those above
			err := w.turns(round*turns+turn, func(e string) error {
				took, err := once(e)
				sum[e] += took
				return err
			})
			if err != nil {
				return err
			}
		}
		for e, took := range sum {
			found[e] = append(found[e], took.Seconds()*1000/float64(turns))
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.size = 0
	b.compared(w, "speedtest1", fmt.Sprintf("speedtest1 --size %d", size), found, "ms")
	return w.close(context.WithoutCancel(ctx))
}
