package copier_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

// index returns the name of the index block that is stored now.
func (d *database) index() string {
	return manifest.Sum(manifest.AppendList(nil, d.stored)).ChunkName()
}

// forgetIndex removes the tracker's copies of index blocks.
func (d *database) forgetIndex() {
	d.t.Helper()
	files, err := filepath.Glob(filepath.Join(d.root.Dir(), d.key.String(), "staging", "index", "*"))
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// What a copier that starts anew uploads and asks for a database whose index block is stored.
func TestStoredIndex(t *testing.T) {
	root := newRoot(t, nil)
	b := newBucket()
	st := storefault.New(b, nil)
	d := newDatabase(t, root, "/data/a.db", "t1", 30)
	d.fold = true
	d.snapshot()
	requests := func() copier.Requests {
		t.Helper()
		c := newCopier(t, &copier.Options{Open: opens(st), Desync: func(_ spool.Key, err error) {
			t.Errorf("demand of a snapshot: %v", err)
		}})
		flush(t, c, d)
		d.same(b)
		return c.Metrics().Requests
	}
	if got, want := requests(), (copier.Requests{Put: 31}); got != want {
		t.Errorf("at first: got %+v, want %+v", got, want)
	}
	for _, c := range []struct {
		what string
		do   func()
		want copier.Requests
	}{ // each HEAD that is there asks for the manifest
		{"a commit", func() { d.commit(3) }, copier.Requests{Put: 2, Head: 1}},
		{"another of the same chunk", func() { d.commit(3) }, copier.Requests{Put: 2, Head: 1}},
		{"the index is stored again", func() { d.fold = true; d.commit(4) }, copier.Requests{Put: 3, Head: 1}},
		{"and once more, and the last one is gone", func() {
			d.forgetIndex()
			d.fold = true
			d.commit(4)
		}, copier.Requests{Put: 3, Head: 1, Get: 1}},
	} {
		c.do()
		if got := requests(); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.what, got, c.want)
		}
	}

	// Of what another copier has uploaded, each chunk that is new is looked for, and no other.
	d.fold = true
	d.commit(5, 6)
	first := true
	dying := storefault.New(b, func(call storefault.Call) storefault.Fault {
		fail := call.Verb == store.VerbPut && strings.HasPrefix(call.Key, "m/") && first
		return storefault.Fault{Fail: fail, Err: store.ErrAccess}
	})
	c := newCopier(t, &copier.Options{Open: opens(dying)})
	if err := c.Flush(t.Context(), root, d.key); !errors.Is(err, store.ErrAccess) {
		t.Fatalf("got %v", err)
	}
	if got, want := requests(), (copier.Requests{Put: 1, Head: 4}); got != want {
		t.Errorf("after another copier: got %+v, want %+v", got, want)
	}
}

// A manifest is not uploaded while the store lacks its index block, or has another one of that
// name.
func TestLostIndex(t *testing.T) {
	for _, how := range []string{"gone", "damaged", "not a list"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := newRoot(t, nil)
				b := newBucket()
				d := newDatabase(t, root, "/data/a.db", "t1", 6)
				b.history = d.history
				d.fold = true
				d.snapshot()
				first := newCopier(t, &copier.Options{Open: opens(b)})
				flush(t, first, d)
				if err := first.Close(t.Context()); err != nil { // for it remembers that all is there
					t.Fatal(err)
				}
				old := d.bytes()
				key := "c/" + d.index()
				var err error
				switch how {
				case "gone":
					err = b.Delete(t.Context(), key)
				case "damaged":
					_, err = b.Store.Put(t.Context(), key, []byte("x"), store.Condition{})
				case "not a list":
					_, err = b.Store.Put(t.Context(), key, manifest.Compress([]byte("x")), store.Condition{})
				}
				if err != nil {
					t.Fatal(err)
				}
				// Nothing says any more what is in the store, and nobody has the block.
				if err := root.WriteTap("t1", d.name, []byte("damaged")); err != nil {
					t.Fatal(err)
				}
				d.forgetIndex()
				d.commit(1)
				demands := 0
				c := newCopier(t, &copier.Options{Open: opens(b), Desync: func(_ spool.Key, err error) {
					if demands++; !errors.Is(err, copier.ErrDesync) && !strings.Contains(err.Error(), d.index()) {
						t.Errorf("demand: %v", err)
					}
				}})
				c.Add(root, d.key)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if st := c.Status(d.key); demands == 0 || !errors.Is(st.LastError, copier.ErrDesync) {
					t.Fatalf("%d demands, status %+v", demands, st)
				}
				for _, f := range b.faults {
					t.Error(f)
				}
				d.desync()
				c.Notify(d.key)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				d.same(b)
				d.empty()
				if string(old) == string(d.bytes()) {
					t.Error("nothing was written")
				}
				if st := c.Status(d.key); st.LastError != nil {
					t.Errorf("got status %+v", st)
				}
			})
		})
	}
}

