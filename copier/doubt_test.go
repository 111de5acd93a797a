package copier_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// The store lost everything: the first upload of a new process finds it out, and waits for a
// full snapshot. It does not matter when the copier crashes.
func TestLostContents(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for _, published := range []bool{false, true} {
			t.Run(fmt.Sprintf("crash %v, published %v", crash, published), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					crash := crash
					root := newRoot(t, nil)
					b := newBucket()
					d := newDatabase(t, root, "/data/a.db", "t1", 6)
					first := newCopier(t, &copier.Options{Open: opens(b)})
					d.snapshot()
					flush(t, first, d)
					b.wipe(t)
					d.commit(1)
					if !published {
						// Another copier takes the ready snapshot, and fails.
						denied := storefault.New(b, storefault.Always(storefault.Fault{Fail: true, Err: store.ErrAccess}))
						c := newCopier(t, &copier.Options{Open: opens(denied)})
						if err := c.Flush(t.Context(), root, d.key); !errors.Is(err, store.ErrAccess) {
							t.Fatalf("got %v", err)
						}
						d.commit(2)
					}

					demands := 0
					opts := &copier.Options{Open: opens(b), Desync: func(_ spool.Key, err error) {
						t.Logf("%v: demand: %v", time.Now(), err)
						if demands++; !crash {
							d.desync()
						}
					}}
					c := newCopier(t, opts)
					c.Add(root, d.key)
					synctest.Wait()
					if st := c.Status(d.key); demands == 0 || !errors.Is(st.LastError, copier.ErrDesync) {
						t.Fatalf("%d demands, status %+v", demands, st)
					}
					if b.restore(t, d.name) != nil {
						t.Error("a manifest was uploaded")
					}
					if crash {
						// Nobody ever hears of it. More incremental snapshots, another copier.
						gone, cancel := context.WithCancel(t.Context())
						cancel()
						c.Close(gone)
						crash = false
						d.commit(3)
						c = newCopier(t, opts)
						c.Add(root, d.key)
					}
					time.Sleep(time.Minute)
					synctest.Wait()
					d.same(b)
					d.empty()
					if demands > 2 {
						t.Errorf("%d demands", demands)
					}
					if st := c.Status(d.key); st.LastError != nil {
						t.Errorf("got status %+v", st)
					}
					// From now on it costs nothing extra.
					n := c.Metrics().Requests
					d.commit(1)
					c.Notify(d.key)
					time.Sleep(time.Minute)
					if got := c.Metrics().Requests; got != (copier.Requests{Put: n.Put + 2, Head: n.Head}) {
						t.Errorf("a commit took %+v after %+v", got, n)
					}
				})
			})
		}
	}
}

