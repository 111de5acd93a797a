package replica_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
)

// read reads one byte of a chunk.
func read(ctx context.Context, s *replica.Snapshot, i int) error {
	_, err := s.ReadAt(ctx, make([]byte, 1), int64(i)*manifest.ChunkSize)
	return err
}

func TestCacheEvicts(t *testing.T) {
	b := newBucket()
	m := b.upload(t, content(10*manifest.ChunkSize, 1))
	cache := replica.NewCache(3*manifest.ChunkSize + 4096)
	s, err := replica.Open(t.Context(), m, b.sources(), cache)
	check(t, err)
	fetched := func(i int) bool {
		before := len(b.faulty.Calls())
		check(t, read(t.Context(), s, i))
		return len(b.faulty.Calls()) != before
	}
	var got []string
	for _, i := range []int{1, 2, 3, 1, 4, 1, 2, 3, 4} {
		got = append(got, fmt.Sprint(i, fetched(i)))
	}
	// 4 evicts 2, the one not used for longest; 2 evicts 3; 3 evicts 4; 4 evicts 1.
	want := []string{"1true", "2true", "3true", "1false", "4true", "1false", "2true", "3true", "4true"}
	for i := range want {
		want[i] = fmt.Sprint(want[i][:1], " ", want[i][1:])
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if s := cache.Stats(); s.Chunks != 3 || s.Misses != 7 || s.Hits != 2 || s.Evicted != 4 || s.Bytes > 3*manifest.ChunkSize+4096 {
		t.Errorf("got %+v", s)
	}
}

func TestCacheWithoutRoom(t *testing.T) {
	b := newBucket()
	m := b.upload(t, content(2*manifest.ChunkSize, 1))
	for _, size := range []int64{-1, 0, 1000} {
		cache := replica.NewCache(size)
		s, err := replica.Open(t.Context(), m, b.sources(), cache)
		check(t, err)
		check(t, read(t.Context(), s, 1))
		check(t, read(t.Context(), s, 1))
		if s := cache.Stats(); s.Chunks != 0 || s.Bytes != 0 || s.Misses != 2 {
			t.Errorf("%d bytes: got %+v", size, s)
		}
	}
}

func TestCacheSharesFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		m := b.upload(t, content(2*manifest.ChunkSize, 1))
		gate := make(chan struct{})
		b.faulty.SetPlan(storefault.Always(storefault.Fault{Until: gate}))
		cache := replica.NewCache(1 << 20)
		errs := make(chan error)
		for range 5 {
			s, err := replica.Open(t.Context(), m, b.sources(), cache)
			check(t, err)
			go func() { errs <- read(t.Context(), s, 1) }()
		}
		synctest.Wait()
		close(gate)
		for range 5 {
			check(t, <-errs)
		}
		if n := len(b.faulty.Calls()); n != 1 {
			t.Errorf("got %d requests", n)
		}
		if s := cache.Stats(); s.Misses != 1 || s.Shared != 4 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestCacheSurvivesWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		m := b.upload(t, content(2*manifest.ChunkSize, 1))
		gate := make(chan struct{})
		b.faulty.SetPlan(storefault.Always(storefault.Fault{Until: gate}))
		s, err := replica.Open(t.Context(), m, b.sources(), replica.NewCache(1<<20))
		check(t, err)
		impatient, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("no patience")
		first, second := make(chan error), make(chan error)
		go func() { first <- read(impatient, s, 1) }()
		synctest.Wait()
		go func() { second <- read(t.Context(), s, 1) }()
		synctest.Wait()
		cancel(cause)
		wantIs(t, "the one who gave up", <-first, cause)
		close(gate)
		check(t, <-second)
		if n := len(b.faulty.Calls()); n != 1 {
			t.Errorf("got %d requests", n)
		}
	})
}

func TestCacheCancelsWhatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket()
		m := b.upload(t, content(2*manifest.ChunkSize, 1))
		gate := make(chan struct{})
		b.faulty.SetPlan(storefault.Always(storefault.Fault{Until: gate}))
		cache := replica.NewCache(1 << 20)
		s, err := replica.Open(t.Context(), m, b.sources(), cache)
		check(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		for range 2 {
			go func() { errs <- read(ctx, s, 1) }()
		}
		synctest.Wait()
		cancel()
		for range 2 {
			wantIs(t, "ReadAt", <-errs, context.Canceled)
		}
		// The fetch ends although the gate is still shut: otherwise the bubble
		// would be stuck with it at its end.
		synctest.Wait()
		b.faulty.SetPlan(nil)
		check(t, read(t.Context(), s, 1)) // afresh
		if s := cache.Stats(); s.Chunks != 1 || s.Misses != 2 {
			t.Errorf("got %+v", s)
		}
		close(gate)
	})
}

func TestCacheKeepsNoErrors(t *testing.T) {
	b := newBucket()
	m := b.upload(t, content(2*manifest.ChunkSize, 1))
	s, err := replica.Open(t.Context(), m, b.sources(), replica.NewCache(1<<20))
	check(t, err)
	b.faulty.SetPlan(storefault.First(1, storefault.Fault{Fail: true}))
	wantIs(t, "first", read(t.Context(), s, 1), storefault.ErrInjected)
	check(t, read(t.Context(), s, 1))
}
