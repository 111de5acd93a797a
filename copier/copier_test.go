package copier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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

func TestBackgroundUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", "t1", 5)
		b.history = d.history
		c := newCopier(t, &copier.Options{Open: opens(b)})
		c.Add(root, d.key)
		for range 5 {
			d.commit(1, 3)
			c.Notify(d.key)
			time.Sleep(3 * time.Second) // fake time
			synctest.Wait()
			d.same(b)
			d.empty()
		}
		st := c.Status(d.key)
		if !st.Known || st.Path != "/data/a.db" || st.LastSequence != d.seq || st.LastSuccess.IsZero() ||
			st.LastError != nil || st.PendingChunks != 0 || st.Requests.Put == 0 || st.BytesUp == 0 {
			t.Errorf("got status %+v", st)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// What is sent when: at once after a pause, then at the spacing, and nothing when idle.
func TestSpacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", "t1", 3)
		c := newCopier(t, &copier.Options{Open: opens(b)})
		c.Add(root, d.key)
		time.Sleep(time.Hour)
		start := time.Now()
		for range 200 {
			d.commit(1)
			c.Notify(d.key)
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		d.same(b)
		if len(b.times) == 0 || b.times[0].Sub(start) > 0 {
			t.Errorf("the first upload was not at once: %v after the commit", b.times)
		}
		for i := 1; i < len(b.times); i++ {
			if gap := b.times[i].Sub(b.times[i-1]); gap < 1100*time.Millisecond {
				t.Errorf("manifests %d and %d were uploaded within %v", i-1, i, gap)
			}
		}
		// 10 s of commits, and at most two more for the last of them.
		if n := len(b.times); n < 9 || n > 12 {
			t.Errorf("got %d uploads of manifests", n)
		}
		n := c.Metrics().Requests
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := c.Metrics().Requests; got != n {
			t.Errorf("requests of an idle hour: %+v, were %+v before", got, n)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		if got := c.Metrics().Requests; got != n {
			t.Errorf("requests after closing: %+v, were %+v before", got, n)
		}
	})
}

// Whoever stages something can ask when it will be taken.
func TestNextUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		resume := make(chan struct{})
		fault := storefault.New(newBucket(), storefault.Always(storefault.Fault{Until: resume}))
		d := newDatabase(t, root, "/data/a.db", "t1", 3)
		c := newCopier(t, &copier.Options{Open: opens(fault)})
		want := func(what string, in time.Duration) {
			t.Helper()
			at := c.NextUpload(d.key)
			if in == 0 != at.IsZero() || in != 0 && time.Until(at) != in {
				t.Errorf("%s: in %v, want %v", what, time.Until(at), in)
			}
		}
		want("unknown", 0)
		c.Add(root, d.key)
		synctest.Wait()
		want("nothing was staged", 0)
		d.commit(1)
		c.Notify(d.key)
		synctest.Wait()
		want("an upload is under way", 0)
		close(resume)
		synctest.Wait()
		want("just uploaded", 1100*time.Millisecond)
		fault.SetPlan(storefault.Always(storefault.Fault{Fail: true}))
		d.commit(1)
		c.Notify(d.key)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if at := c.NextUpload(d.key); !at.After(time.Now()) {
			t.Errorf("the store fails: %v", at)
		}
	})
}

// A spool that another process filled is found by looking.
func TestRescan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		c := newCopier(t, &copier.Options{Open: opens(b)})
		var dbs []*database
		for _, name := range []string{"/a", "/b", "/c"} {
			d := newDatabase(t, root, name, "t1", 2)
			c.Add(root, d.key)
			dbs = append(dbs, d)
		}
		time.Sleep(time.Minute)
		for _, d := range dbs {
			d.snapshot()
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		for _, d := range dbs {
			d.same(b)
		}
	})
}

// A connection that commits and goes leaves nothing behind.
func TestRemoveStillUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		fault := storefault.New(b, storefault.First(3, storefault.Fault{Fail: true}))
		d := newDatabase(t, root, "/a", "t1", 2)
		c := newCopier(t, &copier.Options{Open: opens(fault)})
		c.Add(root, d.key)
		d.snapshot()
		c.Notify(d.key)
		c.Remove(d.key)
		time.Sleep(time.Minute)
		synctest.Wait()
		d.same(b)
		if c.Status(d.key).Known || c.Metrics().Spools != 0 {
			t.Error("the spool is still in the copier's care")
		}
		c.Notify(d.key) // does nothing
		c.Add(root, d.key)
		d.commit(1)
		c.Notify(d.key)
		time.Sleep(time.Minute)
		synctest.Wait()
		d.same(b)
	})
}

