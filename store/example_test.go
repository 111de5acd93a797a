package store_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

func Example() {
	ctx := context.Background()
	s := store.WithPrefix(mem.New(), "replicas/")

	// Only one of several writers can create an object.
	info, err := s.Put(ctx, "leader", []byte("alpha"), store.Condition{IfAbsent: true})
	fmt.Println(info.Key, info.Size, err)
	_, err = s.Put(ctx, "leader", []byte("beta"), store.Condition{IfAbsent: true})
	fmt.Println(errors.Is(err, store.ErrPrecondition))

	// And only one of those who know its ETag can replace it.
	_, err = s.Put(ctx, "leader", []byte("beta"), store.Condition{IfMatch: info.ETag})
	fmt.Println(err)

	body, _, err := store.ReadAll(ctx, s, "leader", 100)
	fmt.Println(string(body), err)
	// Output:
	// leader 5 <nil>
	// true
	// <nil>
	// beta <nil>
}
