package main

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench-peers/workload"
)

// lag commits N times, at moments that have nothing to do with what the copier does, and measures when a replica that
// looks for something newer all the time shows it.
func lag() error {
	a, err := workload.Parse(os.Args[1:])
	if err != nil {
		return err
	}
	ctx := context.Background()
	db, err := open(a)
	if err != nil {
		return err
	}
	defer db.Close()
	var flushed any
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS lag(n INTEGER); DELETE FROM lag; INSERT INTO lag VALUES (-1)`); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, `PRAGMA boule_flush_replication_data`).Scan(&flushed); err != nil {
		return err
	}
	cfg, err := config()
	if err != nil {
		return err
	}
	reader, err := boule.OpenReplica(ctx, boule.SourceRef("bench", boule.CanonicalPath(a.DB)), cfg)
	if err != nil {
		return err
	}
	defer reader.Close()
	reader.SetMaxOpenConns(1) // the pragma moves the connection that runs it
	began := time.Now()
	var ds []time.Duration
	for i := range a.N {
		<-time.After(500*time.Millisecond + rand.N(1100*time.Millisecond))
		if _, err := db.ExecContext(ctx, `UPDATE lag SET n = ?`, i); err != nil {
			return err
		}
		committed := time.Now()
		for seen := -1; seen != i; {
			if time.Since(committed) > time.Minute {
				return errors.New("a commit is not seen for a minute")
			}
			var updated any
			if err := reader.QueryRowContext(ctx, `PRAGMA boule_snapshot_refresh = 2`).Scan(&updated); err != nil {
				return err
			}
			if err := reader.QueryRowContext(ctx, `SELECT n FROM lag`).Scan(&seen); err != nil {
				return err
			}
			<-time.After(5 * time.Millisecond)
		}
		ds = append(ds, time.Since(committed))
	}
	return json.NewEncoder(os.Stdout).Encode(workload.Summarize(ds, time.Since(began), ""))
}
