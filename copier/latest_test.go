package copier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

// newest returns which entries the newest one and its copy are.
func (b *bucket) newest(t *testing.T, name string) (entry, copied uint64) {
	t.Helper()
	s := store.WithPrefix(b, "m/")
	h, err := logrep.New(store.WithPrefix(b, "c/"), s, name).Head(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := store.ReadAll(t.Context(), s, remotelog.LatestKey(name), remotelog.MaxHeader)
	if err != nil {
		t.Fatal(err)
	}
	e, _, _, err := remotelog.DecodeEntry(body)
	if err != nil {
		t.Fatal(err)
	}
	return h.Entry.Number, e.Number
}

// wantRequests fails the test if f sends other requests, once the timers of f are done.
func wantRequests(t *testing.T, c *copier.Copier, what string, want copier.Requests, f func()) {
	t.Helper()
	before := c.Metrics().Requests
	f()
	synctest.Wait()
	got := c.Metrics().Requests
	got.Put, got.Head, got.Get = got.Put-before.Put, got.Head-before.Head, got.Get-before.Get
	got.List, got.Delete = got.List-before.List, got.Delete-before.Delete
	if got != want {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// TestLatestAfterCommits: whoever looks after a commit was uploaded finds a copy of the header of its entry, so that an entry that gets lost is missed; but for a second where
// flushes come faster. In the long run commits cost no more requests than at one for each 1.1 s.
func TestLatestAfterCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", logTarget, 20)
		c := newCopier(t, &copier.Options{Open: opens(b)})
		c.Add(root, d.key)
		commit := func() {
			d.commit(d.rand.IntN(20))
			c.Notify(d.key)
		}
		isNewest := func(what string, want uint64) {
			t.Helper()
			if entry, copied := b.newest(t, d.name); copied != entry || entry != want {
				t.Errorf("%s: the newest entry is %d, its copy of %d, want %d", what, entry, copied, want)
			}
		}
		commit()
		time.Sleep(time.Minute)
		isNewest("the first", 1)
		commit() // with a probe of what the store can do
		time.Sleep(time.Minute)
		isNewest("the second", 2)
		// After an idle minute two GETs tell whether the entry that was the newest one still is.
		wantRequests(t, c, "a commit", copier.Requests{Put: 2, Get: 2}, func() { commit(); synctest.Wait() })
		isNewest("the third", 3)
		wantRequests(t, c, "an idle hour", copier.Requests{}, func() { time.Sleep(time.Hour) })

		wantRequests(t, c, "a flush", copier.Requests{Put: 2, Get: 2}, func() { commit(); flush(t, c, d) })
		isNewest("flushed", 4)
		wantRequests(t, c, "an idle hour", copier.Requests{}, func() { time.Sleep(time.Hour) })

		// The first two come within 1.1 s, the others every 2.42 s.
		n := uint64(4)
		wantRequests(t, c, "a minute with a commit each second", copier.Requests{Put: 52, Get: 2}, func() {
			for range 60 {
				commit()
				time.Sleep(1001 * time.Millisecond) // not just when there is a pass
				synctest.Wait()
				entry, copied := b.newest(t, d.name)
				if copied != entry {
					t.Fatalf("the newest entry is %d, its copy of %d", entry, copied)
				}
				n = entry
			}
		})
		if n != 4+26 {
			t.Errorf("entry %d", n)
		}
		wantRequests(t, c, "an idle hour", copier.Requests{Put: 2}, func() { time.Sleep(time.Hour) })
		isNewest("after a minute", n+1)
		d.same(b)

		wantRequests(t, c, "two commits", copier.Requests{Put: 4, Get: 2}, func() {
			for range 2 {
				commit()
				time.Sleep(1101 * time.Millisecond)
			}
		})
		isNewest("after two", n+3)
		d.same(b)
		wantRequests(t, c, "an idle hour", copier.Requests{}, func() { time.Sleep(time.Hour) })

		wantRequests(t, c, "a flush each second", copier.Requests{Put: 120, Get: 2}, func() {
			for i := range uint64(60) {
				commit()
				flush(t, c, d)
				isNewest("flushed", n+4+i)
				time.Sleep(1001 * time.Millisecond)
			}
		})
		wantRequests(t, c, "an idle hour", copier.Requests{}, func() { time.Sleep(time.Hour) })

		// Some stores refuse more than one put of a key in a second if that goes on.
		wantRequests(t, c, "thirty flushes in three seconds", copier.Requests{Put: 30 + 8 + 2, Get: 2}, func() {
			for range 30 {
				d.commit(d.rand.IntN(20)) // and nobody else looks
				flush(t, c, d)
				time.Sleep(99 * time.Millisecond)
			}
		})
		wantRequests(t, c, "the second after", copier.Requests{Put: 1}, func() { time.Sleep(time.Second) })
		isNewest("after flushes", n+93)
		wantRequests(t, c, "an idle hour", copier.Requests{}, func() { time.Sleep(time.Hour) })
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		d.same(b)
	})
}

