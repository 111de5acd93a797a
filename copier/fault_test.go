package copier_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

// scenario makes commits with the copier at work between them: chunks pass through ready, and
// through staging, and a snapshot overtakes another.
func scenario(d *database, c *copier.Copier) {
	commit := func(chunks ...int) {
		d.commit(chunks...)
		c.Notify(d.key)
	}
	commit(1, 2)
	time.Sleep(300 * time.Millisecond) // fake time
	commit(2)
	commit(3)
	time.Sleep(2 * time.Second)
	commit(1)
	commit(1, 3)
	time.Sleep(5 * time.Second)
}

var faultKinds = []struct {
	name  string
	fault storefault.Fault
}{
	{"fails", storefault.Fault{Fail: true}},
	{"reply is lost", storefault.Fault{Lost: true}},
	{"is refused", storefault.Fault{Fail: true, Err: store.ErrBadKey}},
	{"is denied", storefault.Fault{Fail: true, Err: store.ErrAccess}},
	{"hangs", storefault.Fault{Until: make(chan struct{})}},
}

// Whatever request fails, in whatever way: the copier goes on by itself to a true replica.
func TestEachRequestFails(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) { testEachRequestFails(t, layout.target) })
	}
}

func testEachRequestFails(t *testing.T, target string) {
	for _, kind := range faultKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			i := 0
			for hit := true; hit; i++ {
				synctest.Test(t, func(t *testing.T) {
					root := newRoot(t, nil)
					b := newBucket()
					fault := kind.fault
					if fault.Until != nil {
						fault.Until = make(chan struct{}) // of this bubble
					}
					st := storefault.New(b, storefault.Nth(i, fault))
					d := newDatabase(t, root, "/data/a.db", target, 4)
					b.history = d.history
					c := newCopier(t, &copier.Options{Open: opens(st), Desync: func(key spool.Key, err error) {
						t.Errorf("request %d: demand of a snapshot: %v", i, err)
					}})
					c.Add(root, d.key)
					scenario(d, c)
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					hit = len(st.Calls()) > i
					if t.Failed() {
						t.Fatalf("with request %d of %v", i, st.Calls())
					}
					d.same(b)
					d.empty()
					if err := c.Close(t.Context()); err != nil {
						t.Errorf("close: %v", err)
					}
					if i > 200 {
						t.Fatal("endless")
					}
				})
				if t.Failed() {
					t.Fatalf("when request %d %s", i, kind.name)
				}
			}
			if i < 8 {
				t.Errorf("the scenario makes only %d requests", i)
			}
		})
	}
}

// A copier ends at whatever request, done or not; another one goes on where it was.
func TestCrashAtEachRequest(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) { testCrashAtEachRequest(t, layout.target) })
	}
}

func testCrashAtEachRequest(t *testing.T, target string) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("done %v", lost), func(t *testing.T) {
			t.Parallel()
			i := 0
			for hit := true; hit; i++ {
				synctest.Test(t, func(t *testing.T) {
					root := newRoot(t, nil)
					b := newBucket()
					st := storefault.New(b, func(call storefault.Call) storefault.Fault {
						return storefault.Fault{Fail: call.N > i || call.N == i && !lost, Lost: call.N == i && lost}
					})
					d := newDatabase(t, root, "/data/a.db", target, 4)
					b.history = d.history
					opts := copier.Options{Open: opens(st), MinBackoff: 1000 * time.Hour, MaxBackoff: 1000 * time.Hour}
					c := newCopier(t, &opts)
					c.Add(root, d.key)
					scenario(d, c)
					synctest.Wait()
					hit = len(st.Calls()) > i
					b.verify(t)
					gone, cancel := context.WithCancel(t.Context())
					cancel()
					c.Close(gone)

					c = newCopier(t, &copier.Options{Open: opens(b)})
					c.Add(root, d.key)
					d.commit(2)
					c.Notify(d.key)
					time.Sleep(10 * time.Second)
					synctest.Wait()
					d.same(b)
					d.empty()
				})
				if t.Failed() {
					t.Fatalf("crash at request %d", i)
				}
			}
			if i < 8 {
				t.Errorf("the scenario makes only %d requests", i)
			}
		})
	}
}

// The copier crashes before whatever operation on the spool; another one goes on.
func TestCrashAtEachFileOperation(t *testing.T) {
	for _, layout := range layouts {
		t.Run(layout.name, func(t *testing.T) { testCrashAtEachFileOperation(t, layout.target) })
	}
}

