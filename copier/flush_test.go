package copier_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

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
	if !errors.As(err, &ce) || ce.Path != "/data/a.db" || ce.Target != "file:///t1?layout=chunks" || ce.Op != "flush" {
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

	// Nothing changed: the store is asked, once, and only for the manifest.
	fault.SetPlan(nil)
	flush(t, c, d)
	if got := fault.Calls(); len(got) != 1 || got[0].Verb != store.VerbGet || got[0].Key != "m/"+d.name {
		t.Errorf("a flush of nothing new called %v", got)
	}

	// A request of a copier that was killed is carried out late, and puts an older manifest over the newest.
	old, _, err := store.ReadAll(t.Context(), b, "m/"+d.name, manifest.MaxManifest)
	if err != nil {
		t.Fatal(err)
	}
	d.commit(3)
	flush(t, c, d)
	for _, body := range [][]byte{old, []byte("damaged")} {
		if _, err := b.Store.Put(t.Context(), "m/"+d.name, body, store.Condition{}); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(t.Context(), root, d.key); !errors.Is(err, copier.ErrDesync) {
			t.Errorf("flush to a store that went back: got %v", err)
		}
		d.snapshot()
		flush(t, c, d)
		d.same(b)
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

// What the store acknowledges to a pass in the background while a flush waits for it, the store is not asked again.
func TestFlushBehindPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		resume := make(chan struct{})
		slow := storefault.New(newBucket(), func(c storefault.Call) storefault.Fault {
			if strings.HasPrefix(c.Key, "m/") {
				return storefault.Fault{Until: resume}
			}
			return storefault.Fault{}
		})
		d := newDatabase(t, root, "/a", "t1", 4)
		d.snapshot()
		c := newCopier(t, &copier.Options{Open: opens(slow)})
		c.Add(root, d.key)
		synctest.Wait() // the pass waits for the store
		done := make(chan error, 1)
		go func() { done <- c.Flush(t.Context(), root, d.key) }()
		synctest.Wait() // and the flush for the pass
		before := len(slow.Calls())
		close(resume)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := slow.Calls()[before:]; len(got) > 0 {
			t.Errorf("the flush called %v", got)
		}
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