// TestLatestAfterCompaction: an entry that a compaction has made has a copy of its header at once, too.
func TestLatestAfterCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", logTarget, 20)
		c := newCopier(t, &copier.Options{Open: opens(b)})
		c.Add(root, d.key)
		commits, before := uint64(0), uint64(0)
		for compacted := 0; compacted < 2; {
			if commits++; commits > 1000 {
				t.Fatal("nothing is compacted")
			}
			d.commit(d.rand.IntN(20))
			c.Notify(d.key)
			synctest.Wait()
			entry, copied := b.newest(t, d.name)
			if copied != entry {
				t.Fatalf("the newest entry is %d, its copy of %d", entry, copied)
			}
			if entry > before+1 {
				compacted++
			}
			before = entry
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if entry, _ := b.newest(t, d.name); entry > before {
				t.Fatalf("entry %d, it was %d", entry, before)
			}
		}
		d.same(b)
	})
}

// TestSpacingOfManyOpens: a program that opens its database for each commit pays no more than one that keeps it open.
func TestSpacingOfManyOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", logTarget, 20)
		c := newCopier(t, &copier.Options{Open: opens(b)})
		commit := func() {
			c.Add(root, d.key)
			d.commit(d.rand.IntN(20))
			c.Notify(d.key)
			c.Remove(d.key)
		}
		for range 3 {
			commit()
			time.Sleep(10 * time.Second)
		}
		before := c.Metrics().Requests
		for range 46 {
			commit()
			time.Sleep(1301 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		got := c.Metrics().Requests
		if n := got.Put - before.Put; n > 57 { // with one by which a writer finds out what the store can do
			t.Errorf("%d puts in a minute", n)
		}
		if n := got.Get + got.Head + got.List - before.Get - before.Head - before.List; n > 8 { // that it was dropped is seen once
			t.Errorf("%d other requests in a minute", n)
		}
		d.same(b)
	})
}

// copies are the puts of the copy of the newest header: how many there were, and whether they fail.
type copies struct {
	tries atomic.Int64
	fail  atomic.Bool
}

// store returns the store of a bucket that heeds them.
func (c *copies) store(b *bucket, name string) store.Store {
	return storefault.New(b, func(call storefault.Call) storefault.Fault {
		if call.Verb != store.VerbPut || call.Key != "m/"+remotelog.LatestKey(name) {
			return storefault.Fault{}
		}
		c.tries.Add(1)
		return storefault.Fault{Fail: c.fail.Load()}
	})
}

// TestLatestFails: nobody is told when the copy can't be refreshed, since nothing is lost by it, and it is tried again less and less often.
func TestLatestFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", logTarget, 20)
		var puts copies
		puts.fail.Store(true)
		c := newCopier(t, &copier.Options{Open: opens(puts.store(b, d.name))})
		c.Add(root, d.key)
		d.commit(1)
		flush(t, c, d)
		time.Sleep(24 * time.Hour)
		if n := puts.tries.Load(); n < 10 || n > 40 {
			t.Errorf("tried %d times in a day", n)
		}
		if st := c.Status(d.key); st.LastError != nil {
			t.Errorf("status: %v", st.LastError)
		}
		puts.fail.Store(false)
		time.Sleep(2 * time.Hour)
		if entry, copied := b.newest(t, d.name); entry != 1 || copied != 1 {
			t.Errorf("the newest entry is %d, its copy of %d", entry, copied)
		}
		before := puts.tries.Load()
		time.Sleep(24 * time.Hour)
		if n := puts.tries.Load() - before; n > 0 {
			t.Errorf("refreshed %d times more", n)
		}
	})
}

