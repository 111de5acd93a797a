package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench-peers/workload"
)

// many opens all databases of a directory, has each uploaded that is not, and keeps them open for N seconds.
func many() (err error) {
	a, err := workload.Parse(os.Args[1:])
	if err != nil {
		return err
	}
	cfg, err := config()
	if err != nil {
		return err
	}
	paths, err := filepath.Glob(filepath.Join(a.DB, "*.db"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	r, err := boule.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(ctx)) }()
	for _, path := range paths {
		db, err := r.OpenDB(ctx, path)
		if err != nil {
			return err
		}
		defer db.Close()
		if err := flush(ctx, db); err != nil {
			return err
		}
	}
	<-time.After(time.Duration(a.N) * time.Second)
	return json.NewEncoder(os.Stdout).Encode(workload.Result{N: len(paths), Seconds: float64(a.N)})
}

func flush(ctx context.Context, db *sql.DB) error {
	var ignored any
	return db.QueryRowContext(ctx, `PRAGMA boule_flush_replication_data`).Scan(&ignored)
}
