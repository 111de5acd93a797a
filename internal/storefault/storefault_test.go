package storefault_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

var errMine = errors.New("mine")

func TestFaults(t *testing.T) {
	ctx := t.Context()
	m := mem.New()
	s := storefault.New(m, nil)
	put := func(key string, cond store.Condition) error {
		_, err := s.Put(ctx, key, []byte("0123456789"), cond)
		return err
	}
	exists := func(key string) bool {
		_, err := m.Head(ctx, key)
		return err == nil
	}
	if err := put("a", store.Condition{}); err != nil {
		t.Fatal(err)
	}

	s.SetPlan(storefault.Nth(1, storefault.Fault{Fail: true, Err: errMine}))
	if err := put("b", store.Condition{}); err != nil || !exists("b") {
		t.Errorf("call 0: %v", err)
	}
	if err := put("c", store.Condition{}); !errors.Is(err, errMine) || exists("c") {
		t.Errorf("call 1: got error %v, want %v and nothing put", err, errMine)
	}
	want := []storefault.Call{{N: 0, Verb: "put", Key: "b"}, {N: 1, Verb: "put", Key: "c"}}
	if d := cmp.Diff(want, s.Calls()); d != "" {
		t.Errorf("calls (- want, + got):\n%s", d)
	}

	s.SetPlan(storefault.On(store.VerbPut, storefault.Fault{Lost: true}))
	if err := put("c", store.Condition{}); !errors.Is(err, storefault.ErrInjected) || errors.Is(err, store.ErrUnknownOutcome) || !exists("c") {
		t.Errorf("lost reply: got error %v, want %v of a put that happened", err, storefault.ErrInjected)
	}
	if err := put("d", store.Condition{IfAbsent: true}); !errors.Is(err, store.ErrUnknownOutcome) || !exists("d") {
		t.Errorf("lost reply of a conditional put: got error %v, want %v", err, store.ErrUnknownOutcome)
	}
	if err := put("d", store.Condition{IfAbsent: true}); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("refused put: got error %v, want %v", err, store.ErrPrecondition)
	}
	if err := s.Delete(ctx, "d"); err != nil || s.Count(store.VerbDelete) != 1 {
		t.Errorf("another verb: %v", err)
	}

	s.SetPlan(storefault.Always(storefault.Fault{After: 3}))
	obj, err := s.Get(ctx, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(obj.Body); string(body) != "012" || !errors.Is(err, storefault.ErrInjected) {
		t.Errorf("broken body: got %q and error %v, want 012 and %v", body, err, storefault.ErrInjected)
	}
	s.SetPlan(storefault.Always(storefault.Fault{After: 2}))
	var keys []string
	for info, e := range s.List(ctx, "") {
		if err = e; err == nil {
			keys = append(keys, info.Key)
		}
	}
	if d := cmp.Diff([]string{"a", "b"}, keys); d != "" || !errors.Is(err, storefault.ErrInjected) {
		t.Errorf("broken listing: error %v, keys (- want, + got):\n%s", err, d)
	}
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := storefault.New(mem.New(), func(c storefault.Call) storefault.Fault {
			if c.N == 0 {
				return storefault.Fault{Delay: time.Minute}
			}
			return storefault.Fault{Until: release}
		})
		start := time.Now()
		if _, err := s.Put(t.Context(), "key", nil, store.Condition{}); err != nil || time.Since(start) != time.Minute {
			t.Errorf("took %v (%v), want a minute", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Head(ctx, "key"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
		}
		time.AfterFunc(time.Hour, func() { close(release) })
		if _, err := s.Head(t.Context(), "key"); err != nil {
			t.Error(err)
		}
	})
}
