package budget_test

import (
	"context"
	"fmt"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/mem"
	"github.com/boule-db/boule/store/retry"
)

func Example() {
	limiter := budget.NewLimiter(nil) // one for the whole process
	s := retry.New(budget.New(mem.New(), limiter), nil)
	ctx := budget.WithFlush(context.Background())
	for i := range 3 {
		if _, err := s.Put(ctx, fmt.Sprint("key", i), []byte("body"), store.Condition{}); err != nil {
			fmt.Println(err)
		}
	}
	stats := limiter.Stats()
	fmt.Println(stats.Requests, stats.Sent)
	// Output:
	// map[put:3] 12
}
