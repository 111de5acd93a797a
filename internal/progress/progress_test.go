package progress_test

import (
	"sync"
	"testing"

	"github.com/boule-db/boule/internal/progress"
)

func TestCounter(t *testing.T) {
	var told []int64
	c := progress.New(func(done, total int64) {
		if told = append(told, done); total != 100 {
			t.Errorf("total %d", total)
		}
	}, 100)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 5 {
				c.Add(2)
			}
		})
	}
	wg.Wait()
	for i, done := range told {
		if done != int64(2*i+2) {
			t.Fatalf("told %v", told)
		}
	}
	if len(told) != 50 {
		t.Errorf("told %d times", len(told))
	}
	progress.New(nil, 1).Add(1) // nobody wants to know
}
