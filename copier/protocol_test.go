//go:build unix

package copier_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
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

// hookedStore calls before ahead of each put.
type hookedStore struct {
	store.Store
	before func(step string)
}

func (s hookedStore) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	s.before("put")
	return s.Store.Put(ctx, key, body, cond)
}

// A world is a database and its replica, while a copier is stopped in the middle of a pass.
type world struct {
	t     *testing.T
	mem   *fsx.Mem // the spool is in it
	d     *database
	b     *bucket
	other *copier.Copier // of another process, as it were
	rest  []step         // of a snapshot begun
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, mem: fsx.NewMem(&fsx.MemOptions{Now: fine()}), b: newBucket()}
	w.d = newDatabase(t, w.root(nil), "/data/a.db", "t1", 4)
	w.b.history = w.d.history
	w.other = newCopier(t, &copier.Options{Open: opens(w.b)})
	return w
}

// fine returns a clock that never tells the same time twice, as that of inodes does not for as
// long as two operations take on a disk.
func fine() func() time.Time {
	var ticks atomic.Int64
	return func() time.Time { return time.Now().Add(time.Duration(ticks.Add(1))) }
}

// root opens the spools as another process would.
func (w *world) root(wrap func(fsx.FS) fsx.FS) *spool.Root {
	w.t.Helper()
	return openRoot(w.t, "/spool", &spool.Options{WrapFS: wrap, FS: func(dir string) (fsx.FS, error) {
		if dir = strings.Trim(dir, "/"); dir == "" {
			dir = "."
		}
		return w.mem.Sub(dir)
	}})
}

func (w *world) commit()  { w.d.commit(1, 2) }
func (w *world) smaller() { w.d.commit(3) }

// drain lets the other copier work, for less time than it waits for the lock of the manifests.
func (w *world) drain() {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	err := w.other.Flush(ctx, w.d.root, w.d.key)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, copier.ErrNothingStaged) {
		w.t.Errorf("the other copier: %v", err)
	}
}

// die takes a snapshot, but not the step of the given name and those that follow.
func (w *world) die(last string) {
	w.d.write(1)
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	for _, s := range w.d.steps() {
		if s.name == last {
			return
		}
		if err := s.do(); err != nil {
			w.t.Errorf("%s: %v", s.name, err)
		}
	}
}

// steal lets a copier take the ready snapshot and die at its first request.
func (w *world) steal() {
	st := storefault.New(w.b, storefault.Always(storefault.Fault{Fail: true, Err: store.ErrAccess}))
	c := newCopier(w.t, &copier.Options{Open: opens(st)})
	err := c.Flush(w.t.Context(), w.d.root, w.d.key)
	if err != nil && !errors.Is(err, store.ErrAccess) && !errors.Is(err, copier.ErrNothingStaged) {
		w.t.Errorf("the copier that dies: %v", err)
	}
	gone, cancel := context.WithCancel(w.t.Context())
	cancel()
	c.Close(gone)
}

// begin takes the steps of a snapshot up to the manifest, and finish the others.
func (w *world) begin() {
	w.d.write(1)
	w.d.write(2)
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.rest = w.d.steps()
	w.take("manifest")
}

func (w *world) finish() {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.take("")
}

func (w *world) take(last string) {
	for len(w.rest) > 0 {
		s := w.rest[0]
		w.rest = w.rest[1:]
		if err := s.do(); err != nil {
			w.t.Errorf("%s: %v", s.name, err)
		}
		if s.name == last {
			return
		}
	}
}

func (w *world) drop() {
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	if err := w.d.prod.DropStaged(w.d.name); err != nil {
		w.t.Error(err)
	}
}

