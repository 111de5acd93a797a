package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// How the faulty variants are measured: blocks of transactions that take turns, so that what else the
// machine does meets all alike.
const (
	blocks      = 12 // of each variant in a round
	blockLength = 100
	rest        = 150 * time.Millisecond // after a block: what it left to the background is not the next one's
)

// A victim is a database whose replication is in one kind of trouble.
type victim struct {
	name    string
	db      string
	conn    *sqlite3.Conn
	r       *boule.Replicator
	trouble func() (end func()) // begins with a block; may be nil
	settle  func() error        // after a block; may be nil
	found   latencies
}

// faults measures what a small transaction costs when replication can't do its work, as ratio to when it
// can: 4 KiB pages, a database of some 10 MB on the directory's file system, spools on tmpfs (as
// root: each on one of its own; else where the database is, and without the variant of the full disk).
func (b *bench) faults(ctx context.Context, work string) (err error) {
	if err := noCredentials(); err != nil {
		return err
	}
	var victims []*victim
	var mounts []string
	defer func() {
		for _, v := range slices.Backward(victims) {
			_ = v.conn.Close()
			done, cancel := context.WithCancel(ctx)
			cancel()
			_ = v.r.Close(done) // it is in trouble
		}
		for _, dir := range mounts {
			err = errors.Join(err, unmount(dir))
		}
	}()
	for i, name := range []string{"healthy", "store-down", "spool-deleted", "spool-full"} {
		dir := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Join(dir, "spool"), 0o700); err != nil {
			return err
		}
		spool := filepath.Join(dir, "spool")
		switch err := mount(spool, 512<<20); {
		case err == nil:
			mounts = append(mounts, spool)
		case i == 0:
			b.Note("faults: no tmpfs of its own (%v): spools are beside the databases, and no disk gets full", err)
		case len(mounts) > 0:
			return err
		}
		if name == "spool-full" && len(mounts) == 0 {
			break
		}
		v, err := openVictim(ctx, dir, name)
		if err != nil {
			return err
		}
		victims = append(victims, v)
	}
	err = b.each(ctx, func(context.Context, int) error {
		took := make([][]time.Duration, len(victims))
		for k := range few(blocks, 2) {
			for i := range victims {
				i := (k + i) % len(victims)
				ds, err := victims[i].block()
				if err != nil {
					return fmt.Errorf("%s: %w", victims[i].name, err)
				}
				took[i] = append(took[i], ds...)
			}
		}
		for i, v := range victims {
			v.found.add(took[i])
		}
		return nil
	})
	if err != nil {
		return err
	}
	w := &site{setup: setup{page: 4096, journal: "DELETE", sync: "FULL", size: 10e6}}
	for _, v := range victims {
		p50, p99 := w.row("faults", "commit, p50", v.name, v.found.p50, "µs"), w.row("faults", "commit, p99", v.name, v.found.p99, "µs")
		if v != victims[0] {
			p50 = p50.Over(w.row("", "", victims[0].name, victims[0].found.p50, ""))
			p99 = p99.Over(w.row("", "", victims[0].name, victims[0].found.p99, ""))
		}
		b.Add(p50, p99)
	}
	return nil
}

// block measures one block of transactions.
func (v *victim) block() ([]time.Duration, error) {
	end := func() {}
	if v.trouble != nil {
		end = v.trouble()
	}
	defer end()
	if _, err := insertRows(v.conn, warmUp/2, 1); err != nil {
		return nil, err
	}
	ds, err := insertRows(v.conn, blockLength, 1)
	if err == nil && v.settle != nil {
		err = v.settle()
	}
	<-time.After(rest)
	return ds, err
}

// openVictim makes a database, replicates it once, and arranges its trouble.
func openVictim(ctx context.Context, dir, name string) (*victim, error) {
	v := &victim{name: name, db: filepath.Join(dir, "t.db")}
	spool := filepath.Join(dir, "spool")
	cfg := replicating(dir)
	cfg.SpoolDir = filepath.Join(spool, "here") // a mount point itself can't be deleted
	if name == "store-down" {
		cfg.Targets = []target.Target{{S3: &target.S3{Bucket: "nowhere", Region: "none", Endpoint: "http://127.0.0.1:1"}}}
	}
	var err error
	if v.r, err = boule.New(cfg); err != nil {
		return nil, err
	}
	if v.conn, err = v.r.OpenConn(ctx, v.db, 0); err != nil {
		return nil, err
	}
	s := setup{page: 4096, journal: "DELETE", sync: "FULL", size: 10e6}
	if err = v.conn.Exec(s.pragmas()); err == nil {
		err = s.fill(v.conn)
	}
	if err != nil {
		return nil, err
	}
	if name != "store-down" {
		if err := v.r.Flush(ctx, v.db); err != nil {
			return nil, err
		}
	}
	switch name {
	case "healthy":
		v.settle = func() error { return v.r.Flush(ctx, v.db) }
	case "spool-deleted":
		v.trouble = deleting(cfg.SpoolDir)
	case "spool-full":
		return v, fill(filepath.Join(spool, "filler"))
	}
	return v, nil
}

// deleting returns what deletes a directory now and again until it is ended; only the time in between counts.
func deleting(dir string) (begin func() (end func())) {
	left := *deletions
	return func() (end func()) {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				from := time.Now()
				timer := time.NewTimer(left)
				select {
				case <-timer.C:
					_ = os.RemoveAll(dir) // others make files in it meanwhile
					left = *deletions
				case <-stop:
					timer.Stop()
					left = max(left-time.Since(from), 0)
					return
				}
			}
		}()
		return func() { close(stop); <-done }
	}
}

// fill fills a file system to its last byte.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for piece := 1 << 20; piece > 0; piece /= 2 {
		for err == nil {
			_, err = f.Write(make([]byte, piece))
		}
		err = nil
	}
	return nil
}
