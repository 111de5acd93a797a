package wasmvfs_test

import (
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

// broken panics whenever it is called.
type broken struct{ calls int }

func (b *broken) LockedExclusive()                       { b.calls++; panic("LockedExclusive") }
func (b *broken) WillWrite(int64, int)                   { b.calls++; panic("WillWrite") }
func (b *broken) WillTruncate(int64, int64)              { b.calls++; panic("WillTruncate") }
func (b *broken) NeedsSnapshot() bool                    { b.calls++; panic("NeedsSnapshot") }
func (b *broken) Claim()                                 { b.calls++; panic("Claim") }
func (b *broken) Unclaim()                               { b.calls++; panic("Unclaim") }
func (b *broken) Snapshot(tracker.Held)                  { b.calls++; panic("Snapshot") }
func (b *broken) Unlocked()                              { b.calls++; panic("Unlocked") }
func (b *broken) Current() ([]tracker.StagedInfo, error) { b.calls++; panic("Current") }
func (b *broken) LastChance() bool                       { b.calls++; panic("LastChance") }
func (b *broken) Close()                                 { b.calls++; panic("Close") }

// picky panics at its nth call only.
type picky struct {
	broken
	n int
}

func (p *picky) call() {
	p.calls++
	if p.calls == p.n {
		panic("picky")
	}
}
func (p *picky) LockedExclusive()                       { p.call() }
func (p *picky) WillWrite(int64, int)                   { p.call() }
func (p *picky) WillTruncate(int64, int64)              { p.call() }
func (p *picky) NeedsSnapshot() bool                    { p.call(); return true }
func (p *picky) Claim()                                 { p.call() }
func (p *picky) Unclaim()                               { p.call() }
func (p *picky) Snapshot(tracker.Held)                  { p.call() }
func (p *picky) Unlocked()                              { p.call() }
func (p *picky) Current() ([]tracker.StagedInfo, error) { p.call(); return nil, nil }
func (p *picky) LastChance() bool                       { p.call(); return true }
func (p *picky) Close()                                 { p.call() }

func TestPanicOfTrackerChangesNothing(t *testing.T) {
	work := func(t *testing.T, name string) {
		path := tempPath(t)
		c, err := sqlite3.Open("file:" + path + "?vfs=" + name)
		if err != nil {
			t.Fatal(err)
		}
		setUp(t, c, "DELETE")
		exec(t, c, fmt.Sprintf(fill, 1, 200))
		exec(t, c, "DELETE FROM t WHERE a > 100; VACUUM; BEGIN; DELETE FROM t; ROLLBACK")
		exec(t, c, "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES (500, 2, 3)")
		if got := query(t, c, "PRAGMA "+wasmvfs.PragmaFlush); got != "0" {
			t.Errorf("flush says %q", got)
		}
		wantRows(t, c, "SELECT count(*) FROM t", "101")
		wantRows(t, c, "PRAGMA integrity_check", "ok")
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	opts := &wasmvfs.Options{Upload: func(string) error { return nil }}
	t.Run("at once", func(t *testing.T) {
		var b broken
		name := register(t, wasmvfs.NewWith(nil, opts, wasmvfs.Seams{
			Track: func(string, tracker.File, tracker.Mode) wasmvfs.Tracked { return &b },
		}))
		work(t, name)
		if b.calls != 2 { // it is not asked again, but for closing
			t.Errorf("the tracker was called %d times, want twice", b.calls)
		}
	})
	t.Run("while tracking", func(t *testing.T) {
		name := register(t, wasmvfs.NewWith(nil, opts, wasmvfs.Seams{
			Track: func(string, tracker.File, tracker.Mode) wasmvfs.Tracked { panic("Track") },
		}))
		work(t, name)
	})
	t.Run("at each call", func(t *testing.T) {
		for n := 1; ; n++ {
			p := &picky{n: n}
			name := register(t, wasmvfs.NewWith(nil, opts, wasmvfs.Seams{
				Track: func(string, tracker.File, tracker.Mode) wasmvfs.Tracked { return p },
			}))
			work(t, name)
			if p.calls < n {
				if n < 20 {
					t.Errorf("only %d calls were tried", n)
				}
				return
			}
		}
	})
}