// TestLostEntries: who flushes, or commits after a pause, makes the replica whole again when the newest entries, or all, are lost.
func TestLostEntries(t *testing.T) {
	for _, how := range []string{"flush", "commit", "another process"} {
		for _, lose := range []string{"newest", "some of the newest", "all", "all but the copy"} {
			if how == "commit" && lose != "all" {
				continue // only the copy tells, as long as nobody asks for more
			}
			t.Run(how+", "+lose, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					root := newRoot(t, nil)
					b := newBucket()
					d := newDatabase(t, root, "/data/a.db", logTarget, 20)
					demands := 0
					var puts copies
					opts := &copier.Options{Open: opens(puts.store(b, d.name)), Desync: func(spool.Key, error) {
						demands++
						d.desync()
					}}
					c := newCopier(t, opts)
					c.Add(root, d.key)
					for range 12 {
						d.commit(d.rand.IntN(20))
						flush(t, c, d)
					}
					time.Sleep(10 * time.Minute)
					d.same(b)
					newest, _ := b.newest(t, d.name)
					if lose == "some of the newest" { // that nothing tells of but the spool
						before := newest
						puts.fail.Store(true)
						for range 5 {
							d.commit(d.rand.IntN(20))
							c.Notify(d.key)
							time.Sleep(2300 * time.Millisecond)
						}
						puts.fail.Store(false)
						var copied uint64
						if newest, copied = b.newest(t, d.name); newest != before+5 || copied != before {
							t.Fatalf("the newest entry is %d, its copy of %d", newest, copied)
						}
					}
					lost := b.lose(t, d.name, lose, newest)
					switch how {
					case "flush":
						if err := c.Flush(t.Context(), root, d.key); !errors.Is(err, copier.ErrDesync) {
							t.Errorf("flush: %v", err)
						}
						flush(t, c, d)
					case "commit":
						time.Sleep(2 * time.Minute)
						d.commit(3)
						c.Notify(d.key)
						time.Sleep(time.Minute)
					case "another process":
						if err := c.Close(t.Context()); err != nil {
							t.Fatal(err)
						}
						c = newCopier(t, opts)
						c.Add(root, d.key)
						d.commit(3)
						c.Notify(d.key)
						time.Sleep(time.Minute)
					}
					d.restores(b, lost)
					if demands == 0 || demands > 2 {
						t.Errorf("%d demands", demands)
					}
					d.commit(4)
					flush(t, c, d)
					d.restores(b, lost)
				})
			})
		}
	}
}

// TestRepairBesideAnother: another process, which knows nothing of the damage, is the first to append the full snapshot that is to repair it.
func TestRepairBesideAnother(t *testing.T) {
	for how, what := range map[string]string{"flush": "newest", "repair": "first"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := newRoot(t, nil)
				b := newBucket()
				d := newDatabase(t, root, "/data/a.db", logTarget, 20)
				app := newCopier(t, &copier.Options{Open: opens(b)})
				for range 3 {
					d.commit(d.rand.IntN(20))
					flush(t, app, d)
				}
				time.Sleep(time.Second) // a minute later it would look by itself
				newest, _ := b.newest(t, d.name)
				b.lose(t, d.name, what, newest)
				demands := 0
				c := newCopier(t, &copier.Options{Open: opens(b), Desync: func(spool.Key, error) {
					demands++
					d.desync()
					if demands == 1 {
						go func() {
							if err := app.Flush(t.Context(), root, d.key); err != nil {
								t.Error(err)
							}
						}()
					}
				}})
				c.Add(root, d.key)
				var err error
				for try := range 4 {
					if how == "repair" && try == 0 {
						err = c.Repair(t.Context(), root, d.key, func(error) {})
					} else {
						err = c.Flush(t.Context(), root, d.key)
					}
					synctest.Wait()
					if err == nil {
						break
					}
					if !errors.Is(err, copier.ErrDesync) {
						t.Fatal(err)
					}
				}
				if err != nil || demands == 0 {
					t.Errorf("%d demands, and in the end: %v", demands, err)
				}
				newest, _ = b.newest(t, d.name)
				lost := []string{remotelog.EntryKey(d.name, newest-1)} // what was before may be damaged
				d.restores(b, lost)
				d.commit(2)
				flush(t, app, d)
				flush(t, c, d)
				d.restores(b, lost)
			})
		})
	}
}

