package store

import "context"

type bucketKey struct{}

// ObserveBucket returns a context in which stores tell f of each request about their bucket itself ([VerbBucket]). A call may make such a
// request before its own, which therefore whoever counts calls does not know of.
func ObserveBucket(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, bucketKey{}, f)
}

// AskedBucket is for stores: it says that a request about the bucket is sent.
func AskedBucket(ctx context.Context) {
	if f, ok := ctx.Value(bucketKey{}).(func()); ok {
		f()
	}
}
