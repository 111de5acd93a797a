package store

import (
	"context"
	"iter"
)

// A Verb names a kind of request, for budgets and counters.
type Verb string

// The verbs. A Touch is a copy (or a get and a put) and a head; a List is one
// request for every page.
const (
	VerbPut    Verb = "put"
	VerbGet    Verb = "get"
	VerbHead   Verb = "head"
	VerbList   Verb = "list"
	VerbDelete Verb = "delete"
	VerbCopy   Verb = "copy"
	VerbBucket Verb = "bucket" // about the bucket itself
)

// A Gate is called before each request. It may wait. If it fails, the request
// is not sent.
type Gate func(ctx context.Context, verb Verb) error

// A Gater is a store in which one call may cost several requests. Gate returns
// the same store with the gate before each of them; ok is false if the store
// (a decorator of another one) can't, after all.
type Gater interface {
	Gate(gate Gate) (s Store, ok bool)
}

// A Preparer is a store that can tell whether what it stands on, its bucket, is
// there. Prepare returns ErrNoBucket if not, or creates it if create is true.
type Preparer interface {
	Prepare(ctx context.Context, create bool) error
}

// Prepare calls the Prepare method of s if it has one.
func Prepare(ctx context.Context, s Store, create bool) error {
	if p, ok := s.(Preparer); ok {
		return p.Prepare(ctx, create)
	}
	return nil
}

// ListAfter is s.List without the keys up to and including after. Stores that
// have a method of that name and do not have to begin at the beginning save
// the requests.
func ListAfter(ctx context.Context, s Store, prefix, after string) iter.Seq2[Info, error] {
	if after == "" {
		return s.List(ctx, prefix)
	}
	if l, ok := s.(interface {
		ListAfter(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	}); ok {
		return l.ListAfter(ctx, prefix, after)
	}
	return func(yield func(Info, error) bool) {
		for info, err := range s.List(ctx, prefix) {
			if err == nil && info.Key <= after {
				continue
			}
			if !yield(info, err) {
				return
			}
		}
	}
}
