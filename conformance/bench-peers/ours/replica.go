package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench-peers/workload"
)

// readReplica opens a replica and reads it, N times, the first of which includes opening. The modes are "point"; "scan",
// of 20,000 rows; and "poll": once a second, for RATE seconds, one of N connections looks for something newer, and all move
// to what it found.
func readReplica() error {
	a, err := workload.Parse(os.Args[1:])
	if err != nil {
		return err
	}
	cfg, err := config()
	if err != nil {
		return err
	}
	ctx := context.Background()
	var ds []time.Duration
	began := time.Now()
	db, err := boule.OpenReplica(ctx, a.DB, cfg)
	if err != nil {
		return err
	}
	switch a.Mode {
	case "point", "scan":
		query := map[string]string{"point": workload.Point, "scan": `SELECT count(*) FROM t WHERE id <= 20000 AND length(b) = 480`}[a.Mode]
		t := began
		for range a.N {
			var row any
			if err := db.QueryRowContext(ctx, query).Scan(&row); err != nil {
				return err
			}
			ds = append(ds, time.Since(t))
			t = time.Now()
		}
	case "poll":
		if err := poll(ctx, db, a.N, time.Duration(a.Rate*float64(time.Second))); err != nil {
			return err
		}
	default:
		return errors.New("no mode " + a.Mode)
	}
	if err := db.Close(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(workload.Summarize(ds, time.Since(began), ""))
}

func poll(ctx context.Context, db *sql.DB, connections int, long time.Duration) error {
	var conns []*sql.Conn
	for range connections {
		c, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range int(long / time.Second) {
		<-tick.C
		for i, c := range conns {
			how := 1 // ask the store
			if i > 0 {
				how = 0 // take what is there
			}
			var moved any
			if err := c.QueryRowContext(ctx, fmt.Sprintf(`PRAGMA boule_snapshot_refresh = %d`, how)).Scan(&moved); err != nil {
				return err
			}
		}
	}
	return nil
}
