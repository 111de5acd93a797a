package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// transactions per round and variant, and those that go before, unmeasured.
const (
	transactions = 200
	warmUp       = 20
)

// variants of one database: without Boule's VFS, with it but without a target,
// and replicating to a directory.
var variants = []string{"plain", "unreplicated", "replicated"}

// commits measures small transactions in each journal mode, with and without
// syncing, 4 KiB pages, a database of some 10 MB.
func commits(ctx context.Context, work string) error {
	w := table()
	fmt.Fprintln(w, "small transactions, ratio to go-sqlite3 alone\tplain p50 µs\tunreplicated\treplicated\treplicated p99/p99")
	for _, sync := range []string{"FULL", "OFF"} {
		for _, mode := range []string{"DELETE", "TRUNCATE", "PERSIST"} {
			p50, p99 := map[string]sample{}, map[string]sample{}
			dir := filepath.Join(work, sync+mode)
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			conns, settle, closeAll, err := openVariants(ctx, dir)
			if err != nil {
				return err
			}
			for _, v := range variants {
				if err := conns[v].Exec(`PRAGMA journal_mode=` + mode + `; PRAGMA synchronous=` + sync); err != nil {
					return err
				}
			}
			for round := range *rounds {
				for i := range variants {
					v := variants[(round+i)%len(variants)] // nobody always goes first
					if _, err := insertRows(conns[v], warmUp); err != nil {
						return err
					}
					ds, err := insertRows(conns[v], transactions)
					if err != nil {
						return err
					}
					p50[v] = append(p50[v], quantile(ds, 0.5))
					p99[v] = append(p99[v], quantile(ds, 0.99))
					// What is uploaded in the background counts for the
					// variant that causes it, and for no other.
					if err := settle(); err != nil {
						return err
					}
				}
			}
			if err := closeAll(); err != nil {
				return err
			}
			base := p50["plain"]
			fmt.Fprintf(w, "%s, synchronous=%s\t%v\t%v\t%v\t%v\n", mode, sync, base,
				p50["unreplicated"].ratio(base), p50["replicated"].ratio(base), p99["replicated"].ratio(p99["plain"]))
		}
	}
	fmt.Fprintln(w)
	return w.Flush()
}

func replicating(dir string) *boule.Config {
	return &boule.Config{
		SpoolDir: filepath.Join(dir, "spool"),
		Targets:  []target.Target{{File: &target.File{Directory: filepath.Join(dir, "store")}}},
	}
}

// openVariants opens and fills a database for each variant. settle waits for what
// goes on in the background.
func openVariants(ctx context.Context, dir string) (conns map[string]*sqlite3.Conn, settle, closeAll func() error, err error) {
	conns = map[string]*sqlite3.Conn{}
	settle = func() error { return nil }
	var closers []func() error
	closeAll = func() error {
		for i := len(closers) - 1; i >= 0; i-- {
			if err := closers[i](); err != nil {
				return err
			}
		}
		return nil
	}
	for _, v := range variants {
		name := filepath.Join(dir, v+".db")
		var conn *sqlite3.Conn
		var err error
		switch v {
		case "plain":
			conn, err = sqlite3.Open("file:" + name)
		default:
			cfg := &boule.Config{}
			if v == "replicated" {
				cfg = replicating(dir)
			}
			var r *boule.Replicator
			if r, err = boule.New(cfg); err != nil {
				return nil, nil, nil, err
			}
			if v == "replicated" {
				settle = func() error { return r.Flush(ctx, name) }
			}
			closers = append(closers, func() error { return r.Close(ctx) })
			conn, err = r.OpenConn(ctx, name, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE)
		}
		if err != nil {
			return nil, nil, nil, err
		}
		closers = append(closers, conn.Close)
		conns[v] = conn
		err = conn.Exec(`CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, b BLOB);
			CREATE INDEX t_a ON t(a);
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000)
			INSERT INTO t SELECT i, abs(random()) % 1000000, randomblob(480) FROM n`)
		if err != nil {
			return nil, nil, nil, err
		}
	}
	return conns, settle, closeAll, settle()
}

// insertRows commits n small transactions and returns how long each took.
func insertRows(conn *sqlite3.Conn, n int) ([]time.Duration, error) {
	stmt, _, err := conn.Prepare(`INSERT INTO t(a, b) VALUES (abs(random()) % 1000000, randomblob(480))`)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	ds := make([]time.Duration, n)
	for i := range ds {
		t := time.Now()
		if err := stmt.Exec(); err != nil {
			return nil, err
		}
		ds[i] = time.Since(t)
	}
	return ds, nil
}
