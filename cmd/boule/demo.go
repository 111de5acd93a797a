package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// demoReport is what the demonstration measured; --json prints it.
type demoReport struct {
	Directory     string  `json:"directory"`
	Seconds       float64 `json:"seconds"`
	Orders        int64   `json:"orders"`
	OrdersKilled  int64   `json:"orders_of_killed_writer"`
	DatabaseBytes int64   `json:"database_bytes"`
	StoreObjects  int64   `json:"store_objects"`
	StoreBytes    int64   `json:"store_bytes"`
	RestoreMillis int64   `json:"restore_ms"`
	SHA256        string  `json:"sha256"`
	Identical     bool    `json:"identical"`
	Integrity     string  `json:"integrity_check"`
	Totals        bool    `json:"totals_agree"`
	Manifest      string  `json:"manifest"`
}

func newDemo(a *app) *cobra.Command {
	var keep bool
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show replication and restore at work, in a temporary directory, without S3",
		Long: `Demo makes a database with customers, orders, pictures, full-text notes and
triggers in a temporary directory. Two processes write to it while their copiers
upload to a directory store; one of them is killed in the middle. Then it restores
the database from the store and compares.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if duration < 500*time.Millisecond || duration > 10*time.Minute {
				return usagef("--duration %v: want between 500ms and 10m", duration)
			}
			return a.demo(cmd.Context(), duration, keep)
		},
	}
	cmd.Flags().DurationVar(&duration, "duration", 4*time.Second, "how long to write")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the directory")
	return cmd
}

// say prints a line of the account, unless the result is to be JSON.
func (a *app) say(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.stdout, format+"\n", args...)
	}
}

func (a *app) demo(ctx context.Context, duration time.Duration, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "boule-demo-")
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	if keep {
		defer func() { fmt.Fprintf(a.stderr, "kept %s\n", dir) }()
	} else {
		defer os.RemoveAll(dir)
	}
	db, storeDir := filepath.Join(dir, "shop.db"), filepath.Join(dir, "store")
	cfg := *a.cfg
	cfg.SpoolDir = filepath.Join(dir, "spool")
	cfg.Targets = []target.Target{{File: &target.File{Directory: storeDir}}}
	config, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	start := time.Now()
	rep := demoReport{Directory: dir}

	a.say("A shop's database in %s, replicating to a directory.", dir)
	r, err := boule.New(&cfg)
	if err != nil {
		return err
	}
	defer a.done(r)
	if err := demoSchema(ctx, r, db); err != nil {
		return err
	}

	a.say("Two processes take orders for %v; each uploads what it and the other commit.", duration)
	writers := make([]*exec.Cmd, 2)
	outs := make([]bytes.Buffer, 2)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i := range writers {
		w := exec.CommandContext(ctx, self, "demo-writer", db, fmt.Sprintf("till-%d", i+1), duration.String())
		w.Env = append(os.Environ(), boule.EnvConfig+"="+string(config), "BOULE_STORE=", "BOULE_SPOOL=")
		w.Stdout, w.Stderr = &outs[i], a.stderr
		if err := w.Start(); err != nil {
			return fmt.Errorf("start writer: %w", err)
		}
		writers[i] = w
		defer func() { _ = w.Process.Kill() }() // ended by then, unless something failed
	}
	dead := make(chan error, 1)
	go func() { dead <- writers[1].Wait() }()
	if err := demoWaitFor(ctx, r, db, "till-2", dead); err != nil {
		return err
	}
	select {
	case <-time.After(duration / 2):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := writers[1].Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill writer: %w", err)
	}
	if err := <-dead; err != nil {
		a.say("Killed the second one (SIGKILL), whatever it was doing.")
	} else {
		a.say("The second one had ended before it could be killed.")
	}
	if err := writers[0].Wait(); err != nil {
		if ctx.Err() != nil { // which is what killed it
			return ctx.Err()
		}
		return fmt.Errorf("first writer: %w", err)
	}

	a.say("Flushing: done when the store holds the database as it is now.")
	if err := r.Flush(ctx, db); err != nil {
		return err
	}
	if rep.Manifest, err = r.ManifestName(db); err != nil {
		return err
	}
	if err := treeSize(storeDir, &rep.StoreObjects, &rep.StoreBytes); err != nil {
		return err
	}

	restored := filepath.Join(dir, "restored.db")
	t := time.Now()
	if _, err := boule.Restore(ctx, boule.SourceRef("", db), restored, &cfg, nil); err != nil {
		return err
	}
	rep.RestoreMillis = time.Since(t).Milliseconds()
	if err := demoVerify(ctx, &cfg, db, restored, &rep); err != nil {
		return err
	}
	rep.Seconds = time.Since(start).Seconds()
	if err := a.demoPrint(&rep); err != nil {
		return err
	}
	if !rep.Identical || rep.Integrity != "ok" || !rep.Totals {
		return errors.New("the restored database is not what it should be")
	}
	return nil
}

func (a *app) demoPrint(rep *demoReport) error {
	if a.json {
		return a.printJSON(rep)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\norders taken\t%d, of which %d by the killed process\n", rep.Orders, rep.OrdersKilled)
	fmt.Fprintf(w, "database\t%s\n", humanize.IBytes(uint64(rep.DatabaseBytes)))
	fmt.Fprintf(w, "in the store\t%d objects, %s\n", rep.StoreObjects, humanize.IBytes(uint64(rep.StoreBytes)))
	fmt.Fprintf(w, "restored in\t%d ms\n", rep.RestoreMillis)
	fmt.Fprintf(w, "bytes\t%s\n", choose(rep.Identical, "identical, sha256 "+rep.SHA256[:16]+"…", "DIFFERENT"))
	fmt.Fprintf(w, "integrity_check\t%s\n", rep.Integrity)
	fmt.Fprintf(w, "order totals\t%s\n", choose(rep.Totals, "agree with their items in every order", "DISAGREE"))
	fmt.Fprintf(w, "manifest\t%s\n", rep.Manifest)
	return w.Flush()
}

func choose(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

const demoDDL = `
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL, picture BLOB);
CREATE TABLE orders(id INTEGER PRIMARY KEY, till TEXT NOT NULL, customer INTEGER NOT NULL REFERENCES customer,
  placed TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')), total INTEGER NOT NULL DEFAULT 0);
CREATE TABLE item(orders INTEGER NOT NULL REFERENCES orders, sku TEXT NOT NULL, cents INTEGER NOT NULL);
CREATE INDEX orders_by_till ON orders(till, placed);
CREATE INDEX item_by_orders ON item(orders);
CREATE INDEX item_by_sku ON item(sku);
CREATE VIRTUAL TABLE note USING fts5(body);
CREATE TRIGGER item_total AFTER INSERT ON item BEGIN
  UPDATE orders SET total = total + new.cents WHERE id = new.orders; END;`

func demoSchema(ctx context.Context, r *boule.Replicator, path string) error {
	db, err := r.OpenDB(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, demoDDL); err != nil {
		return fmt.Errorf("make schema: %w", err)
	}
	_, err = db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200)
		INSERT INTO customer(name, picture) SELECT 'customer '||i, randomblob(4000+i*20) FROM n`)
	if err != nil {
		return fmt.Errorf("fill schema: %w", err)
	}
	return nil
}

