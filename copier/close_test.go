package copier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
)

// Close uploads what is pending, at once and on the flush budget.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		var flushed atomic.Int64
		c := newCopier(t, &copier.Options{Open: opens(onPut{b, func(ctx context.Context, _ string) {
			if budget.IsFlush(ctx) {
				flushed.Add(1)
			}
		}})})
		var dbs []*database
		for i := range 20 {
			d := newDatabase(t, root, fmt.Sprintf("/data/%d.db", i), "t1", 3)
			d.snapshot()
			c.Add(root, d.key)
			dbs = append(dbs, d)
		}
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if flushed.Load() > 0 {
			t.Errorf("%d requests of the background were on the flush budget", flushed.Load())
		}
		for _, d := range dbs {
			d.commit(1)
			d.commit(2)
			c.Notify(d.key)
		}
		start := time.Now()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("took %v", took)
		}
		if flushed.Load() == 0 {
			t.Error("no request was on the flush budget")
		}
		for _, d := range dbs {
			d.same(b)
			d.empty()
		}
		n := c.Metrics().Requests
		dbs[0].commit(1)
		c.Notify(dbs[0].key)
		c.Add(root, dbs[0].key)
		c.Remove(dbs[0].key)
		time.Sleep(time.Minute)
		if got := c.Metrics().Requests; got != n {
			t.Error("a closed copier goes on")
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}

// onPut calls before ahead of each put.
type onPut struct {
	store.Store
	before func(ctx context.Context, key string)
}

func (s onPut) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	s.before(ctx, key)
	return s.Store.Put(ctx, key, body, cond)
}

// Close ends with ctx, whatever the stores do, and names those left behind.
func TestCloseBehind(t *testing.T) {
	for _, tt := range []struct {
		name string
		plan func() storefault.Plan
	}{
		{"hangs", func() storefault.Plan {
			return storefault.Always(storefault.Fault{Until: make(chan struct{})})
		}},
		{"fails", func() storefault.Plan { return storefault.Always(storefault.Fault{Fail: true}) }},
	} {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, running %v", tt.name, running), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					root := newRoot(t, nil)
					b := newBucket()
					stores := map[string]store.Store{string(spec("well")): b, string(spec("dead")): storefault.New(newBucket(), tt.plan())}
					c := copier.New(&copier.Options{Open: func(ctx context.Context, spec json.RawMessage) (*copier.Stores, error) {
						return opens(stores[string(spec)])(ctx, spec)
					}})
					var dbs []*database
					for i := range 20 {
						target := []string{"well", "dead"}[i%2]
						d := newDatabase(t, root, fmt.Sprintf("/data/%s-%d.db", target, i), target, 3)
						dbs = append(dbs, d)
						c.Add(root, d.key)
					}
					synctest.Wait()
					flushing := make(chan error, 1)
					for _, d := range dbs {
						d.snapshot()
						if running {
							c.Notify(d.key)
						}
					}
					if running {
						go func() { flushing <- c.Flush(t.Context(), root, dbs[1].key) }()
						time.Sleep(time.Second)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					start := time.Now()
					err := c.Close(ctx)
					if took := time.Since(start); took > 10*time.Second {
						t.Errorf("took %v", took)
					}
					for _, d := range dbs {
						dead := d.key.Target == "dead"
						if named := strings.Contains(fmt.Sprint(err), d.bytesPath()); named != dead {
							t.Errorf("%v: named as behind %v in %v", d.key, named, err)
						}
						if !dead {
							d.same(b)
						}
					}
					var ce *copier.Error
					if !errors.Is(err, copier.ErrBehind) || !errors.As(err, &ce) || ce.Target != "file:///dead?layout=chunks" {
						t.Errorf("got %v", err)
					}
					if running {
						if err := <-flushing; err == nil {
							t.Error("the flush succeeded")
						}
					}
				}) // which fails if a goroutine is left
			})
		}
	}
}

func (d *database) bytesPath() string { return strings.ReplaceAll(d.key.Mangled, "#", "/") }

// A request that does not heed its context does not hold up Close for long.
func TestCloseStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		stuck := make(chan struct{})
		c := copier.New(&copier.Options{Open: opens(onPut{newBucket(), func(context.Context, string) { <-stuck }})})
		d := newDatabase(t, root, "/data/a.db", "t1", 3)
		d.snapshot()
		c.Add(root, d.key)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		close(stuck)
		synctest.Wait() // what comes loose still writes into the spool, which is removed now
	})
}

