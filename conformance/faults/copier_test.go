//go:build unix

package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// A desk with a copier.
type copying struct {
	*desk
	bucket *storefault.Store
	copier *copier.Copier
	cons   *spool.Root // the copier's
}

func newCopying(t *testing.T, plan *fsx.Plan) *copying {
	c := &copying{desk: newDesk(t, plan), bucket: storefault.New(mem.New(), nil)}
	c.remote = nil // what is in the bucket counts
	c.start()
	return c
}

// start begins a life.
func (c *copying) start() {
	c.Helper()
	actor := c.actor(doctor.Consumer)
	actor.Process += 2000
	c.cons = c.machine.root(actor, true)
	c.root = c.machine.root(c.actor(doctor.Producer), false)
	life := c.lives
	c.copier = copier.New(&copier.Options{
		Open: func(context.Context, json.RawMessage) (*copier.Stores, error) {
			return &copier.Stores{
				Chunks:    c.rec.Chunks(actor, target.ID, store.WithPrefix(c.bucket, "c/")),
				Manifests: c.rec.Manifests(actor, target.ID, store.WithPrefix(c.bucket, "m/")),
			}, nil
		},
		Desync: func(_ spool.Key, err error) {
			if life == c.lives {
				c.Errorf("demand of a full snapshot: %v", err)
			}
		},
	})
}

// stop ends a life without doing anything.
func (c *copying) stop() {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.copier.Close(gone)
}

func (c *copying) flush() error {
	ctx, cancel := context.WithTimeout(c.Context(), time.Hour)
	defer cancel()
	return c.copier.Flush(ctx, c.cons, key)
}

// ready makes a snapshot that is ready, with nothing staged besides.
func (c *copying) ready() {
	c.Helper()
	c.open()
	check(c, c.snapshot(content(3, 1)))
}

// behind makes a snapshot that is staged only, after another was uploaded.
func (c *copying) behind() {
	c.Helper()
	c.ready()
	check(c, c.flush())
	c.describe(content(4, 2))
	check(c, c.read())
	check(c, c.stageChunks())
	check(c, c.prod.StageManifest(name, c.enc))
}

// background has a copier notice what is there, and waits for long.
func (c *copying) background() error {
	c.copier.Add(c.cons, key)
	time.Sleep(4 * time.Second) // of the bubble
	synctest.Wait()
	return nil
}

var copierOps = []struct {
	name    string
	prepare func(c *copying)
	do      func(c *copying) error
}{
	{"pass over ready", (*copying).ready, (*copying).background},
	{"pass over staging", (*copying).behind, (*copying).background},
	{"flush", func(c *copying) { c.two() }, (*copying).flush},
	{"close", func(c *copying) { c.two() }, func(c *copying) error {
		c.copier.Add(c.cons, key)
		ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
		defer cancel()
		return c.copier.Close(ctx)
	}},
}

// run does the operation in a bubble with what fails, which hit tells, and goes on.
func runCopier(t *testing.T, plan *fsx.Plan, dies, reboots bool, prepare func(*copying), do func(*copying) error, arm func(*copying), hit func(*copying) bool) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopying(t, plan)
		prepare(c)
		c.judge("before")
		arm(c)
		err := do(c)
		c.armed = false
		failed := hit(c)
		c.bucket.SetPlan(nil)
		if err != nil && !failed {
			t.Fatalf("without a fault: %v", err)
		}
		c.judge("after the fault")
		if dies {
			c.stop()
			c.die(reboots)
			c.judge("in the next life")
			c.start()
			c.prod = nil
		} else if c.copier.Flush(t.Context(), c.cons, key) != nil {
			c.stop() // the operation was its end
			c.lives++
			c.start()
		}
		last := content(3, 9)
		if c.prod == nil {
			c.open()
		}
		check(t, c.snapshot(last))
		c.judge("after one more snapshot")
		check(t, c.flush())
		stores := c.rec.Stores()
		for _, v := range c.watch.Rest(c.state(), c.rec.Take()...) {
			t.Errorf("at rest: %v", v)
		}
		got, err := (&spooltest.Remote{Stored: stores[target.ID]}).Restore(stores[target.ID].Manifests[name])
		check(t, err)
		if !bytes.Equal(got, last) {
			t.Errorf("restored %d bytes, which are not the %d of the database", len(got), len(last))
		}
		c.stop()
	})
}

func TestCopier(t *testing.T) {
	var runs atomic.Int64
	start := time.Now()
	t.Run("each", func(t *testing.T) {
		for _, op := range copierOps {
			t.Run(op.name, func(t *testing.T) {
				runs.Add(int64(each(t, func(t *testing.T, plan *fsx.Plan, dies, reboots bool) {
					runCopier(t, plan, dies, reboots, op.prepare, op.do,
						func(c *copying) { c.armed = true }, func(c *copying) bool { return plan.Hit() != "" })
				})))
			})
		}
	})
	t.Logf("%d operations, %d points of failure of files in %v", len(copierOps), runs.Load(), time.Since(start).Round(time.Millisecond))
}

// Each request fails instead, or is carried out and its answer lost.
func TestCopierRequests(t *testing.T) {
	var runs atomic.Int64
	start := time.Now()
	t.Run("each", func(t *testing.T) {
		for _, op := range copierOps {
			for what, fault := range map[string]storefault.Fault{
				"fails": {Fail: true}, "answer is lost": {Lost: true}, "denied": {Fail: true, Err: store.ErrAccess},
			} {
				t.Run(op.name+"/"+what, func(t *testing.T) {
					for i, more := 0, true; more && !t.Failed(); i++ {
						for _, dies := range []bool{false, true} {
							runs.Add(1)
							// No file operation fails.
							runCopier(t, fsx.FailAt(-1, nil), dies, false, op.prepare, op.do,
								func(c *copying) { c.bucket.SetPlan(storefault.Nth(i, fault)) },
								func(c *copying) bool { more = len(c.bucket.Calls()) > i; return more })
						}
					}
				})
			}
		}
	})
	t.Logf("%d operations, %d points of failure of requests in %v", len(copierOps), runs.Load(), time.Since(start).Round(time.Millisecond))
}

// Whoever asks for it, and however slow the store is: one pass at a time.
func TestOnePassAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopying(t, fsx.FailAt(-1, nil))
		c.two()
		c.bucket.SetPlan(storefault.Always(storefault.Fault{Delay: time.Second}))
		c.copier.Add(c.cons, key)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := c.flush(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		c.judge("after three flushes")
		c.stop()
	})
}
