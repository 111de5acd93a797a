package budget_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/mem"
	"github.com/boule-db/boule/store/retry"
)

// bound checks that in every interval, at most burst + rate*interval of the
// requests began.
func bound(t *testing.T, times []time.Time, rate float64, burst int) {
	t.Helper()
	slices.SortFunc(times, time.Time.Compare)
	for i := range times {
		for j := i; j < len(times); j++ {
			d := times[j].Sub(times[i])
			if n := j - i + 1; float64(n) > float64(burst)+rate*d.Seconds()+1e-6 {
				t.Fatalf("%d requests within %v, at most %.2f may begin", n, d, float64(burst)+rate*d.Seconds())
			}
		}
	}
}

// saturate lets callers send as fast as they can for a while.
func saturate(ctx context.Context, l *budget.Limiter, callers int, d time.Duration) []time.Time {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var mu sync.Mutex
	var times []time.Time
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for l.Wait(ctx, store.VerbPut) == nil {
				mu.Lock()
				times = append(times, time.Now())
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return times
}

func TestRateIsABound(t *testing.T) {
	for _, callers := range []int{1, 2, 10, 100} {
		t.Run(fmt.Sprint(callers, " callers"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := budget.NewLimiter(nil)
				times := saturate(t.Context(), l, callers, 20*time.Second)
				bound(t, times, 30, 100)
				// And it is used up: 100 at once and 30 a second.
				if n := len(times); n < 690 || n > 700 {
					t.Errorf("%d requests in 20 s, want about 700", n)
				}
				if got := l.Stats().Total(); got != int64(len(times)) {
					t.Errorf("the limiter counts %d, want %d", got, len(times))
				}
			})
		})
	}
}

func TestLateWakersFindNoBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A caller at the head of the queue that is asleep when the machine is
		// suspended takes one token afterwards, like everybody behind it.
		l := budget.NewLimiter(&budget.Options{Rate: 10, Burst: 5})
		times := saturate(t.Context(), l, 500, 3*time.Second)
		<-time.After(time.Hour)
		times = append(times, saturate(t.Context(), l, 500, 3*time.Second)...)
		bound(t, times, 10, 5)
	})
}

func TestFlushHasABucketOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := budget.NewLimiter(&budget.Options{Rate: 1, Burst: 1})
		if err := l.Wait(t.Context(), store.VerbPut); err != nil {
			t.Fatal(err)
		}
		flush := budget.WithFlush(t.Context())
		if budget.IsFlush(t.Context()) || !budget.IsFlush(flush) {
			t.Error("IsFlush does not tell contexts apart")
		}
		start := time.Now()
		for range 1000 {
			if err := l.Wait(flush, store.VerbPut); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("1000 requests of a flush took %v, want no wait", d)
		}
		bound(t, saturate(flush, l, 20, 2*time.Second), 1000, 1000)
	})
}

func TestQueueIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := budget.NewLimiter(&budget.Options{Rate: 1, Burst: 1})
		if err := l.Wait(t.Context(), store.VerbGet); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if err := l.Wait(t.Context(), store.VerbGet); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
			})
			synctest.Wait() // it is in the queue
		}
		wg.Wait()
		if d := cmp.Diff([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, order); d != "" {
			t.Errorf("order (- want, + got):\n%s", d)
		}
		if s := l.Stats(); s.Blocked != 10 || s.Waited < 50*time.Second || s.Waited > 60*time.Second {
			t.Errorf("%d were blocked for %v, want 10 for about 55s", s.Blocked, s.Waited)
		}
	})
}

func TestCancelTakesNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := budget.NewLimiter(&budget.Options{Rate: 1, Burst: 1})
		if err := l.Wait(t.Context(), store.VerbGet); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		start := time.Now()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := l.Wait(ctx, store.VerbGet); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
				}
			})
		}
		wg.Wait()
		if err := l.Wait(t.Context(), store.VerbGet); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start).Round(time.Millisecond); d != time.Second {
			t.Errorf("the next token came after %v, want 1s", d)
		}
		if err := l.Wait(ctx, store.VerbGet); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a dead context: got error %v, want %v", err, context.DeadlineExceeded)
		}
		if n := l.Stats().Total(); n != 2 {
			t.Errorf("%d requests counted, want 2", n)
		}
	})
}

func TestNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := budget.NewLimiter(&budget.Options{Rate: -1})
		start := time.Now()
		for range 10000 {
			if err := l.Wait(t.Context(), store.VerbGet); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 0 || l.Stats().Total() != 10000 {
			t.Errorf("took %v and counted %d, want no wait and 10000", d, l.Stats().Total())
		}
	})
}

func TestEveryCallIsCounted(t *testing.T) {
	ctx := t.Context()
	l := budget.NewLimiter(nil)
	s := budget.New(mem.New(), l)
	other := budget.New(mem.New(), l)
	if _, err := other.Head(ctx, "nothing"); !errors.Is(err, store.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "key", []byte("12345"), store.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "key", []byte("12345"), store.Condition{IfAbsent: true}); !errors.Is(err, store.ErrPrecondition) {
		t.Fatal(err)
	}
	obj, err := s.Get(ctx, "key", &store.GetOptions{Length: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, obj.Body); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Touch(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	for range s.List(ctx, "") {
	}
	if err := s.Delete(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	want := budget.Stats{
		Requests: map[store.Verb]int64{"put": 2, "get": 1, "copy": 1, "list": 1, "delete": 1},
		Sent:     10, Received: 3,
	}
	if d := cmp.Diff(want, s.Stats()); d != "" {
		t.Errorf("of the store (- want, + got):\n%s", d)
	}
	want.Requests["head"] = 1
	if d := cmp.Diff(want, l.Stats()); d != "" {
		t.Errorf("of the limiter (- want, + got):\n%s", d)
	}
}

// paged is a store that asks for pages itself.
type paged struct {
	store.Store
	gate store.Gate
	n    int
}

func (p paged) Gate(gate store.Gate) (store.Store, bool) { return paged{p.Store, gate, p.n}, true }

func (p paged) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for range p.n {
			if err := p.gate(ctx, store.VerbList); err != nil {
				yield(store.Info{}, err)
				return
			}
		}
	}
}

func TestAStoreThatChargesItself(t *testing.T) {
	l := budget.NewLimiter(nil)
	s := budget.New(store.WithPrefix(paged{Store: mem.New(), n: 7}, "p/"), l)
	for _, err := range s.List(t.Context(), "") {
		t.Fatal(err)
	}
	if n := l.Stats().Requests[store.VerbList]; n != 7 {
		t.Errorf("%d requests counted, want 7", n)
	}
}

func TestListIsChargedByPage(t *testing.T) {
	m := mem.New()
	for i := range 2500 {
		if _, err := m.Put(t.Context(), fmt.Sprint("key", i), nil, store.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	l := budget.NewLimiter(nil)
	for _, err := range budget.New(m, l).List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := l.Stats().Requests[store.VerbList]; n != 3 {
		t.Errorf("%d requests counted for 2500 keys, want 3", n)
	}
}

func TestEveryAttemptIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := budget.NewLimiter(nil)
		failing := storefault.New(mem.New(), storefault.Always(storefault.Fault{Fail: true}))
		s := retry.New(budget.New(failing, l), nil)
		if _, err := s.Head(t.Context(), "key"); !errors.Is(err, storefault.ErrInjected) {
			t.Fatalf("got error %v, want %v", err, storefault.ErrInjected)
		}
		if n := l.Stats().Total(); n != 4 {
			t.Errorf("%d requests counted, want 4", n)
		}
	})
}

func TestWaitingIsNotPartOfAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One token in 100 s, attempts of 30 s: waiting must not fail them.
		l := budget.NewLimiter(&budget.Options{Rate: 0.01, Burst: 1})
		raw := storefault.New(mem.New(), nil)
		s := retry.New(budget.New(raw, l), nil)
		start := time.Now()
		for range 4 {
			if _, err := s.Put(t.Context(), "key", nil, store.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(raw.Calls()); n != 4 {
			t.Errorf("%d calls, want 4", n)
		}
		if d := time.Since(start).Round(time.Second); d != 300*time.Second {
			t.Errorf("took %v, want 300s", d)
		}
	})
}
