//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// foreign writes with the stock sqlite3 program, which knows nothing of Boule, until ctx ends.
// It returns what no fault explains.
func (r *round) foreign(ctx context.Context, rng *rand.Rand, slots []slot) error {
	out, err := os.OpenFile(filepath.Join(r.dir, "records", "foreign"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	for ctx.Err() == nil {
		slot := slots[rng.IntN(len(slots))]
		release, err := slot.keepNames(r.dir)
		if err != nil {
			return err
		}
		path := slot.path(filepath.Join(r.dir, "db"), rng)
		cmd := exec.Command("sqlite3", "-batch", "-bail", "-cmd", ".log stderr", "-cmd", ".timeout 30000", path, r.script(rng))
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = out, &errs
		if err := cmd.Start(); err != nil {
			release()
			return err
		}
		killed := false
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		if rng.IntN(6) == 0 && !r.plan.spares {
			pause(ctx, time.Duration(rng.IntN(60))*time.Millisecond)
			killed = cmd.Process.Kill() == nil
			if killed {
				r.h.fault("sqlite3 killed")
			}
		}
		err = <-done
		release()
		if err != nil && !killed {
			what := explainedText(errs.String())
			if what == "" {
				return fmt.Errorf("stock sqlite3 on %s: %w: %s", path, err, strings.TrimSpace(errs.String()))
			}
			if _, err := fmt.Fprintf(out, "T foreign-%s .\n", what); err != nil {
				return err
			}
		}
		pause(ctx, time.Duration(rng.IntN(250))*time.Millisecond)
	}
	return nil
}

// explainedText is explained for the messages of the program.
func explainedText(s string) string {
	for _, known := range []struct{ text, name string }{
		{"database is locked", "busy"},
		{"database table is locked", "locked"},
		{"locking protocol", "protocol"},
		{"attempt to write a readonly database", "moved"},
		{"database schema has changed", "schema"},
		{"(1802)", "moved"}, // IOERR_FSTAT: a journal is there, and the database that it is beside was renamed
	} {
		if strings.Contains(s, known.text) {
			return known.name
		}
	}
	return ""
}

// script is what one run of the program does. It prints lines of a record, from reads only, each
// in a transaction or of its own.
func (r *round) script(rng *rand.Rand) string {
	say := func(what string) string {
		return `SELECT 'S ' || gen || ' ' || n || ' ' || id || ' ' || cnt || ' ' || sum || ' ' || bytes || ' ` + what + ` .' FROM stamp;`
	}
	var sql strings.Builder
	fmt.Fprintf(&sql, `PRAGMA synchronous=%s; PRAGMA cache_size=%d;`, pick(rng, "OFF", "NORMAL", "FULL"), pick(rng, 5, 500))
	if rng.IntN(4) == 0 {
		fmt.Fprintf(&sql, `PRAGMA journal_mode=%s;`, pick(rng, "DELETE", "TRUNCATE", "PERSIST"))
	}
	fmt.Fprintf(&sql, `BEGIN IMMEDIATE; %s COMMIT; %s`, schema(word(rng), word(rng)), say("read"))
	if rng.IntN(12) == 0 {
		if rng.IntN(2) == 0 {
			fmt.Fprintf(&sql, `PRAGMA page_size=%d;`, pick(rng, pageSizes...))
		}
		fmt.Fprintf(&sql, `PRAGMA auto_vacuum=%d; VACUUM; %s`, rng.IntN(3), say("read"))
	}
	for range 1 + rng.IntN(4) {
		var change string
		switch rng.IntN(4) {
		case 0:
			change = remove(rng, "main", 1+rng.IntN(2000))
		case 1:
			change = changeRows(rng)
		default:
			change = insert(rng, "main", 1+rng.IntN(200), pick(rng, 30, 300, 3000))
		}
		fmt.Fprintf(&sql, `BEGIN IMMEDIATE; %s %s %s COMMIT; %s`, say("read"), change, bump(rng, "main"), say("FOREIGN/stock"))
	}
	return sql.String()
}

func changeRows(rng *rand.Rand) string {
	return change(rng, "main", 1+rng.IntN(100), pick(rng, 30, 300, 3000))
}
