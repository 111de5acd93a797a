package storetest_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/conformance/storetest"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// broken is a store that breaks a promise.
type broken struct {
	*mem.Store
	put   func(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error)
	get   func(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error)
	list  func(ctx context.Context, prefix string) iter.Seq2[store.Info, error]
	del   func(ctx context.Context, key string) error
	touch func(ctx context.Context, key string) (store.Info, error)
}

func (b broken) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if b.put != nil {
		return b.put(ctx, key, body, cond)
	}
	return b.Store.Put(ctx, key, body, cond)
}

func (b broken) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	if b.get != nil {
		return b.get(ctx, key, opts)
	}
	return b.Store.Get(ctx, key, opts)
}

func (b broken) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	if b.list != nil {
		return b.list(ctx, prefix)
	}
	return b.Store.List(ctx, prefix)
}

func (b broken) Delete(ctx context.Context, key string) error {
	if b.del != nil {
		return b.del(ctx, key)
	}
	return b.Store.Delete(ctx, key)
}

func (b broken) Touch(ctx context.Context, key string) (store.Info, error) {
	if b.touch != nil {
		return b.touch(ctx, key)
	}
	return b.Store.Touch(ctx, key)
}

func TestBrokenPromisesAreFound(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(m *mem.Store) broken
		checks []string // that must fail
	}{
		"ignores conditions": {func(m *mem.Store) broken {
			return broken{put: func(ctx context.Context, key string, body []byte, _ store.Condition) (store.Info, error) {
				return m.Put(ctx, key, body, store.Condition{})
			}}
		}, []string{"IfAbsentRefuses", "IfMatchStale", "IfMatchAbsent", "RaceIfAbsent", "RaceIfMatch"}},
		"tests conditions before it puts": {func(m *mem.Store) broken {
			return broken{put: func(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
				info, err := m.Head(ctx, key)
				if cond.IfAbsent && err == nil || cond.IfMatch != "" && info.ETag != cond.IfMatch {
					return store.Info{}, store.ErrPrecondition
				}
				<-time.After(time.Millisecond)
				return m.Put(ctx, key, body, store.Condition{})
			}}
		}, []string{"RaceIfAbsent", "RaceIfMatch"}},
		"ignores ranges": {func(m *mem.Store) broken {
			return broken{get: func(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
				return m.Get(ctx, key, nil)
			}}
		}, []string{"RangeMiddle", "RangeFromEnd", "GetIfNoneMatch"}},
		"lists out of order": {func(m *mem.Store) broken {
			return broken{list: func(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
				return func(yield func(store.Info, error) bool) {
					var all []store.Info
					for info := range m.List(ctx, prefix) {
						all = append(all, info)
					}
					slices.Reverse(all)
					for _, info := range all {
						if !yield(info, nil) {
							return
						}
					}
				}
			}}
		}, []string{"ListOrder", "ListLong"}},
		"lists one page": {func(m *mem.Store) broken {
			return broken{list: func(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
				return func(yield func(store.Info, error) bool) {
					n := 0
					for info, err := range m.List(ctx, prefix) {
						if n++; n > 1000 || !yield(info, err) {
							return
						}
					}
				}
			}}
		}, []string{"ListLong"}},
		"can't delete twice": {func(m *mem.Store) broken {
			return broken{del: func(ctx context.Context, key string) error {
				if _, err := m.Head(ctx, key); err != nil {
					return err
				}
				return m.Delete(ctx, key)
			}}
		}, []string{"DeleteAbsent"}},
		"does not touch": {func(m *mem.Store) broken {
			return broken{touch: m.Head}
		}, []string{"TouchMovesModTime"}},
		"cleans paths": {func(m *mem.Store) broken {
			return broken{put: func(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
				return m.Put(ctx, strings.ReplaceAll(key, "//", "/"), body, cond)
			}}
		}, []string{"Key/double-slash", "Key/leading-slash"}},
		"decodes keys": {func(m *mem.Store) broken {
			return broken{put: func(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
				return m.Put(ctx, strings.ReplaceAll(key, "%2F", "/"), body, cond)
			}}
		}, []string{"Key/chunk", "Key/percent-2F", "Key/distinct"}},
		"fails in passing": {func(m *mem.Store) broken {
			return broken{get: func(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
				obj, err := m.Get(ctx, key, opts)
				if err != nil {
					err = errors.New("something is wrong")
				}
				return obj, err
			}}
		}, []string{"Absent", "BadKeys", "CancelledChangesNothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := mem.New()
				b := tc.damage(m)
				b.Store = m
				err := storetest.Check(t.Context(), b)
				if err == nil {
					t.Fatal("no broken promise is found")
				}
				for _, check := range tc.checks {
					if !strings.Contains("\n"+err.Error(), "\n"+check+": ") {
						t.Errorf("%s is not among the broken promises:\n%v", check, err)
					}
				}
			})
		})
	}
}

func TestCheckLeavesNothing(t *testing.T) {
	m := mem.New()
	if err := storetest.Check(t.Context(), m); err != nil {
		t.Errorf("check of a sound store: %v", err)
	}
	for info := range m.List(t.Context(), "") {
		t.Errorf("%q is left behind", info.Key)
	}
}

func TestVerdict(t *testing.T) {
	e := storetest.Expect{
		Deviations: map[string]string{"deviates": "why"},
		Races:      map[string]string{"sometimes": "race"},
	}
	failure := errors.New("failure")
	for _, tc := range []struct {
		name string
		err  error
		ok   bool
		note string
	}{
		{"sound", nil, true, ""},
		{"sound", failure, false, "failure"},
		{"deviates", failure, true, "deviates as expected (why): failure"},
		{"deviates", nil, false, "passes, but was expected to fail: why"},
		{"sometimes", failure, true, "deviates as expected (race): failure"},
		{"sometimes", nil, true, ""},
	} {
		if note, ok := e.Verdict(tc.name, tc.err); note != tc.note || ok != tc.ok {
			t.Errorf("%s, %v: got %q, %v, want %q, %v", tc.name, tc.err, note, ok, tc.note, tc.ok)
		}
	}
}