// There is no goroutine while there is nothing to do.
func TestIdleHasNoGoroutines(t *testing.T) {
	root := newRoot(t, nil)
	b := newBucket()
	c := newCopier(t, &copier.Options{Open: opens(b), Rescan: -1})
	before := runtime.NumGoroutine()
	for i := range 50 {
		d := newDatabase(t, root, fmt.Sprintf("/data/%d.db", i), "t1", 3)
		d.snapshot()
		c.Add(root, d.key)
	}
	eventually(t, "all are uploaded, and no goroutine is left", func() bool {
		return c.Metrics().Manifests == 50 && runtime.NumGoroutine() <= before
	})
	b.verify(t)
}

// Requests keep to the budget, whatever is to be done.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		var times []time.Time
		counted := onPut{b, func(context.Context, string) { times = append(times, time.Now()) }}
		limiter := budget.NewLimiter(&budget.Options{Rate: 10, Burst: 5})
		c := newCopier(t, &copier.Options{Open: opens(budget.New(counted, limiter)), ChunkUploads: 1, Workers: 1})
		var dbs []*database
		for i := range 5 {
			d := newDatabase(t, root, fmt.Sprintf("/data/%d.db", i), "t1", 30)
			d.snapshot()
			c.Add(root, d.key)
			dbs = append(dbs, d)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, d := range dbs {
			d.same(b)
		}
		for i := range times {
			if j := i + 15; j < len(times) && times[j].Sub(times[i]) < time.Second {
				t.Fatalf("16 requests within %v", times[j].Sub(times[i]))
			}
		}
		if len(times) != 5*30 {
			t.Errorf("got %d requests", len(times))
		}
	})
}

// A big database shares its target with small ones.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		slow := storefault.New(b, storefault.Always(storefault.Fault{Delay: 500 * time.Millisecond}))
		c := newCopier(t, &copier.Options{Open: opens(slow), ChunkUploads: 1})
		var big, small []*database
		for i := range 8 {
			d := newDatabase(t, root, fmt.Sprintf("/data/big-%d.db", i), "t1", 150)
			d.snapshot()
			c.Add(root, d.key)
			big = append(big, d)
		}
		time.Sleep(time.Second)
		for i := range 8 {
			d := newDatabase(t, root, fmt.Sprintf("/data/small-%d.db", i), "t1", 2)
			d.snapshot()
			c.Add(root, d.key)
			small = append(small, d)
		}
		time.Sleep(50 * time.Second) // the big ones alone take over three minutes
		for _, d := range small {
			d.same(b)
		}
		for _, d := range big {
			if c.Status(d.key).LastSequence != 0 {
				t.Fatal("the test proves nothing")
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for _, d := range big {
			d.same(b)
		}
		// Giving way costs nothing.
		if n := len(slow.Calls()); n != 8*150+8*2 {
			t.Errorf("got %d requests", n)
		}
	})
}

// What was uploaded lately is not uploaded again, until a permanent error casts doubt on it.
func TestRecentUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		st := storefault.New(b, nil)
		d := newDatabase(t, root, "/data/a.db", "t1", 10)
		c := newCopier(t, &copier.Options{Open: opens(st)})
		d.snapshot()
		flush(t, c, d)
		puts := func() int {
			st.SetPlan(nil)
			d.desync() // a full snapshot
			flush(t, c, d)
			d.same(b)
			d.empty()
			return st.Count(store.VerbPut)
		}
		if n := puts(); n != 1 {
			t.Errorf("%d puts of a second snapshot", n)
		}
		time.Sleep(30 * time.Minute)
		if n := puts(); n != 1 {
			t.Errorf("%d puts of a snapshot after half an hour", n)
		}
		time.Sleep(time.Hour)
		if n := puts(); n != 10 {
			t.Errorf("%d puts of a snapshot after another hour", n)
		}
		st.SetPlan(storefault.Nth(0, storefault.Fault{Fail: true, Err: store.ErrAccess}))
		d.commit(1)
		if err := c.Flush(t.Context(), root, d.key); !errors.Is(err, store.ErrAccess) {
			t.Errorf("got %v", err)
		}
		if n := puts(); n != 10+1 { // and the manifest that failed
			t.Errorf("%d puts of a snapshot after a permanent error", n)
		}
	})
}

func BenchmarkNotify(b *testing.B) {
	root := newRoot(b, nil)
	d := newDatabase(b, root, "/data/a.db", "t1", 1)
	c := newCopier(b, &copier.Options{Open: opens(newBucket())})
	c.Add(root, d.key)
	for b.Loop() {
		c.Notify(d.key)
	}
}
