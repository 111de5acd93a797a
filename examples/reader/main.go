package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	store := flag.String("store", "", "store URL")
	every := flag.Duration("every", time.Second, "time between looks")
	times := flag.Int("times", 0, "number of looks (default: until interrupted)")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: reader -store URL boule://HOST/path QUERY")
	}
	if err := follow(ctx, os.Stdout, *store, flag.Arg(0), flag.Arg(1), *every, *times); err != nil {
		log.Fatal(err)
	}
}

func follow(ctx context.Context, out io.Writer, store, ref, query string, every time.Duration, times int) error {
	tgt, err := target.FromURL(store)
	if err != nil {
		return err
	}
	db, err := boule.OpenReplica(ctx, ref, &boule.Config{Targets: []target.Target{tgt}})
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // the pragma moves the connection that runs it
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		var result string
		if err := db.QueryRowContext(ctx, query).Scan(&result); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, result); err != nil {
			return err
		}
		if n == times {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		var updated string
		if err := db.QueryRowContext(ctx, `PRAGMA boule_snapshot_refresh = 2`).Scan(&updated); err != nil {
			return err
		}
	}
}
