package main

import (
	"context"
	"database/sql"
	"log"
	"os"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/conformance/bench-peers/workload"
	"github.com/boule-db/boule/host"
	"github.com/boule-db/boule/store/target"
)

func main() {
	engine := os.Getenv("BENCH_ENGINE")
	run := func() error { return workload.Main(open) }
	switch engine {
	case "plain":
		run = func() error { return workload.Main(openPlain) }
	case "replica":
		run = readReplica
	case "lag":
		run = lag
	case "many":
		run = many
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func openPlain(a workload.Args) (*sql.DB, error) {
	if err := host.Init(nil); err != nil { // the same Wasm
		return nil, err
	}
	return driver.Open("file:" + a.DB)
}

func open(a workload.Args) (*sql.DB, error) {
	cfg, err := config()
	if err != nil {
		return nil, err
	}
	return boule.Open(context.Background(), a.DB, cfg)
}

func config() (*boule.Config, error) {
	cfg := &boule.Config{SpoolDir: os.Getenv("BOULE_SPOOL"), Hostname: "bench", DrainTimeout: 5 * time.Minute}
	if url := os.Getenv("BOULE_STORE"); url != "" {
		t, err := target.FromURL(url)
		if err != nil {
			return nil, err
		}
		cfg.Targets = []target.Target{t}
	}
	return cfg, nil
}
