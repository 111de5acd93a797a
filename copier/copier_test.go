package copier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
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

func TestFlush(t *testing.T) {
	root := newRoot(t, nil)
	b := newBucket()
	fault := storefault.New(b, nil)
	d := newDatabase(t, root, "/data/a.db", "t1", 4)
	c := newCopier(t, &copier.Options{Open: opens(fault)})

	err := c.Flush(t.Context(), root, d.key)
	if !errors.Is(err, copier.ErrNothingStaged) {
		t.Errorf("flush before the first snapshot: got %v", err)
	}
	var ce *copier.Error
	if !errors.As(err, &ce) || ce.Path != "/data/a.db" || ce.Target != "t1" || ce.Op != "flush" {
		t.Errorf("got error %#v", ce)
	}
	if len(fault.Calls()) > 0 {
		t.Errorf("requests for nothing: %v", fault.Calls())
	}
	if err := c.Flush(t.Context(), root, spool.Key{Mangled: "#none", Target: "t1"}); !errors.Is(err, copier.ErrNothingStaged) {
		t.Errorf("flush of no spool: got %v", err)
	}

	for i := range 6 { // at once, whatever the spacing: ready, staging, and both
		d.commit(1)
		if i%2 == 1 {
			d.commit(2)
		}
		flush(t, c, d)
		d.same(b)
		d.empty()
	}

	// Nothing changed: the store is asked, once, and only whether the manifest is there.
	fault.SetPlan(nil)
	flush(t, c, d)
	if got := fault.Calls(); len(got) != 1 || got[0].Verb != store.VerbHead || got[0].Key != "m/"+d.name {
		t.Errorf("a flush of nothing new called %v", got)
	}

	// It is not: that is not success.
	b.wipe(t)
	var reason error
	c2 := newCopier(t, &copier.Options{Open: opens(fault), Desync: func(key spool.Key, err error) {
		if key != d.key {
			t.Errorf("desync of %v", key)
		}
		reason = err
		d.desync()
	}})
	if err := c2.Flush(t.Context(), root, d.key); !errors.Is(err, copier.ErrDesync) || reason == nil {
		t.Errorf("flush to an empty store: got %v, told %v", err, reason)
	}
	flush(t, c2, d)
	d.same(b)
}

func TestFlushFails(t *testing.T) {
	newCase := func(t *testing.T, plan storefault.Plan) (*copier.Copier, *database) {
		root := newRoot(t, nil)
		d := newDatabase(t, root, "/data/a.db", "t1", 4)
		d.snapshot()
		return newCopier(t, &copier.Options{Open: opens(storefault.New(newBucket(), plan))}), d
	}
	for _, tt := range []struct {
		name string
		plan storefault.Plan
		want error
	}{
		{"access", storefault.Always(storefault.Fault{Fail: true, Err: store.ErrAccess}), store.ErrAccess},
		{"bucket", storefault.Always(storefault.Fault{Fail: true, Err: store.ErrNoBucket}), store.ErrNoBucket},
		{"refused", storefault.On(store.VerbPut, storefault.Fault{Fail: true, Err: store.ErrBadKey}), store.ErrBadKey},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, d := newCase(t, tt.plan)
			err := c.Flush(t.Context(), d.root, d.key)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v", err)
			}
			if msg := err.Error(); !strings.Contains(msg, "/data/a.db") || !strings.Contains(msg, "t1") {
				t.Errorf("%q does not name database and target", msg)
			}
		})
	}
	t.Run("until ctx ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, d := newCase(t, storefault.Always(storefault.Fault{Fail: true, Err: errFault}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			err := c.Flush(ctx, d.root, d.key)
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, storefault.ErrInjected) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took != time.Minute {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("hanging", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			never := make(chan struct{})
			c, d := newCase(t, storefault.Always(storefault.Fault{Until: never}))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.Flush(ctx, d.root, d.key); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("closed", func(t *testing.T) {
		c, d := newCase(t, nil)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(t.Context(), d.root, d.key); !errors.Is(err, copier.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// A flush does not wait for a long pass in the background, nor does it run beside it.
func TestFlushDuringPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		slow := storefault.New(b, storefault.Always(storefault.Fault{Delay: time.Second}))
		d := newDatabase(t, root, "/a", "t1", 400)
		d.snapshot()
		c := newCopier(t, &copier.Options{Open: opens(slow), ChunkUploads: 2})
		c.Add(root, d.key)
		time.Sleep(1500 * time.Millisecond) // the pass is at it
		slow.SetPlan(nil)
		start := time.Now()
		flush(t, c, d)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the flush took %v", took)
		}
		d.same(b)
		time.Sleep(time.Minute)
		synctest.Wait()
		d.same(b)
		d.empty()
	})
}

// A newer snapshot under the same name, of another file: no going back, no false success.
func TestSuperseded(t *testing.T) {
	root := newRoot(t, nil)
	b := newBucket()
	d := newDatabase(t, root, "/data/a.db", "t1", 3)
	desyncs := 0
	c := newCopier(t, &copier.Options{Open: opens(b), Desync: func(spool.Key, error) { desyncs++ }})
	d.snapshot()
	flush(t, c, d)
	before := d.bytes()

	old := d.seq
	d.prod.DropStaged(d.name)
	d.seq = 0
	d.write(1)
	d.mu.Lock()
	for _, s := range d.steps() {
		if s.name == "manifest" { // as if the clock had been set back
			d.stage(old - 1)
			continue
		}
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
	}
	d.mu.Unlock()
	if err := c.Flush(t.Context(), root, d.key); !errors.Is(err, copier.ErrSuperseded) || desyncs == 0 {
		t.Errorf("flush of an older snapshot: got %v, %d demands of a new one", err, desyncs)
	}
	if got := b.restore(t, d.name); !bytes.Equal(got, before) {
		t.Error("the replica is not what it was")
	}
	b.verify(t)

	d.seq = old
	d.commit(1)
	flush(t, c, d)
	d.same(b)
}

// stage stages the manifest of the contents with a sequence of its own.
func (d *database) stage(seq uint64) {
	data, err := d.prod.Staged(d.name)
	if err == nil {
		d.t.Fatalf("unexpected staged manifest of %d bytes", len(data))
	}
	m := &manifest.Manifest{
		Header: manifest.HeaderSum(d.content), Sequence: seq, Size: int64(len(d.content)),
		SourceTime: time.Unix(0, 0).UTC(), Generator: "test", First: d.content[:cs],
	}
	for off := 0; off < len(d.content); off += cs {
		m.Chunks = append(m.Chunks, manifest.Sum(d.content[off:min(off+cs, len(d.content))]))
	}
	if data, err = manifest.Encode(m); err != nil {
		d.t.Fatal(err)
	}
	if err := d.prod.StageManifest(d.name, data); err != nil {
		d.t.Fatal(err)
	}
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
			Open: func(ctx context.Context, spec json.RawMessage) (*copier.Stores, error) {
				tries.Add(1)
				if string(spec) != `"t1"` {
					t.Errorf("got specification %s", spec)
				}
				if !fixed.Load() {
					return nil, errors.New("no credentials")
				}
				return opens(b)(ctx, spec)
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
				if strings.Contains(name, ".tap") && op == fsx.OpRename && times > 0 {
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
