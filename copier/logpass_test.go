package copier_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// newLogged is newDatabase with a target of layout log, for a file with some inode.
func newLogged(t *testing.T, root *spool.Root, path string, ino uint64) *database {
	t.Helper()
	d := newDatabase(t, root, path, "t1", 6)
	prod, err := root.Producer(spool.DB{Path: path, Dev: 1, Ino: ino}, spool.Target{ID: "log", Spec: spec(logTarget)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prod.Close() })
	d.prod, d.key = prod, prod.Key()
	return d
}

// A process that outlives the spool appends as the owner that the new spool says, like all others: so the replica is
// that of this spool also when another file takes the place of the database.
func TestOwnerOfNewSpool(t *testing.T) {
	dir := t.TempDir()
	root := openRoot(t, dir, nil)
	bucket := mem.New()
	c := newCopier(t, &copier.Options{Open: opens(bucket), Spacing: -1})
	d := newLogged(t, root, "/data/a.db", 2)
	c.Add(root, d.key) // so that it remembers the writer
	d.snapshot()
	flush(t, c, d)
	newest := func() *logrep.Head {
		h, err := logrep.New(store.WithPrefix(bucket, "c/"), store.WithPrefix(bucket, "m/"), d.name).Head(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := newest().Entry.Owner
	if err := os.Remove(filepath.Join(dir, ".owner")); err != nil { // the rest does not matter here
		t.Fatal(err)
	}
	d.commit(1)
	flush(t, c, d)
	owner, err := root.Owner()
	if err != nil {
		t.Fatal(err)
	}
	if got := newest().Entry.Owner; got.Spool != owner || got.Spool == first.Spool || got.Database != first.Database {
		t.Errorf("appended as %x, then as %x; the spool is that of %x", first, got, owner)
	}

	// Another file, in another process.
	other := newLogged(t, root, "/data/a.db", 3)
	other.snapshot()
	again := newCopier(t, &copier.Options{Open: opens(bucket), Spacing: -1})
	flush(t, again, other)
	if n := newest().Entry.Number; n != 3 {
		t.Errorf("the newest entry is %d, want 3", n)
	}
}

// A first upload that was interrupted, by an outage or the end of the program, goes on where it was.
func TestFirstUploadIsResumed(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprintf("another process %v", again), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				root := newRoot(t, nil)
				b := newBucket()
				var packs atomic.Int32
				s := storefault.New(b, nil)
				s.SetPlan(func(c storefault.Call) storefault.Fault {
					if c.Verb == store.VerbPut && strings.Contains(c.Key, "packs/") {
						packs.Add(1)
					}
					return storefault.Fault{Fail: packs.Load() > 3}
				})
				d := newDatabase(t, root, "/data/a.db", logTarget, 700) // six packs
				for i := range d.content {                              // so that it does not compress
					d.content[i] = byte(d.rand.Uint32())
				}
				d.snapshot()
				c := newCopier(t, &copier.Options{Open: opens(s), MaxBackoff: time.Minute})
				c.Add(root, d.key)
				time.Sleep(time.Second)
				if st := c.Status(d.key); st.LastError == nil {
					t.Fatal("it did not fail")
				}
				up := int64(0)
				if again {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if err := c.Close(ctx); !errors.Is(err, copier.ErrBehind) {
						t.Fatalf("close: %v", err)
					}
					up = c.Metrics().BytesUp
					c = newCopier(t, &copier.Options{Open: opens(s)})
					c.Add(root, d.key)
				}
				s.SetPlan(nil)
				time.Sleep(2 * time.Minute)
				d.same(b)
				up += c.Metrics().BytesUp
				if size := int64(len(d.content)); up < size || up > size+size/20 {
					t.Errorf("%d bytes were sent of a database of %d", up, size)
				}
			})
		})
	}
}

// Processes that end as soon as they have appended leave no time for compactions, so some of them make one when they are closed; if the
// store is slow then, they leave it to others.
func TestCompactedByShortProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		s := storefault.New(b, nil)
		d := newDatabase(t, root, "/data/a.db", logTarget, 40)
		d.snapshot()
		longest := time.Duration(0)
		run := func(n int) {
			t.Helper()
			for range n {
				d.commit(d.rand.IntN(40))
				c := newCopier(t, &copier.Options{Open: opens(s)})
				c.Add(root, d.key)
				began := time.Now()
				if err := c.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				longest = max(longest, time.Since(began))
			}
		}
		bundled := func() uint64 {
			t.Helper()
			h, err := logrep.New(store.WithPrefix(b, "c/"), store.WithPrefix(b, "m/"), d.name).Head(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(h.Entry.Own()) > 0 {
				return h.Entry.Number
			}
			return h.Entry.Bundled
		}
		run(200)
		if n := bundled(); n > 0 {
			t.Errorf("bundled at once: %d", n)
		}
		run(150)
		first := bundled()
		if first < 200 {
			t.Errorf("not bundled: %d", first)
		}
		d.same(b)
		s.SetPlan(func(c storefault.Call) storefault.Fault {
			if c.Verb == store.VerbGet && strings.Contains(c.Key, "log/") {
				time.Sleep(time.Second)
			}
			return storefault.Fault{}
		})
		run(300)
		if n := bundled(); n != first {
			t.Errorf("bundled in spite of a slow store: %d", n)
		}
		if longest > 15*time.Second {
			t.Errorf("a close took %v", longest)
		}
		s.SetPlan(nil)
		run(300)
		if n := bundled(); n <= first {
			t.Errorf("not bundled again: %d", n)
		}
		d.same(b)
	})
}
