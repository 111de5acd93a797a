//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/copier"
)

// copyLoop uploads what others spool, as a `boule flush` does, again and again.
func (c *child) copyLoop(ctx context.Context) error {
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, time.Duration(200+c.rng.IntN(3000))*time.Millisecond)
		results, err := boule.FlushSpool(bounded, filepath.Join(c.Dir, "spool"), c.config(c.log))
		cancel()
		if err != nil {
			c.log.Info("flush", "error", err) // the spool may not be there
		}
		for _, r := range results {
			c.log.Info("flush", "db", r.Path, "target", r.Target, "error", r.Err)
		}
		pause(ctx, time.Duration(c.rng.IntN(800))*time.Millisecond)
	}
	return nil
}

// sample takes fingerprints of database files under SHARED.
func (c *child) sample(ctx context.Context) error {
	cfg := c.config(c.log)
	if c.rng.IntN(2) == 0 {
		cfg.Targets = nil // a stranger
	}
	r, err := boule.New(cfg)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		err := c.sampleOne(ctx, r, c.Slots[c.rng.IntN(len(c.Slots))])
		if err != nil {
			what, ok := explained(err)
			if !ok {
				return fmt.Errorf("reader: %w", err)
			}
			if err := c.record.tolerated("reader-" + what); err != nil {
				return err
			}
		}
		pause(ctx, time.Duration(20+c.rng.IntN(120))*time.Millisecond)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.Close(done) // it has nothing to upload
	return nil
}

func (c *child) sampleOne(ctx context.Context, r *boule.Replicator, s slot) error {
	release, err := s.keepNames(c.Dir)
	if err != nil {
		return err
	}
	defer release()
	path := s.path(c.db(), c.rng)
	before, err := os.Stat(path)
	if err != nil {
		return nil // deleted just now
	}
	conn, err := r.OpenConn(context.WithoutCancel(ctx), path, sqlite3.OPEN_READWRITE) // the end is no failure to open
	if err != nil {
		if _, serr := os.Stat(path); serr != nil {
			return nil
		}
		return err
	}
	defer drop(conn)
	if err := conn.BusyTimeout(busy); err != nil {
		return err
	}
	if n, err := query1(conn, `SELECT count(*) FROM sqlite_schema WHERE name='stamp'`); err != nil || n == "0" {
		return err // made just now
	}
	if err := conn.Exec(`BEGIN`); err != nil {
		return err
	}
	seen, err := readState(conn, "main") // takes SHARED, and rolls back what a killed writer left
	if err != nil {
		return err
	}
	if err := c.record.seen(seen, "read"); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close() // locks are of open file descriptions here: this one has none to lose
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(before, fi) {
		return nil
	}
	p, err := fingerprint(f, fi.Size())
	if errors.Is(err, errNotDatabase) {
		return nil // in WAL mode
	}
	if err != nil {
		return err
	}
	return c.record.sampled(seen, p)
}

// links writes one database by its two hard links in turn, never at once: SQLite puts the journal beside
// the name, so two names at a time are not safe with any VFS.
func (c *child) links(ctx context.Context) error {
	r, err := boule.New(c.config(c.log))
	if err != nil {
		return err
	}
	w := &writer{child: c, ctx: ctx, r: r}
	names := c.Slots[0].Names
	for i := 0; ctx.Err() == nil; i++ {
		err := w.session(slot{Names: names[i%len(names):][:1]})
		drop(w.conn)
		w.conn = nil
		if err != nil {
			return err // nobody else is there: nothing explains an error
		}
		if i == 0 {
			if err := os.Link(filepath.Join(c.db(), names[0]), filepath.Join(c.db(), names[1])); err != nil {
				return err
			}
		}
		pause(ctx, time.Duration(c.rng.IntN(200))*time.Millisecond)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.Close(done) // the flush uploads
	return nil
}

// operate deletes or renames a database while it holds EXCLUSIVE, and nobody else has it open but
// Boule itself.
func (c *child) operate(ctx context.Context) error {
	err := c.operateOnce(ctx)
	if what, ok := explained(err); ok {
		return c.record.tolerated("surgeon-" + what)
	}
	return err
}

func (c *child) operateOnce(ctx context.Context) error {
	cfg := c.config(c.log)
	if c.rng.IntN(2) == 0 {
		cfg.Targets = nil
	}
	r, err := boule.New(cfg)
	if err != nil {
		return err
	}
	release, err := changeNames(c.Dir)
	if err != nil {
		return err
	}
	defer release()
	from := c.Slots[0].path(c.db(), c.rng)
	if real, err := filepath.EvalSymlinks(from); err == nil {
		from = real
	}
	if _, err := os.Stat(from); err != nil {
		return nil
	}
	conn, err := r.OpenConn(ctx, from, sqlite3.OPEN_READWRITE)
	if err != nil {
		return err
	}
	defer drop(conn)
	if err := conn.BusyTimeout(busy / 4); err != nil {
		return err
	}
	if mode, err := query1(conn, `PRAGMA journal_mode=DELETE`); err != nil || mode != "delete" {
		return err
	}
	if err := conn.Exec(`BEGIN EXCLUSIVE`); err != nil {
		return err
	}
	if n, err := query1(conn, `SELECT count(*) FROM sqlite_schema WHERE name='stamp'`); err != nil || n == "0" {
		return err
	}
	if mode, err := query1(conn, `PRAGMA journal_mode`); err != nil || mode == "wal" {
		return err
	}
	s, err := readState(conn, "main")
	if err == nil {
		err = c.record.seen(s, "read")
	}
	if err != nil {
		return err
	}
	if left, err := leftJournal(from); err != nil || left {
		return err
	}
	switch c.Op {
	case "delete":
		err = os.Remove(from)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another was faster, before this one opened
		}
	case "rename":
		names := c.Slots[0].Names
		to := names[0]
		if strings.HasSuffix(from, "/"+to) {
			to = names[1]
		}
		to = filepath.Join(c.db(), to)
		// Somebody may be making a database of that name: its journal would count as that of the renamed
		// one, and be rolled back into it.
		err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return c.record.tolerated("surgeon-" + c.Op + "-done")
}

// flush uploads the whole spool, as `boule flush` does, and fails unless all of it arrived.
func (c *child) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	results, err := boule.FlushSpool(ctx, filepath.Join(c.Dir, "spool"), c.config(c.log))
	for _, r := range results {
		if c.MayFence && errors.Is(r.Err, copier.ErrFenced) {
			if err := c.record.tolerated("fenced"); err != nil {
				return err
			}
			continue
		}
		fmt.Println(r.Path) // for the runner
		err = errors.Join(err, r.Err)
	}
	return err
}

// sync uploads one database as it is now, as `boule sync` does.
func (c *child) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	r, err := boule.New(c.config(c.log))
	if err != nil {
		return err
	}
	err = r.Flush(ctx, c.File)
	if c.MayFence && errors.Is(err, copier.ErrFenced) {
		// As somebody does who knows that the other owner was the same database.
		if err := c.record.tolerated("fenced"); err != nil {
			return err
		}
		err = r.Takeover(ctx, c.File)
	}
	return errors.Join(err, r.Close(ctx))
}
