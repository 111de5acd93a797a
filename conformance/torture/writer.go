//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
)

// busy is how long a writer waits for a lock: longer than anybody is stopped.
const busy = 40 * time.Second

// A writerSpec says how a writer writes.
type writerSpec struct {
	Modes    []string // journal modes that it uses, of those without WAL
	WAL      bool     // it enters WAL mode now and then, and leaves it
	MaxBytes int64    // that the texts of a database have, about
	Pair     bool     // it attaches the second slot to the first
}

// A writer is a child that writes through Boule.
type writer struct {
	*child
	ctx  context.Context
	r    *boule.Replicator
	conn *sqlite3.Conn
	mode string // journal mode of conn, as SQLite says
}

// write is the life of a writer: connections, each with some transactions.
func (c *child) write(ctx context.Context) error {
	r, err := boule.New(c.config(c.log))
	if err != nil {
		return err
	}
	w := &writer{child: c, ctx: ctx, r: r}
	for ctx.Err() == nil {
		if err := w.keptSession(c.Slots[c.rng.IntN(len(c.Slots))]); err != nil {
			what, ok := explained(err)
			if !ok {
				return err
			}
			if err := c.record.tolerated(what); err != nil {
				return err
			}
		}
	}
	done, cancel := context.WithTimeout(context.Background(), time.Duration(c.rng.IntN(2))*time.Second)
	defer cancel()
	_ = r.Close(done) // what it could not upload the flush does
	return nil
}

// keptSession is a session while which the database keeps its name.
func (w *writer) keptSession(s slot) error {
	release, err := s.keepNames(w.Dir)
	if err != nil {
		return err
	}
	defer release()
	err = w.session(s)
	drop(w.conn)
	w.conn = nil
	return err
}

// session is one connection.
func (w *writer) session(s slot) error {
	path := s.path(w.db(), w.rng)
	var err error
	ctx := context.WithoutCancel(w.ctx) // the end is no failure to open
	if w.conn, err = w.r.OpenConn(ctx, path, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE); err != nil {
		return w.inContext("open", err)
	}
	if err := w.prepare(); err != nil {
		return w.inContext("prepare", err)
	}
	for range 1 + w.rng.IntN(25) {
		if w.ctx.Err() != nil {
			return nil
		}
		what, err := w.step()
		if err != nil {
			return w.inContext(what, err)
		}
		if w.mode == "wal" { // so that somebody can leave it
			pause(w.ctx, time.Duration(w.rng.IntN(30))*time.Millisecond)
			return nil
		}
	}
	return nil
}

func (w *writer) inContext(what string, err error) error {
	return fmt.Errorf("%s (%s, journal mode %s): %w", w.Name, what, w.mode, err)
}

// prepare sets the connection up, and makes the tables if it came first.
func (w *writer) prepare() error {
	if err := w.conn.BusyTimeout(busy); err != nil {
		return err
	}
	err := w.conn.Exec(fmt.Sprintf(`PRAGMA synchronous=%s; PRAGMA cache_size=%d; PRAGMA temp_store=%d`,
		pick(w.rng, "OFF", "NORMAL", "FULL", "EXTRA"), pick(w.rng, 5, 50, 2000), w.rng.IntN(3)))
	if err != nil {
		return err
	}
	if n, err := query1(w.conn, `SELECT count(*) FROM sqlite_schema WHERE name='stamp'`); err != nil {
		return err
	} else if n == "0" {
		if err := w.found(); err != nil {
			return err
		}
	}
	return w.journal()
}

// found makes the tables of a new database, which has been in the zero state before.
func (w *writer) found() error {
	if err := w.record.seen(state{}, "read"); err != nil {
		return err
	}
	err := w.conn.Exec(fmt.Sprintf(`PRAGMA page_size=%d; PRAGMA auto_vacuum=%d; BEGIN IMMEDIATE; %s`,
		pick(w.rng, pageSizes...), w.rng.IntN(3), schema(word(w.rng), word(w.rng))))
	if err != nil {
		return err
	}
	s, err := readState(w.conn, "main")
	if err == nil {
		err = w.conn.Exec(`COMMIT`)
	}
	if err != nil {
		return err
	}
	return w.record.seen(s, "found")
}

// journal learns the journal mode, leaves WAL mode if it can, and else changes among the others.
func (w *writer) journal() (err error) {
	if w.mode, err = query1(w.conn, `PRAGMA journal_mode`); err != nil {
		return err
	}
	want := pick(w.rng, w.Writer.Modes...)
	if w.mode == "wal" && w.rng.IntN(3) > 0 {
		return nil
	}
	if w.mode == "wal" {
		if err := w.conn.BusyTimeout(100 * time.Millisecond); err != nil {
			return err
		}
		want = "DELETE"
	}
	got, err := query1(w.conn, `PRAGMA journal_mode=`+want)
	if _, ok := explained(err); ok && w.mode == "wal" {
		err = nil
	} else if err == nil {
		w.mode = got
	}
	return errors.Join(err, w.conn.BusyTimeout(busy))
}

// enterWAL goes into WAL mode if nobody is in the way.
func (w *writer) enterWAL() error {
	if err := w.conn.BusyTimeout(100 * time.Millisecond); err != nil {
		return err
	}
	got, err := query1(w.conn, `PRAGMA journal_mode=WAL`)
	if err == nil {
		w.mode = got
	}
	if what, ok := explained(err); ok {
		err = w.record.tolerated("entering-wal-" + what)
	}
	return errors.Join(err, w.conn.BusyTimeout(busy))
}

// label is by what a commit is counted.
func (w *writer) label(what string) string { return strings.ToUpper(w.mode) + "/" + what }
