package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
	"github.com/boule-db/boule/store/retry"
)

// calls are the calls of a store that a test looks at, by name.
var calls = map[string]func(context.Context, store.Store) error{
	"put": func(ctx context.Context, s store.Store) error {
		_, err := s.Put(ctx, "key", []byte("body"), store.Condition{})
		return err
	},
	"conditional put": func(ctx context.Context, s store.Store) error {
		_, err := s.Put(ctx, "new", []byte("body"), store.Condition{IfAbsent: true})
		return err
	},
	"get": func(ctx context.Context, s store.Store) error {
		_, _, err := store.ReadAll(ctx, s, "key", 100)
		return err
	},
	"head": func(ctx context.Context, s store.Store) error {
		_, err := s.Head(ctx, "key")
		return err
	},
	"list": func(ctx context.Context, s store.Store) error {
		for _, err := range s.List(ctx, "") {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"delete": func(ctx context.Context, s store.Store) error { return s.Delete(ctx, "key") },
	"touch": func(ctx context.Context, s store.Store) error {
		_, err := s.Touch(ctx, "key")
		return err
	},
	"prepare": func(ctx context.Context, s store.Store) error { return store.Prepare(ctx, s, true) },
}

// each runs a test for every call, on a store that has the object "key".
func each(t *testing.T, run func(t *testing.T, s *storefault.Store, call func(context.Context, store.Store) error)) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := mem.New()
				if _, err := m.Put(t.Context(), "key", []byte("body"), store.Condition{}); err != nil {
					t.Fatal(err)
				}
				run(t, storefault.New(m, nil), call)
			})
		})
	}
}

func TestFourAttempts(t *testing.T) {
	each(t, func(t *testing.T, s *storefault.Store, call func(context.Context, store.Store) error) {
		for failures := range 6 {
			if err := s.Unwrap().Delete(t.Context(), "new"); err != nil {
				t.Fatal(err)
			}
			s.SetPlan(storefault.First(failures, storefault.Fault{Fail: true}))
			start := time.Now()
			err := call(t.Context(), retry.New(s, nil))
			if ok := failures < 4; ok != (err == nil) || err != nil && !errors.Is(err, storefault.ErrInjected) {
				t.Errorf("%d failures: got error %v, want success = %v", failures, err, ok)
			}
			if n := len(s.Calls()); n != min(failures+1, 4) {
				t.Errorf("%d failures: %d calls, want %d", failures, n, min(failures+1, 4))
			}
			// 0.1, 1 and 10 s, each times [1,2).
			low := []time.Duration{0, 100 * time.Millisecond, 1100 * time.Millisecond, 11100 * time.Millisecond}[min(failures, 3)]
			if d := time.Since(start); d < low || d > 2*low {
				t.Errorf("%d failures: took %v, want %v to %v", failures, d, low, 2*low)
			}
			if err != nil && !strings.Contains(err.Error(), "after 4 attempts") {
				t.Errorf("error %q does not say how often it was tried", err)
			}
		}
	})
}

func TestPermanentErrorsAreFinal(t *testing.T) {
	for _, sentinel := range []error{store.ErrNotExist, store.ErrAccess, store.ErrNoBucket, store.ErrPrecondition} {
		each(t, func(t *testing.T, s *storefault.Store, call func(context.Context, store.Store) error) {
			s.SetPlan(storefault.Always(storefault.Fault{Fail: true, Err: sentinel}))
			start := time.Now()
			if err := call(t.Context(), retry.New(s, nil)); !errors.Is(err, sentinel) {
				t.Errorf("got error %v, want %v", err, sentinel)
			}
			if n, d := len(s.Calls()), time.Since(start); n != 1 || d != 0 {
				t.Errorf("%d calls in %v, want one at once", n, d)
			}
		})
	}
}

func TestNothingAfterCancel(t *testing.T) {
	each(t, func(t *testing.T, s *storefault.Store, call func(context.Context, store.Store) error) {
		// Cancelled while waiting for the second attempt.
		s.SetPlan(storefault.Always(storefault.Fault{Fail: true}))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := call(ctx, retry.New(s, nil))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, storefault.ErrInjected) {
			t.Errorf("got error %v, want the deadline and what went wrong before", err)
		}
		if n := len(s.Calls()); n != 1 {
			t.Errorf("%d calls, want one", n)
		}
		// Cancelled before.
		s.SetPlan(nil)
		if err := call(ctx, retry.New(s, nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a dead context: got error %v, want %v", err, context.DeadlineExceeded)
		}
		if n := len(s.Calls()); n != 0 {
			t.Errorf("with a dead context: %d calls, want none", n)
		}
	})
}

func TestAttemptsAreBoundedInTime(t *testing.T) {
	each(t, func(t *testing.T, s *storefault.Store, call func(context.Context, store.Store) error) {
		s.SetPlan(storefault.First(1, storefault.Fault{Delay: 1000 * time.Hour}))
		start := time.Now()
		if err := call(t.Context(), retry.New(s, nil)); err != nil {
			t.Errorf("got error %v, want success at the second attempt", err)
		}
		if d := time.Since(start); d < 30*time.Second || d > 31*time.Second {
			t.Errorf("took %v, want 30 s for the attempt that hangs", d)
		}
	})
}

func TestBigBodiesGetMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storefault.New(mem.New(), storefault.Always(storefault.Fault{Delay: 90 * time.Second}))
		_, err := retry.New(s, &retry.Options{Tries: -1}).Put(t.Context(), "key", make([]byte, 8<<20), store.Condition{})
		if err != nil {
			t.Errorf("8 MiB in 90 s: got error %v, want success", err)
		}
	})
}

func TestOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storefault.New(mem.New(), storefault.Always(storefault.Fault{Fail: true}))
		start := time.Now()
		var log bytes.Buffer
		r := retry.New(s, &retry.Options{
			Tries: 6, Waits: []time.Duration{time.Second}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if _, err := r.Head(t.Context(), "key"); !errors.Is(err, storefault.ErrInjected) {
			t.Errorf("got error %v, want %v", err, storefault.ErrInjected)
		}
		if n, d := len(s.Calls()), time.Since(start); n != 6 || d < 5*time.Second || d > 10*time.Second {
			t.Errorf("%d calls in %v, want 6 in 5 to 10 s", n, d)
		}
		if n := strings.Count(log.String(), "store request failed, will retry"); n != 5 {
			t.Errorf("%d lines are logged, want 5:\n%s", n, &log)
		}
		s.SetPlan(storefault.Always(storefault.Fault{Fail: true}))
		if _, err := retry.New(s, &retry.Options{Tries: -1}).Head(t.Context(), "key"); !errors.Is(err, storefault.ErrInjected) {
			t.Errorf("got error %v, want %v", err, storefault.ErrInjected)
		}
		if n := len(s.Calls()); n != 1 {
			t.Errorf("%d calls, want one", n)
		}
	})
}

func TestBrokenBodiesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New()
		want := strings.Repeat("0123456789", 10)
		if _, err := m.Put(t.Context(), "key", []byte(want), store.Condition{}); err != nil {
			t.Fatal(err)
		}
		s := storefault.New(m, nil)
		for _, opts := range []store.GetOptions{{}, {Offset: 10}, {Offset: 10, Length: 20}, {Length: 95}, {Offset: 50, Length: 500}} {
			s.SetPlan(storefault.First(3, storefault.Fault{After: 7}))
			obj, err := retry.New(s, nil).Get(t.Context(), "key", &opts)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(obj.Body)
			if err != nil {
				t.Errorf("%+v: %v", opts, err)
			}
			if err := obj.Body.Close(); err != nil {
				t.Error(err)
			}
			off, n, err := opts.Range(int64(len(want)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want[off:off+n], string(got)); d != "" {
				t.Errorf("%+v (- want, + got):\n%s", opts, d)
			}
		}
	})
}

func TestBrokenBodiesGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New()
		if _, err := m.Put(t.Context(), "key", make([]byte, 1000), store.Condition{}); err != nil {
			t.Fatal(err)
		}
		s := storefault.New(m, storefault.Always(storefault.Fault{After: 7}))
		obj, err := retry.New(s, nil).Get(t.Context(), "key", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(obj.Body)
		if !errors.Is(err, storefault.ErrInjected) || len(got) != 28 || len(s.Calls()) != 4 {
			t.Errorf("%d bytes of %d calls, error %v, want 28 of 4 and %v", len(got), len(s.Calls()), err, storefault.ErrInjected)
		}
		if _, again := obj.Body.Read(make([]byte, 1)); !errors.Is(again, err) {
			t.Errorf("another read: got error %v, want the same as before, %v", again, err)
		}
	})
}

func TestBrokenBodyOfAnotherObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New()
		put := func(body string) {
			if _, err := m.Put(t.Context(), "key", []byte(body), store.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		put("0123456789")
		s := storefault.New(m, storefault.First(1, storefault.Fault{After: 5}))
		obj, err := retry.New(s, nil).Get(t.Context(), "key", nil)
		if err != nil {
			t.Fatal(err)
		}
		put("abcdefghij")
		got, err := io.ReadAll(obj.Body)
		if string(got) != "01234" || err == nil || !strings.Contains(err.Error(), "changed") {
			t.Errorf("got %q and error %v, want 01234 and that it changed", got, err)
		}
	})
}

func TestSlowReadersDoNotTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New()
		if _, err := m.Put(t.Context(), "key", []byte("ab"), store.Condition{}); err != nil {
			t.Fatal(err)
		}
		obj, err := retry.New(m, nil).Get(t.Context(), "key", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			<-time.After(time.Hour)
			if n, err := obj.Body.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Fatalf("got %d, %v, want a byte", n, err)
			}
		}
		if err := obj.Body.Close(); err != nil {
			t.Error(err)
		}
		if _, err := obj.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read of a closed body: got error %v", err)
		}
	})
}

func TestBrokenListingsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New()
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprintf("k%02d", i))
			if _, err := m.Put(t.Context(), want[i], nil, store.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		// Every listing breaks off; the store begins each at the beginning.
		n := int64(0)
		s := storefault.New(m, func(storefault.Call) storefault.Fault {
			n += 7
			return storefault.Fault{After: n}
		})
		var got []string
		for info, err := range retry.New(s, nil).List(t.Context(), "k") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, info.Key)
			<-time.After(time.Minute) // the consumer's time is not the store's
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("keys (- want, + got):\n%s", d)
		}
		s.SetPlan(storefault.Always(storefault.Fault{After: 3}))
		got = nil
		var last error
		for info, err := range retry.New(s, nil).List(t.Context(), "k") {
			if last = err; err == nil {
				got = append(got, info.Key)
			}
		}
		if len(got) != 3 || !errors.Is(last, storefault.ErrInjected) {
			t.Errorf("of a listing that never gets on: %v, error %v, want 3 keys and %v", got, last, storefault.ErrInjected)
		}
	})
}
