package boule_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// Neither to measure nor to flush drops the locks that another copy of SQLite in this process
// has on the database.
func TestStatusAndFlushKeepForeignLocks(t *testing.T) {
	p := publish(t, 1)
	foreign, err := os.OpenFile(p.db, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	const there = 1 << 41 // where Boule locks nothing
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: there, Len: 1}
	if err := unix.FcntlFlock(foreign.Fd(), unix.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	probe, err := os.OpenFile(p.db, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close() // not before the end
	r := newReplicator(t, p.cfg)
	for range 3 {
		status(t, p.cfg, p.db)
		if err := r.Flush(t.Context(), p.db); err != nil {
			t.Fatal(err)
		}
		// By an open file description this lock could not be had.
		lock := unix.Flock_t{Type: unix.F_WRLCK, Start: there, Len: 1}
		if err := unix.FcntlFlock(probe.Fd(), unix.F_OFD_GETLK, &lock); err != nil {
			t.Fatal(err)
		}
		if lock.Type == unix.F_UNLCK {
			t.Fatal("the foreign lock is gone")
		}
	}
}

// Two machines go on from copies of one database, with as many transactions, so that the headers are the same. What the store has is of
// one of them.
func TestStatusOfAFork(t *testing.T) {
	for _, layout := range []target.Layout{target.LayoutLog, target.LayoutChunks} {
		for _, ids := range []bool{true, false} {
			if !ids && layout == target.LayoutChunks {
				continue // nothing tells
			}
			s := newSiteOf(t, 1, layout)
			path := s.path("a.db")
			write := func(cfg *boule.Config, what string) {
				t.Helper()
				db := open(t, path, cfg)
				execSQL(t, db, what)
				_ = db.Close() // in the layout log the second is refused
			}
			write(s.cfg, createAndFill)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(s.cfg, `UPDATE t SET x = 111`)
			if !status(t, s.cfg, path).Targets[0].InSync {
				t.Error("the first is not in sync")
			}
			if err := errors.Join(os.Remove(path), os.WriteFile(path, data, 0o600)); err != nil {
				t.Fatal(err)
			}
			second := s.with(func(c *boule.Config) { c.SpoolDir = s.path("spool2") })
			if layout == target.LayoutChunks { // whoever uploads last wins there
				second.Targets = []target.Target{{File: &target.File{Directory: s.path("away")}, Layout: layout}}
			}
			write(second, `UPDATE t SET x = 222`)
			cfg := second
			if layout == target.LayoutChunks {
				cfg = s.cfg
			}
			if !ids {
				if err := unix.Removexattr(path, "user.boule.version_id"); err != nil {
					t.Fatal(err)
				}
			}
			for _, ts := range status(t, cfg, path).Targets {
				if ts.Target == s.cfg.Targets[0].String() && (ts.InSync || ts.Lag <= 0) {
					t.Errorf("%s, with ids: %t: the other is in sync: %+v", layout, ids, ts)
				}
			}
		}
	}
}