// Others act between any two operations of a pass: whatever they do, a manifest is never uploaded
// ahead of its chunks, nor after a newer one.
func TestInterleavings(t *testing.T) {
	type acts []func(*world)
	both := func(fs ...func(*world)) func(*world) {
		return func(w *world) {
			for _, f := range fs {
				f(w)
			}
		}
	}
	die := func(last string) func(*world) { return func(w *world) { w.die(last) } }
	commit, smaller, drain := (*world).commit, (*world).smaller, (*world).drain
	one, few, many := []int{1}, []int{3}, []int{2, 4, 5, 6}
	for _, tt := range []struct {
		name string
		acts acts
		gaps []int // operations from one act to the next
		dies bool
	}{
		{"a commit", acts{commit}, one, false},
		{"commits apart", acts{smaller, commit, smaller}, few, false},
		{"another copier", acts{drain}, one, false},
		{"a commit and another copier", acts{both(commit, drain)}, one, false},
		{"a commit, then another copier", acts{commit, drain}, few, false},
		{"commits, then another copier", acts{both(commit, smaller), drain, commit}, few, false},
		{"another copier and a commit", acts{both(drain, commit)}, one, false},
		{"a commit, then a copier that dies", acts{commit, (*world).steal}, many, false},
		{"a slow tracker", acts{(*world).begin, (*world).finish}, many, false},
		{"a tracker that dies before the manifest", acts{die("manifest")}, one, true},
		{"a tracker that dies before ready", acts{die("ready"), drain}, few, true},
		{"a tracker that dies before garbage", acts{die("garbage"), drain}, few, true},
		{"a dropped manifest", acts{both((*world).drop, commit)}, one, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			at, stride := 0, 1
			if testing.Short() {
				stride = 7 // which has no divisor in common with the gaps
			}
			for hit := true; hit; at += stride {
				for _, gap := range tt.gaps {
					var trail []string
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						w.d.snapshot()
						w.drain()
						w.commit()  // published
						w.smaller() // only staged
						var over atomic.Bool
						before := func(step string) {
							if over.Load() {
								return
							}
							i := len(trail)
							trail = append(trail, step)
							if k := (i - at) / gap; i >= at && (i-at)%gap == 0 && k < len(tt.acts) {
								tt.acts[k](w)
							}
						}
						over.Store(true)
						root := w.root(func(f fsx.FS) fsx.FS {
							return fsx.Faulty(f, func(op fsx.Op, name string) error {
								before(fmt.Sprint(op, " ", filepath.Base(name)))
								return nil
							})
						})
						over.Store(false)
						c := newCopier(t, &copier.Options{
							Open: opens(hookedStore{w.b, before}), ChunkUploads: 1,
						})
						ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
						defer cancel()
						if err := c.Flush(ctx, root, w.d.key); err != nil {
							t.Error(err)
						}
						over.Store(true)
						c.Close(ctx)
						w.finish()
						if tt.dies {
							w.d.snapshot()
						}
						flush(t, w.other, w.d)
						w.d.same(w.b)
						w.d.empty()
					})
					hit = at < len(trail)
					if t.Failed() {
						t.Fatalf("before operation %d, gap %d, of %q", at, gap, trail)
					}
				}
			}
			if at < 50 {
				t.Errorf("a flush has only %d operations", at)
			}
		})
	}
}

// A snapshot that becomes ready while staged chunks are uploaded does not wait for another pass.
func TestReadyMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.d.snapshot()
		w.drain()
		w.commit()
		w.steal()
		w.smaller()
		w.drain() // what was ready, and what is staged now
		w.die("ready")
		stop := true
		c := newCopier(t, &copier.Options{Rescan: -1, Open: opens(hookedStore{w.b, func(string) {
			if stop {
				stop = false
				w.commit()
			}
		}})})
		c.Add(w.d.root, w.d.key)
		synctest.Wait() // no time passes
		if stop {
			t.Fatal("nothing was uploaded")
		}
		w.d.same(w.b)
	})
}

// A copier that is slow with an old manifest, and another one that does not wait for it any
// longer: the old one may win, but not for good.
func TestSlowManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.b.mayGoBack = true
		w.d.snapshot()
		stop := true
		before := func(string) {
			if !stop {
				return
			}
			stop = false
			w.commit()
			flush(t, w.other, w.d) // with the patience to go on without the lock
			if w.b.last[w.d.name] != w.d.seq {
				t.Error("the other copier did not upload the newer manifest")
			}
		}
		c := newCopier(t, &copier.Options{Open: opens(onManifest{w.b, before}), Rescan: -1})
		c.Add(w.d.root, w.d.key)
		c.Notify(w.d.key)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if stop || w.b.backs != 1 {
			t.Fatalf("the manifest went back %d times", w.b.backs)
		}
		w.d.same(w.b)
	})
}

