package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// run writes to the database args[0], which replicates to the store args[1].
func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: quickstart DB STORE-URL")
	}
	store, err := target.FromURL(args[1])
	if err != nil {
		return err
	}
	cfg := &boule.Config{
		Targets:  []target.Target{store},
		SpoolDir: filepath.Join(filepath.Dir(args[0]), "spool"),
	}

	// The ten lines of use: a *sql.DB like any other.
	db, err := boule.Open(ctx, args[0], cfg)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS visit(at TEXT DEFAULT current_timestamp)`); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO visit DEFAULT VALUES`); err != nil {
		return err
	}
	return db.Close() // waits until the store has it
}