// demoWaitFor returns when the writer has committed something: from then on a
// kill hits work in progress.
func demoWaitFor(ctx context.Context, r *boule.Replicator, path, till string, dead <-chan error) error {
	db, err := r.OpenDB(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM orders WHERE till = ?`, till).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-dead:
			return fmt.Errorf("second writer stopped early: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newDemoWriter(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "demo-writer DB TILL DURATION",
		Short:  "One of the demonstration's writers",
		Hidden: true,
		Args:   cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			duration, err := time.ParseDuration(args[2])
			if err != nil {
				return usage(err)
			}
			cfg := *a.cfg
			cfg.DrainTimeout = 0
			return demoWrite(cmd.Context(), &cfg, args[0], args[1], duration)
		},
	}
}

func demoWrite(ctx context.Context, cfg *boule.Config, path, till string, duration time.Duration) error {
	db, err := boule.Open(ctx, path, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	for end, n := time.Now().Add(duration), 0; time.Now().Before(end); n++ {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		if err := demoOrder(ctx, tx, till, n); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	return nil
}

func demoOrder(ctx context.Context, tx *sql.Tx, till string, n int) error {
	res, err := tx.ExecContext(ctx, `INSERT INTO orders(till, customer) VALUES (?, 1 + abs(random()) % 200)`, till)
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	for i := range 1 + n%5 {
		if _, err := tx.ExecContext(ctx, `INSERT INTO item VALUES (?, 'sku-'||(abs(random())%5000), ?)`, id, 100+i*25); err != nil {
			return err
		}
	}
	if n%10 == 0 {
		if _, err := tx.ExecContext(ctx, `INSERT INTO note(rowid, body) VALUES (?, 'order '||?||' taken at '||?||', customer was pleased')`, id, n, till); err != nil {
			return err
		}
	}
	if n%50 == 0 {
		_, err = tx.ExecContext(ctx, `UPDATE customer SET picture = randomblob(8000) WHERE id = 1 + abs(random()) % 200`)
	}
	return err
}

func demoVerify(ctx context.Context, cfg *boule.Config, source, restored string, rep *demoReport) error {
	sum1, n1, err := fileSum(source)
	if err != nil {
		return err
	}
	sum2, n2, err := fileSum(restored)
	if err != nil {
		return err
	}
	rep.DatabaseBytes, rep.SHA256, rep.Identical = n1, sum2, sum1 == sum2 && n1 == n2

	plain := *cfg
	plain.Targets = nil
	db, err := boule.Open(ctx, restored, &plain)
	if err != nil {
		return err
	}
	defer db.Close()
	var wrong int64
	for query, dest := range map[string]any{
		`PRAGMA integrity_check`:                            &rep.Integrity,
		`SELECT count(*) FROM orders`:                       &rep.Orders,
		`SELECT count(*) FROM orders WHERE till = 'till-2'`: &rep.OrdersKilled,
		`SELECT count(*) FROM orders o WHERE total IS NOT (SELECT sum(cents) FROM item WHERE orders = o.id)`: &wrong,
	} {
		if err := db.QueryRowContext(ctx, query).Scan(dest); err != nil {
			return fmt.Errorf("check restored database: %w", err)
		}
	}
	rep.Totals = wrong == 0 && rep.Orders > 0
	return nil
}

func fileSum(name string) (string, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

func treeSize(dir string, objects, size *int64) error {
	return filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		*objects++
		*size += fi.Size()
		return nil
	})
}