// Each chunk of an unpublished snapshot is looked for before its manifest is uploaded in doubt.
func TestDoubtCostsWhatItMust(t *testing.T) {
	root := newRoot(t, nil)
	b := newBucket()
	d := newDatabase(t, root, "/data/a.db", "t1", 30)
	d.snapshot()
	c := newCopier(t, &copier.Options{Open: opens(b)})
	flush(t, c, d)
	if err := root.WriteTap("t1", d.name, []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	d.commit(1)
	st := storefault.New(b, nil)
	c = newCopier(t, &copier.Options{Open: opens(st), Desync: func(_ spool.Key, err error) {
		t.Errorf("demand of a snapshot: %v", err)
	}})
	flush(t, c, d)
	d.same(b)
	if puts, heads := st.Count(store.VerbPut), st.Count(store.VerbHead); puts != 2 || heads != 28 && heads != 29 {
		t.Errorf("got %d puts, %d heads", puts, heads)
	}
}

// A chunk file whose content is not what its name says is never uploaded, and the manifest that
// names it neither.
func TestCorruptChunk(t *testing.T) {
	for _, where := range []string{"staging", "ready", "consuming"} {
		for _, how := range []string{"changed", "too long", "truncated", "foreign"} {
			t.Run(where+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					root := newRoot(t, nil)
					b := newBucket()
					d := newDatabase(t, root, "/data/a.db", "t1", 6)
					b.history = d.history
					old := d.bytes()
					d.snapshot()
					flush(t, newCopier(t, &copier.Options{Open: opens(b)}), d)
					for i := 1; i < 6; i++ {
						d.write(i)
					}
					d.snapshot()
					if where == "staging" || where == "consuming" {
						denied := storefault.New(b, storefault.Always(storefault.Fault{Fail: true, Err: store.ErrAccess}))
						c := newCopier(t, &copier.Options{Open: opens(denied)})
						if err := c.Flush(t.Context(), root, d.key); !errors.Is(err, store.ErrAccess) {
							t.Fatalf("got %v", err)
						}
						d.commit(1, 2) // to ready, while all is in consuming
						if where == "staging" {
							flush(t, newCopier(t, &copier.Options{Open: opens(b)}), d)
							old = d.bytes()
							d.commit(3, 4)
							d.commit(1, 2, 5)
							removeAll(t, root, d.key, "ready")
						}
					}
					damage(t, root, d, where, how)

					demands := 0
					c := newCopier(t, &copier.Options{Open: opens(b), Desync: func(_ spool.Key, err error) { demands++ }})
					c.Add(root, d.key)
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					b.verify(t)
					if demands == 0 || c.Metrics().Desyncs == 0 {
						t.Fatalf("no demand of a snapshot; status %+v", c.Status(d.key))
					}
					if how != "foreign" && string(b.restore(t, d.name)) != string(old) {
						t.Error("the replica is another one")
					}
					if how != "foreign" && c.Status(d.key).LastError == nil {
						t.Error("no error in the status")
					}
					d.desync()
					c.Notify(d.key)
					time.Sleep(2 * time.Minute)
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
}

// spoolFiles returns the chunk files in a part of a spool.
func spoolFiles(t *testing.T, root *spool.Root, key spool.Key, where string) []string {
	t.Helper()
	pattern := filepath.Join(root.Dir(), key.String(), where, "chunks", "*")
	if where != "staging" {
		pattern = filepath.Join(root.Dir(), key.String(), where, "*", "chunks", "*")
	}
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no chunks in %s: %v", where, err)
	}
	return names
}

func removeAll(t *testing.T, root *spool.Root, key spool.Key, where string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(root.Dir(), key.String(), where)); err != nil {
		t.Fatal(err)
	}
}

// damage damages the last chunk of the database.
func damage(t *testing.T, root *spool.Root, d *database, where, how string) {
	t.Helper()
	last := manifest.Sum(d.content[len(d.content)/cs*cs:]).ChunkName()
	name := filepath.Join(filepath.Dir(spoolFiles(t, root, d.key, where)[0]), last)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	switch how {
	case "changed":
		data[0]++
	case "too long":
		data = append(data, make([]byte, manifest.ChunkSize)...)
	case "truncated":
		data = data[:100]
	case "foreign":
		name = filepath.Join(filepath.Dir(name), "core")
	}
	_ = os.Remove(name)
	if err := os.WriteFile(name, data, 0o444); err != nil {
		t.Fatal(err)
	}
}

// One chunk that the store refuses for good does not keep newer snapshots without it from being
// uploaded.
func TestRefusedChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		d := newDatabase(t, root, "/data/a.db", "t1", 6)
		b.history = d.history
		d.snapshot()
		bad := "c/" + manifest.Sum(d.content[2*cs:3*cs]).ChunkName()
		st := storefault.New(b, func(call storefault.Call) storefault.Fault {
			return storefault.Fault{Fail: call.Verb == store.VerbPut && call.Key == bad, Err: store.ErrBadKey}
		})
		c := newCopier(t, &copier.Options{Open: opens(st), Desync: func(_ spool.Key, err error) {
			t.Errorf("demand of a snapshot: %v", err)
		}})
		c.Add(root, d.key)
		c.Notify(d.key)
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := c.Status(d.key); st.LastError == nil || !strings.Contains(st.LastError.Error(), bad[2:]) {
			t.Errorf("got status %+v", st)
		}
		if files := spoolFiles(t, root, d.key, "consuming"); len(files) != 1 {
			t.Errorf("left in the spool: %v", files)
		}
		d.commit(1) // still has it
		c.Notify(d.key)
		time.Sleep(10 * time.Minute)
		if c.Status(d.key).LastError == nil || b.restore(t, d.name) != nil {
			t.Error("uploaded without a chunk")
		}
		d.commit(2) // has it not
		c.Notify(d.key)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		d.same(b)
		d.empty()
		if st := c.Status(d.key); st.LastError != nil {
			t.Errorf("got status %+v", st)
		}
	})
}