// TestWipedUnderWriter empties the bucket under a program that commits all the time, or now and then, while another process uploads all again or not: soon the replica is
// whole again, whichever numbers its entries have then.
func TestWipedUnderWriter(t *testing.T) {
	for _, pause := range []time.Duration{time.Second, 10 * time.Second, 3 * time.Minute} {
		if testing.Short() && pause != 10*time.Second {
			continue // the race detector makes minutes of it
		}
		for _, entries := range []int{1, 2, 12} {
			for _, other := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, %d entries, another %v", pause, entries, other), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						root := newRoot(t, nil)
						b := newBucket()
						d := newDatabase(t, root, "/data/a.db", logTarget, 100)
						opts := &copier.Options{Open: opens(b), Desync: func(spool.Key, error) { d.desync() }}
						app := newCopier(t, opts)
						app.Add(root, d.key)
						commit := func() {
							d.commit(d.rand.IntN(100))
							app.Notify(d.key)
							time.Sleep(pause)
						}
						for range entries {
							commit()
						}
						time.Sleep(3 * time.Second)
						d.same(b)
						b.wipe(t)
						if other {
							c := newCopier(t, opts)
							for range 3 { // until it has a full snapshot
								if c.Flush(t.Context(), root, d.key) == nil {
									break
								}
							}
							if err := c.Close(t.Context()); err != nil {
								t.Fatal(err)
							}
							d.restores(b, nil)
						}
						for range 30 {
							commit()
						}
						time.Sleep(time.Minute)
						newest, copied := b.newest(t, d.name)
						if newest != copied {
							t.Errorf("the newest entry is %d, its copy of %d", newest, copied)
						}
						d.restores(b, []string{remotelog.EntryKey(d.name, newest-1)})
						if st := app.Status(d.key); st.LastError != nil {
							t.Errorf("status: %v", st.LastError)
						}
					})
				})
			}
		}
	}
}

// TestGapAfterKill: a run of commits whose copies of headers could not be put was cut short, and some of its entries are lost: who goes on, and knows what was uploaded last, puts the next one where readers look.
func TestGapAfterKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", logTarget, 20)
		var puts copies
		opts := &copier.Options{Open: opens(puts.store(b, d.name)), Desync: func(spool.Key, error) { d.desync() }}
		c := newCopier(t, opts)
		c.Add(root, d.key)
		for i := range 12 {
			puts.fail.Store(i >= 2) // the second has to find out what the store can do
			d.commit(d.rand.IntN(20))
			c.Notify(d.key)
			time.Sleep(2300 * time.Millisecond)
		}
		killed, cancel := context.WithCancel(t.Context())
		cancel()
		_ = c.Close(killed)
		if newest, copied := b.newest(t, d.name); newest != 12 || copied != 2 {
			t.Fatalf("the newest entry is %d, its copy of %d", newest, copied)
		}
		for _, n := range []uint64{4, 5} {
			if err := b.Delete(t.Context(), "m/"+remotelog.EntryKey(d.name, n)); err != nil {
				t.Fatal(err)
			}
		}
		puts.fail.Store(false)
		c = newCopier(t, opts)
		c.Add(root, d.key)
		d.commit(3)
		c.Notify(d.key)
		time.Sleep(time.Minute)
		newest, copied := b.newest(t, d.name)
		if newest < 13 || copied != newest {
			t.Errorf("the newest entry is %d, its copy of %d", newest, copied)
		}
		d.restores(b, []string{remotelog.EntryKey(d.name, newest-1)})
	})
}

// restores fails the test unless the bucket holds the database as it is, and nothing else is wrong than that these objects are lost, as part of runs.
func (d *database) restores(b *bucket, lost []string) {
	d.t.Helper()
	log := logrep.New(store.WithPrefix(b, "c/"), store.WithPrefix(b, "m/"), d.name)
	head, err := log.Head(d.t.Context(), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	data := make([]byte, head.Entry.Size)
	if n, err := log.Open(head.Entry, nil).ReadAt(d.t.Context(), data, 0); n != len(data) || !bytes.Equal(data, d.bytes()) {
		d.t.Errorf("the newest entry has %d bytes, or other ones: %v", n, err)
	}
	after := uint64(0)
	for _, key := range lost {
		if n, ok := remotelog.ParseEntryKey(d.name, key); ok {
			after = max(after, n)
		}
	}
	_, err = log.Check(d.t.Context(), &logrep.CheckOptions{Percent: 100, After: min(after, head.Entry.Number-1)}, func(f *logrep.Fault) { d.t.Error(f) })
	if err != nil {
		d.t.Fatal(err)
	}
}

// lose removes entries of a log.
func (b *bucket) lose(t *testing.T, name, what string, newest uint64) (keys []string) {
	t.Helper()
	switch what {
	case "first":
		keys = []string{remotelog.EntryKey(name, 1)}
	case "newest":
		keys = []string{remotelog.EntryKey(name, newest)}
	case "some of the newest":
		for n := newest - 3; n <= newest; n++ {
			keys = append(keys, remotelog.EntryKey(name, n))
		}
	default:
		for info, err := range b.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if key := strings.TrimPrefix(info.Key, "m/"); what == "all" || key != remotelog.LatestKey(name) {
				keys = append(keys, key)
			}
		}
	}
	for _, key := range keys {
		if err := b.Delete(t.Context(), "m/"+key); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}
