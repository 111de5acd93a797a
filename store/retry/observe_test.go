package retry_test

import (
	"context"
	"errors"
	"testing"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/retry"
)

// TestObserve tells of the attempts that others follow.
func TestObserve(t *testing.T) {
	each(t, func(t *testing.T, s *storefault.Store, call func(context.Context, store.Store) error) {
		for failures := range 6 {
			if err := s.Unwrap().Delete(t.Context(), "new"); err != nil {
				t.Fatal(err)
			}
			s.SetPlan(storefault.First(failures, storefault.Fault{Fail: true}))
			told := 0
			ctx := retry.Observe(t.Context(), func(err error) {
				told++
				if !errors.Is(err, storefault.ErrInjected) {
					t.Errorf("told of %v", err)
				}
			})
			_ = call(ctx, retry.New(s, nil))
			if want := min(failures, 3); told != want {
				t.Errorf("%d failures: told of %d, want %d", failures, told, want)
			}
		}
	})
}
