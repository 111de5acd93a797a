package retry

import "context"

type observerKey struct{}

// Observe returns a context in which calls tell f of each attempt that failed and is followed by another one: what they return comes
// much later. f is called by whoever makes the call, maybe by several at a time, and should return soon.
func Observe(ctx context.Context, f func(error)) context.Context {
	return context.WithValue(ctx, observerKey{}, f)
}

func observe(ctx context.Context, err error) {
	if f, ok := ctx.Value(observerKey{}).(func(error)); ok {
		f(err)
	}
}
