package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
	"github.com/boule-db/boule/store/retry"
)

// plan says what happens to each call in turn.
func plan(faults ...storefault.Fault) storefault.Plan {
	return func(c storefault.Call) storefault.Fault {
		if c.N < len(faults) {
			return faults[c.N]
		}
		return storefault.Fault{}
	}
}

var (
	none   = storefault.Fault{}
	failed = storefault.Fault{Fail: true}
	lost   = storefault.Fault{Lost: true}
	// unknown is a put that did not happen, but nobody can know.
	unknown = storefault.Fault{Fail: true, Err: store.ErrUnknownOutcome}
)

func TestUnknownOutcome(t *testing.T) {
	for _, tc := range []struct {
		name    string
		initial string // of the object; empty: there is none
		cond    string // "absent", "match" or "stale"
		plan    storefault.Plan
		body    string // of the object afterwards
		err     error  // nil: success
		puts    int
	}{
		{"reply lost", "", "absent", plan(lost), "mine", nil, 1},
		{"reply lost, same bytes before", "mine", "absent", plan(unknown), "mine", nil, 1},
		{"not done", "", "absent", plan(unknown), "mine", nil, 2},
		{"not done, then lost", "", "absent", plan(unknown, none, lost), "mine", nil, 2},
		{"somebody else's", "theirs", "absent", plan(unknown), "theirs", store.ErrPrecondition, 1},
		{"read back fails once", "", "absent", plan(lost, failed), "mine", nil, 1},
		{"read back is cut", "", "absent", plan(lost, storefault.Fault{After: 2}), "mine", nil, 1},
		{"read back always fails", "", "absent", plan(lost, failed, failed, failed, failed, failed), "mine", store.ErrUnknownOutcome, 1},
		{"never known", "", "absent", plan(unknown, none, unknown, none, unknown, none, unknown), "", store.ErrUnknownOutcome, 4},
		{"known at the last look", "", "absent", plan(unknown, none, unknown, none, unknown, none, lost), "mine", nil, 4},
		{"then no access", "", "absent", plan(unknown, none, storefault.Fault{Fail: true, Err: store.ErrAccess}), "", store.ErrUnknownOutcome, 2},
		{"swap lost", "old", "match", plan(lost), "mine", nil, 1},
		{"swap not done", "old", "match", plan(unknown), "mine", nil, 2},
		{"swap not done, same size", "olde", "match", plan(unknown), "mine", nil, 2},
		{"swap of a changed object", "theirs", "stale", plan(unknown), "theirs", store.ErrPrecondition, 1},
		{"swap of a deleted object", "", "stale", plan(unknown), "", store.ErrPrecondition, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				m := mem.New()
				var cond store.Condition
				if tc.initial != "" {
					info, err := m.Put(ctx, "key", []byte(tc.initial), store.Condition{})
					if err != nil {
						t.Fatal(err)
					}
					cond.IfMatch = info.ETag
				}
				switch tc.cond {
				case "absent":
					cond = store.Condition{IfAbsent: true}
				case "stale":
					cond = store.Condition{IfMatch: "stale"}
				}
				s := storefault.New(m, tc.plan)
				info, err := retry.New(s, nil).Put(ctx, "key", []byte("mine"), cond)
				if !errors.Is(err, tc.err) || tc.err == nil && err != nil {
					t.Errorf("got error %v, want %v", err, tc.err)
				}
				if tc.err != nil && !errors.Is(tc.err, store.ErrUnknownOutcome) && errors.Is(err, store.ErrUnknownOutcome) {
					t.Errorf("error %v still says unknown", err)
				}
				if n := s.Count(store.VerbPut); n != tc.puts {
					t.Errorf("%d puts, want %d", n, tc.puts)
				}
				body, now, err := store.ReadAll(ctx, m, "key", 100)
				if err != nil && !store.IsNotExist(err) || string(body) != tc.body {
					t.Errorf("the object is %q (%v), want %q", body, err, tc.body)
				}
				if tc.err == nil && info != now {
					t.Errorf("put returns %+v, the object is %+v", info, now)
				}
			})
		})
	}
}

// late is a store whose first put arrives only when the second one is tried.
type late struct {
	store.Store
	first func() error
}

func (l *late) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	if l.first == nil {
		l.first = func() error {
			_, err := l.Store.Put(context.WithoutCancel(ctx), key, body, cond)
			return err
		}
		return store.Info{}, store.ErrUnknownOutcome
	}
	if err := l.first(); err != nil {
		return store.Info{}, err
	}
	return l.Store.Put(ctx, key, body, cond)
}

func TestPutMeetsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mem.New()
		info, err := retry.New(&late{Store: m}, nil).Put(t.Context(), "key", []byte("mine"), store.Condition{IfAbsent: true})
		if err != nil {
			t.Fatalf("got error %v, want success: the one who was faster is itself", err)
		}
		if now, err := m.Head(t.Context(), "key"); err != nil || info != now {
			t.Errorf("put returns %+v, the object is %+v (%v)", info, now, err)
		}
	})
}

func TestCancelledUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		s := storefault.New(mem.New(), plan(lost))
		_, err := retry.New(s, nil).Put(ctx, "key", []byte("mine"), store.Condition{IfAbsent: true})
		if !errors.Is(err, store.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want %v and %v", err, store.ErrUnknownOutcome, context.DeadlineExceeded)
		}
		if n := len(s.Calls()); n != 1 {
			t.Errorf("%d calls, want one", n)
		}
	})
}