func testCrashAtEachFileOperation(t *testing.T, target string) {
	for _, once := range []bool{false, true} {
		name := "crash"
		if once {
			name = "failure" // of one operation, and the same copier goes on
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i, stride := int64(0), int64(1)
			if testing.Short() {
				stride = 5
			}
			for hit := true; hit; i += stride {
				synctest.Test(t, func(t *testing.T) {
					dir := t.TempDir()
					root := openRoot(t, dir, nil)
					var n atomic.Int64
					n.Store(-1 << 40)
					faulty := openRoot(t, dir, &spool.Options{WrapFS: func(f fsx.FS) fsx.FS {
						return fsx.Faulty(f, func(op fsx.Op, name string) error {
							if at := n.Add(1) - 1; at == i || at > i && !once {
								return fmt.Errorf("%s %s: %w", op, name, errFault)
							}
							return nil
						})
					}})
					b := newBucket()
					d := newDatabase(t, root, "/data/a.db", target, 4)
					b.history = d.history
					opts := &copier.Options{Open: opens(b), Desync: func(_ spool.Key, err error) {
						t.Errorf("demand of a snapshot: %v", err)
					}}
					if !once {
						opts.MinBackoff, opts.MaxBackoff = 1000*time.Hour, 1000*time.Hour
					}
					c := newCopier(t, opts)
					n.Store(0)
					c.Add(faulty, d.key)
					scenario(d, c)
					synctest.Wait()
					hit = n.Load() > i
					if !once {
						gone, cancel := context.WithCancel(t.Context())
						cancel()
						c.Close(gone)
						b.verify(t)
						c = newCopier(t, &copier.Options{Open: opens(b)})
						c.Add(root, d.key)
					}
					d.commit(2)
					c.Notify(d.key)
					time.Sleep(time.Minute)
					synctest.Wait()
					d.same(b)
					d.empty()
				})
				if t.Failed() {
					t.Fatalf("at operation %d", i)
				}
			}
			t.Logf("%d operations", i)
			if i < 100 {
				t.Errorf("the scenario makes only %d operations", i)
			}
		})
	}
}

// A target that hangs, and one that refuses, delay no other.
func TestDeadTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		never := make(chan struct{})
		hangs := storefault.New(newBucket(), storefault.Always(storefault.Fault{Until: never}))
		fails := storefault.New(newBucket(), storefault.Always(storefault.Fault{Fail: true}))
		slow := newBucket()
		b := newBucket()
		remotes := map[string]store.Store{
			string(spec("hangs")): hangs, string(spec("fails")): fails, string(spec("well")): b,
			string(spec("slow")): storefault.New(slow, storefault.Always(storefault.Fault{Delay: 30 * time.Second})),
		}
		c := newCopier(t, &copier.Options{Open: func(ctx context.Context, spec json.RawMessage) (*copier.Stores, error) {
			return opens(remotes[string(spec)])(ctx, spec)
		}})
		dbs := make(map[string][]*database)
		for i := range 30 {
			for _, target := range []string{"hangs", "fails", "slow", "well"} {
				d := newDatabase(t, root, fmt.Sprintf("/data/%s%d", target, i), target, 2)
				dbs[target] = append(dbs[target], d)
				d.snapshot()
				c.Add(root, d.key)
			}
		}
		synctest.Wait() // no time passes at all
		for _, d := range dbs["well"] {
			d.same(b)
		}
		for range 20 {
			time.Sleep(2 * time.Second)
			for _, d := range dbs["well"] {
				d.commit(1)
				c.Notify(d.key)
			}
			for _, d := range dbs["hangs"] {
				c.Notify(d.key)
			}
			synctest.Wait()
			for _, d := range dbs["well"] {
				d.same(b)
			}
		}
		time.Sleep(time.Hour)
		for _, d := range dbs["slow"] {
			d.same(slow)
		}
		if n := len(hangs.Calls()); n > 200 {
			t.Errorf("%d requests at the dead target", n)
		}

		// It comes back: its databases do not wait for the ends of their pauses.
		hangs.SetPlan(nil)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		for _, d := range dbs["hangs"] {
			if c.Status(d.key).LastError != nil {
				t.Errorf("%v: %v", d.key, c.Status(d.key).LastError)
			}
		}

		// Closing does not hang, and says who is behind.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		err := c.Close(ctx)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("close took %v", took)
		}
		if n := strings.Count(fmt.Sprint(err), "target is behind"); n != 30 {
			t.Errorf("close names %d databases: %v", n, err)
		}
	})
}
