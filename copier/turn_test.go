package copier_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/store"
)

// crowd is a slow store that counts how many put something at once.
type crowd struct {
	store.Store
	now, most atomic.Int64
}

func (s *crowd) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	n := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	time.Sleep(time.Second)
	return s.Store.Put(ctx, key, body, cond)
}

// However many want a spool to be uploaded, one pass of a process works on it at a time.
func TestOnePassAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := newRoot(t, nil)
		b := newBucket()
		slow := &crowd{Store: b}
		d := newDatabase(t, root, "/a", "t1", 20)
		d.snapshot()
		c := newCopier(t, &copier.Options{Open: opens(slow), ChunkUploads: 1})
		c.Add(root, d.key)
		time.Sleep(1500 * time.Millisecond) // the pass in the background is at it
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() { flush(t, c, d) })
		}
		group.Wait()
		if n := slow.most.Load(); n != 1 {
			t.Errorf("%d objects were put at once by passes that put one at a time", n)
		}
		d.same(b)
	})
}