// A refused index block is given up with its snapshot as soon as a newer one does not need it; a
// refused chunk is one that only the index block of the newer snapshot names, or does not.
func TestRefusedWithIndex(t *testing.T) {
	for _, refuse := range []string{"index", "chunk"} {
		t.Run(refuse, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := newRoot(t, nil)
				b := newBucket()
				d := newDatabase(t, root, "/data/a.db", "t1", 6)
				b.history = d.history
				d.fold = true
				d.snapshot()
				bad := d.index()
				if refuse == "chunk" {
					bad = manifest.Sum(d.content[2*cs : 3*cs]).ChunkName()
				}
				st := storefault.New(b, func(call storefault.Call) storefault.Fault {
					return storefault.Fault{Fail: call.Verb == store.VerbPut && call.Key == "c/"+bad, Err: store.ErrBadKey}
				})
				c := newCopier(t, &copier.Options{Open: opens(st), Desync: func(_ spool.Key, err error) {
					t.Errorf("demand of a snapshot: %v", err)
				}})
				c.Add(root, d.key)
				c.Notify(d.key)
				time.Sleep(time.Minute)
				d.commit(1) // still needs it
				c.Notify(d.key)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if st := c.Status(d.key); st.LastError == nil || !strings.Contains(st.LastError.Error(), bad) || b.restore(t, d.name) != nil {
					t.Errorf("got status %+v", st)
				}
				if refuse == "index" {
					d.fold = true
				}
				d.commit(2) // needs it not
				c.Notify(d.key)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				d.same(b)
				d.empty()
				if st := c.Status(d.key); st.LastError != nil {
					t.Errorf("got status %+v", st)
				}
			})
		})
	}
}

// Whatever becomes of requests, and whoever stores index blocks when, the store ends up with the
// database.
func TestStoredIndexUnderFaults(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := newRoot(t, nil)
				b := newBucket()
				d := newDatabase(t, root, fmt.Sprintf("/data/%d.db", seed), "t1", 8)
				b.history = d.history
				var faulty atomic.Bool
				faulty.Store(true)
				st := storefault.New(b, func(call storefault.Call) storefault.Fault {
					return storefault.Fault{Fail: faulty.Load() && rand.IntN(4) == 0, Err: errFault}
				})
				r := rand.New(rand.NewPCG(seed, 5))
				copiers := []*copier.Copier{}
				for range 2 {
					c := newCopier(t, &copier.Options{Open: opens(st), ChunkUploads: 1, Desync: func(spool.Key, error) { d.desync() }})
					c.Add(root, d.key)
					copiers = append(copiers, c)
				}
				for i := range 40 {
					d.fold = r.IntN(4) == 0
					if i%7 == 3 {
						d.forgetIndex()
					}
					d.commit(r.IntN(8), r.IntN(8))
					for _, c := range copiers {
						c.Notify(d.key)
					}
					time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
					synctest.Wait()
				}
				faulty.Store(false)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				d.same(b)
				d.empty()
			})
		})
	}
}