// The same, but the old one wins with a put of which its copier never hears, so that no tap shows it.
func TestSlowManifestWithLostReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.b.mayGoBack = true
		w.d.snapshot()
		asked, carryOut := make(chan struct{}), make(chan struct{})
		slow := newCopier(t, &copier.Options{Rescan: -1, MinBackoff: time.Hour, Open: opens(lostManifest{w.b, func() {
			close(asked)
			<-carryOut
		}})})
		slow.Add(w.d.root, w.d.key)
		slow.Notify(w.d.key)
		<-asked
		w.commit()
		once := true
		other := newCopier(t, &copier.Options{Rescan: -1, Open: opens(afterManifest{w.b, func() {
			if once && w.b.last[w.d.name] == w.d.seq {
				once = false
				close(carryOut)
				synctest.Wait() // until the slow one has noted that its put failed
			}
		}})})
		other.Add(w.d.root, w.d.key)
		other.Notify(w.d.key)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if once || w.b.backs != 1 {
			t.Fatalf("the manifest went back %d times", w.b.backs)
		}
		w.d.same(w.b)
	})
}

// lostManifest loses the reply to each put of a manifest, which before precedes.
type lostManifest struct {
	store.Store
	before func()
}

func (s lostManifest) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if !strings.HasPrefix(key, "m/") {
		return s.Store.Put(ctx, key, body, cond)
	}
	s.before()
	if info, err := s.Store.Put(ctx, key, body, cond); err != nil {
		return info, err
	}
	return store.Info{}, errors.New("connection reset")
}

// afterManifest calls after behind each put of a manifest.
type afterManifest struct {
	store.Store
	after func()
}

func (s afterManifest) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	info, err := s.Store.Put(ctx, key, body, cond)
	if strings.HasPrefix(key, "m/") {
		s.after()
	}
	return info, err
}

// onManifest calls before ahead of each put of a manifest.
type onManifest struct {
	store.Store
	before func(step string)
}

func (s onManifest) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if strings.HasPrefix(key, "m/") {
		s.before("put manifest")
	}
	return s.Store.Put(ctx, key, body, cond)
}

// Copiers of several processes, trackers and flushes, all at once.
func TestConcurrently(t *testing.T) {
	root := newRoot(t, nil)
	b := newBucket()
	d := newDatabase(t, root, "/data/a.db", "t1", 8)
	b.history = d.history
	b.mayGoBack = true // the lock is not waited for forever
	fault := storefault.New(b, func(call storefault.Call) storefault.Fault {
		return storefault.Fault{Fail: call.N%29 == 7, Lost: call.N%31 == 9}
	})
	var copiers []*copier.Copier
	for range 3 {
		c := newCopier(t, &copier.Options{
			Open: opens(fault), Spacing: -1, MinBackoff: time.Millisecond, Rescan: 5 * time.Millisecond,
			Desync: func(_ spool.Key, err error) { t.Errorf("demand of a snapshot: %v", err) },
		})
		c.Add(root, d.key)
		copiers = append(copiers, c)
	}
	second, err := root.Producer(spool.DB{Path: "/data/a.db", Dev: 1, Ino: 2}, spool.Target{ID: "t1", Spec: spec("t1")})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()

	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, c := range copiers[:2] {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_ = c.Flush(ctx, root, d.key) // may be interrupted
				cancel()
			}
		})
	}
	for i := range 300 {
		d.mu.Lock()
		if r.IntN(3) == 0 {
			d.prod, second = second, d.prod // the other tracker's turn
		}
		d.mu.Unlock()
		switch r.IntN(20) {
		case 0:
			if err := d.prod.DropStaged(d.name); err != nil {
				t.Error(err)
			}
		case 1:
			d.commit(1, 2, 3, 4, 5, 6, 7)
		default:
			d.commit(1 + r.IntN(7))
		}
		copiers[i%3].Notify(d.key)
	}
	d.commit(1) // the last thing done may have been to drop what was staged
	close(done)
	wg.Wait()
	fault.SetPlan(nil)
	for _, c := range copiers {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := c.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		cancel()
	}
	d.same(b)
	d.empty()
}