// Credentials may appear later; failures are logged once and end with a word.
func TestRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		var fixed atomic.Bool
		var tries atomic.Int64
		var log bytes.Buffer
		d := newDatabase(t, root, "/data/a.db", "t1", 3)
		c := newCopier(t, &copier.Options{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Open: func(ctx context.Context, got json.RawMessage) (*copier.Stores, error) {
				tries.Add(1)
				if string(got) != string(spec("t1")) {
					t.Errorf("got specification %s", got)
				}
				if !fixed.Load() {
					return nil, errors.New("no credentials")
				}
				return opens(b)(ctx, got)
			},
		})
		c.Add(root, d.key)
		d.snapshot()
		c.Notify(d.key)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		opened := int(tries.Load())
		if opened < 10 || opened > 25 { // 1, 2, 4 ... 60 s, then every 60
			t.Errorf("tried %d times in 10 minutes", opened)
		}
		st := c.Status(d.key)
		if st.LastError == nil || st.Failures != opened || time.Since(st.ErrorSince) != 10*time.Minute {
			t.Errorf("got status %+v after %d tries", st, opened)
		}
		if n := strings.Count(log.String(), "replication fails"); n != 1 {
			t.Errorf("logged %d times: %s", n, &log)
		}
		fixed.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		d.same(b)
		if n := strings.Count(log.String(), "replication works again"); n != 1 {
			t.Errorf("logged %d recoveries: %s", n, &log)
		}
		if st := c.Status(d.key); st.LastError != nil || st.Failures != 0 {
			t.Errorf("got status %+v", st)
		}
		if m := c.Metrics(); m.Failing != 0 || m.Spools != 1 || m.Manifests != 1 || m.Failures == 0 {
			t.Errorf("got metrics %+v", m)
		}
	})
}

// panicky is a store with a bug.
type panicky struct {
	store.Store
	times int
}

func (p *panicky) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if p.times > 0 {
		p.times--
		panic("bug in " + key)
	}
	return p.Store.Put(ctx, key, body, cond)
}

func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", "t1", 2)
		c := newCopier(t, &copier.Options{Open: opens(&panicky{b, 3})})
		c.Add(root, d.key)
		d.snapshot()
		c.Notify(d.key)
		synctest.Wait()
		if st := c.Status(d.key); !errors.Is(st.LastError, copier.ErrPanic) {
			t.Errorf("got %v", st.LastError)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		d.same(b)
		if m := c.Metrics(); m.Panics != 3 {
			t.Errorf("counted %d panics", m.Panics)
		}
	})
}

// The tap is part of a copy: without it there is no success.
func TestTapFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := 2
		root := newRoot(t, &spool.Options{WrapFS: func(f fsx.FS) fsx.FS {
			return fsx.Faulty(f, func(op fsx.Op, name string) error {
				if strings.Contains(name, ".tap") && !strings.HasSuffix(name, ".report") && op == fsx.OpRename && times > 0 {
					times--
					return errFault
				}
				return nil
			})
		}})
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", "t1", 2)
		c := newCopier(t, &copier.Options{Open: opens(b)})
		c.Add(root, d.key)
		d.snapshot()
		c.Notify(d.key)
		synctest.Wait()
		if st := c.Status(d.key); st.LastError == nil || !st.LastSuccess.IsZero() {
			t.Errorf("got status %+v", st)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		d.same(b)
		if st := c.Status(d.key); st.LastError != nil || st.LastSequence != d.seq || len(b.times) != 3 {
			t.Errorf("got status %+v after %d uploads", st, len(b.times))
		}
	})
}

// Who does not write asks nothing of the store, however many databases are open.
func TestIdle(t *testing.T) {
	for _, layout := range layouts {
		for _, n := range []int{1, 500} {
			if testing.Short() {
				n = min(n, 50)
			}
			t.Run(fmt.Sprintf("%s/%d", layout.name, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					root := newRoot(t, nil)
					c := newCopier(t, &copier.Options{Open: opens(newBucket())})
					for i := range n {
						d := newDatabase(t, root, fmt.Sprintf("/data/%d.db", i), layout.target, 2)
						c.Add(root, d.key)
						d.snapshot()
						c.Notify(d.key)
					}
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					before := c.Metrics()
					if before.Manifests != int64(n) {
						t.Fatalf("%d of %d databases were uploaded", before.Manifests, n)
					}
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					if after := c.Metrics(); after.Requests != before.Requests || after.Passes == before.Passes {
						t.Errorf("in ten minutes: got %+v after %+v; want passes and no requests", after, before)
					}
				})
			})
		}
	}
}

// Programs in one process may keep their spools in different directories.
func TestTwoRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		var dbs []*database
		c := newCopier(t, &copier.Options{Rescan: -1, Open: opens(b)})
		for range 2 {
			dbs = append(dbs, newDatabase(t, newRoot(t, nil), "/data/a.db", "t1", 3))
		}
		b.mayGoBack = true // they have nothing but the name of the manifest in common
		c.Add(dbs[0].root, dbs[0].key)
		c.Add(dbs[1].root, dbs[1].key)
		for _, d := range dbs {
			time.Sleep(time.Minute)
			d.commit(1)
			c.Notify(d.key)
			time.Sleep(time.Minute)
			synctest.Wait()
			d.same(b)
		}
		if err := c.Flush(t.Context(), dbs[0].root, dbs[0].key); err != nil {
			t.Error(err)
		}
		c.Remove(dbs[0].key)
		c.Remove(dbs[0].key)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := c.Metrics().Spools; n != 0 {
			t.Errorf("%d spools are left", n)
		}
	})
}
