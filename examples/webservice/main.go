package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path := flag.String("db", "visits.db", "database")
	store := flag.String("store", "", "store URL")
	listen := flag.String("listen", "127.0.0.1:8080", "address")
	flag.Parse()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(ctx, ln, *path, *store); err != nil {
		log.Fatal(err)
	}
}

// serve answers requests until ctx ends, and returns when what they wrote is in
// the store.
func serve(ctx context.Context, ln net.Listener, path, store string) error {
	tgt, err := target.FromURL(store)
	if err != nil {
		return err
	}
	db, err := boule.Open(ctx, path, &boule.Config{
		Targets:      []target.Target{tgt},
		SpoolDir:     filepath.Join(filepath.Dir(path), "spool"),
		Logger:       slog.Default(),
		DrainTimeout: 20 * time.Second,
	})
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS visit(path TEXT, at TEXT DEFAULT current_timestamp)`); err != nil {
		return errors.Join(err, db.Close())
	}
	srv := &http.Server{Handler: handler(db), ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		// A new context: the old one has ended, and requests in flight may finish.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- srv.Shutdown(grace)
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, db.Close())
	}
	return errors.Join(<-stopped, db.Close())
}

func handler(db *sql.DB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		_, err := db.ExecContext(r.Context(), `INSERT INTO visit(path) VALUES (?)`, r.URL.Path)
		if err == nil {
			err = db.QueryRowContext(r.Context(), `SELECT count(*) FROM visit`).Scan(&n)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "visit %d\n", n)
	})
}
