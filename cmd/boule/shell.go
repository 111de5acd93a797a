package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/spf13/cobra"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/cmd/boule/internal/shell"
)

func newShell(a *app) *cobra.Command {
	var readonly, noWait, headers bool
	var mode string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "shell [--readonly] DB [SQL…]",
		Short: "Run SQL on a database whose writes replicate",
		Long: `Shell runs SQL and dot commands (.help lists them) from its arguments, from standard
input, or interactively. DB is a file, made if it does not exist, or with --readonly a
replica: boule://HOST/path, s3://…, or a manifest by file:// or http(s)://.
What it wrote replicates; leaving waits until that is uploaded, for --wait at most.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch mode {
			case "", "list", "csv", "json", "table":
			default:
				return usagef("--mode %q: want list, csv, json or table", mode)
			}
			if a.json {
				mode = "json"
			}
			if noWait {
				wait = 0
			}
			opts := &shell.Options{
				Mode: mode, Headers: headers, Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr,
				Interactive: len(args) == 1 && isTerminal(a.stdin) && isTerminal(a.stdout),
				HistoryFile: historyFile(),
			}
			return a.shell(cmd.Context(), args[0], args[1:], readonly, wait, opts)
		},
	}
	cmd.Flags().BoolVar(&readonly, "readonly", false, "do not write; needed for replicas")
	cmd.Flags().StringVar(&mode, "mode", "", "output: list, csv, json or table (default list; table when interactive)")
	cmd.Flags().BoolVar(&headers, "header", false, "print column names in modes list and csv")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "when leaving, wait at most this long for the upload")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "leave at once; a later command or process uploads the rest")
	return cmd
}

func historyFile() string {
	dir, err := boule.DefaultSpoolDir()
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(dir), "shell_history")
}

func (a *app) shell(ctx context.Context, db string, sql []string, readonly bool, wait time.Duration, opts *shell.Options) (err error) {
	if boule.IsRef(db) {
		if !readonly {
			return usagef("%s is a replica, which can't be written: add --readonly", db)
		}
		conn, err := boule.OpenReplicaConn(ctx, db, a.cfg)
		if err != nil {
			return err
		}
		defer conn.Close()
		return runShell(ctx, conn, sql, opts)
	}
	flags := sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE
	if readonly {
		flags = sqlite3.OPEN_READONLY
		if err := mustExist(db); err != nil {
			return err
		}
	}
	r, err := boule.New(a.cfg)
	if err != nil {
		return err
	}
	defer a.done(r)
	if !readonly && !r.Replicating() {
		fmt.Fprintf(a.stderr, "boule: not replicating %s: %s\n", db, r.WhyNot())
	}
	conn, err := r.OpenConn(ctx, db, flags)
	if err != nil {
		return err
	}
	file := ""
	if name := conn.Filename("main"); name != nil {
		file = name.String()
	}
	err = runShell(ctx, conn, sql, opts)
	if cerr := conn.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if readonly || !r.Replicating() || wait <= 0 {
		return err
	}
	return errors.Join(err, a.leave(context.WithoutCancel(ctx), r, file, wait))
}

func runShell(ctx context.Context, conn *sqlite3.Conn, sql []string, opts *shell.Options) error {
	s := shell.New(conn, opts)
	var err error
	switch {
	case len(sql) > 0:
		err = s.RunArgs(ctx, sql)
	case opts.Interactive:
		// The shell handles interrupts itself: one ends a statement, no more.
		own, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
		defer stop()
		err = s.Run(own)
	default:
		err = s.Run(ctx)
	}
	var told *shell.Error
	if errors.As(err, &told) {
		return &quietError{err}
	}
	return err
}

// leave waits until the store has what was written: to the database in the file,
// if there is one, and to those that were attached.
func (a *app) leave(ctx context.Context, r *boule.Replicator, file string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var err error
	what := file
	if fi, serr := os.Stat(file); serr == nil && fi.Size() > 0 {
		err = a.upload(func() error { return r.Flush(ctx, file) }, r, file)
	}
	if errors.Is(err, boule.ErrWAL) {
		fmt.Fprintf(a.stderr, "boule: %s\n", message(err))
		err = nil
	}
	if err == nil {
		what = "what else was written"
		err = r.Close(ctx)
	}
	if err != nil {
		// The SQL itself has succeeded and is on disk: replication may be
		// behind, but that is a warning and never the application's failure.
		fmt.Fprintf(a.stderr, "boule: %s is not uploaded yet: %s; 'boule flush' uploads it later\n", what, message(err))
	}
	return nil
}
