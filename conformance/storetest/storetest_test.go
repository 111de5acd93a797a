package storetest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/storetest"
	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/file"
	"github.com/boule-db/boule/store/mem"
	"github.com/boule-db/boule/store/retry"
	"github.com/boule-db/boule/store/s3"
)

func TestMem(t *testing.T) {
	storetest.Run(t, func(testing.TB) store.Store { return mem.New() }, storetest.Expect{})
}

func newFile(t testing.TB, opts *file.Options) store.Store {
	t.Helper()
	s, err := file.New(filepath.Join(t.TempDir(), "store"), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFile(t *testing.T) {
	t.Run("durable", func(t *testing.T) {
		storetest.Run(t, func(t testing.TB) store.Store { return newFile(t, nil) }, storetest.Expect{})
	})
	t.Run("folding", func(t *testing.T) {
		storetest.Run(t, func(t testing.TB) store.Store {
			return newFile(t, &file.Options{NoSync: true, FoldCase: true})
		}, storetest.Expect{})
	})
	t.Run("two stores", func(t *testing.T) {
		// Every call goes to the other one of two stores on one directory.
		storetest.Run(t, func(t testing.TB) store.Store {
			dir := filepath.Join(t.TempDir(), "store")
			a, errA := file.New(dir, &file.Options{NoSync: true})
			b, errB := file.New(dir, &file.Options{NoSync: true})
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			return &alternating{stores: [2]store.Store{a, b}}
		}, storetest.Expect{})
	})
}

func TestPrefix(t *testing.T) {
	storetest.Run(t, func(t testing.TB) store.Store {
		return store.WithPrefix(store.WithPrefix(mem.New(), "outer/"), "in ner%2F")
	}, storetest.Expect{})
}

// fast are retries that don't make tests wait.
var fast = &retry.Options{Waits: []time.Duration{time.Millisecond}}

func TestRetry(t *testing.T) {
	storetest.Run(t, func(t testing.TB) store.Store {
		// Every third call fails, every fifth loses its reply.
		return retry.New(storefault.New(mem.New(), func(c storefault.Call) storefault.Fault {
			switch {
			case c.N%3 == 1:
				return storefault.Fault{Fail: true}
			case c.N%5 == 2:
				return storefault.Fault{Lost: true}
			}
			return storefault.Fault{}
		}), &retry.Options{Tries: 20, Waits: []time.Duration{time.Microsecond}})
	}, storetest.Expect{})
}

func TestBudget(t *testing.T) {
	storetest.Run(t, func(testing.TB) store.Store {
		return budget.New(mem.New(), budget.NewLimiter(&budget.Options{Rate: -1}))
	}, storetest.Expect{})
}

// deniedS3 are the ways to have wrong credentials.
func deniedS3(c s3.Config) map[string]func(testing.TB) store.Store {
	wrong := func(change func(*s3.Config)) func(testing.TB) store.Store {
		return func(t testing.TB) store.Store {
			t.Helper()
			c := c
			change(&c)
			return retry.New(openS3(t, c), fast)
		}
	}
	return map[string]func(testing.TB) store.Store{
		"wrong secret": wrong(func(c *s3.Config) { c.SecretKey += "x" }),
		"unknown key":  wrong(func(c *s3.Config) { c.AccessKey += "x" }),
	}
}

func openS3(t testing.TB, c s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fakeDeviations are what the embedded fake does differently.
var fakeDeviations = map[string]string{
	"ListAfterAbsent": "skips the key after a start-after that is no key itself",
}

func TestS3(t *testing.T) {
	fake := func(t *testing.T) s3.Config {
		server := fakes3.New(t)
		server.CreateBucket(t, "bucket")
		return server.Config("bucket")
	}
	t.Run("raw", func(t *testing.T) {
		c := fake(t)
		s := openS3(t, c)
		storetest.Run(t, func(testing.TB) store.Store { return s }, storetest.Expect{
			Deviations: fakeDeviations,
			Denied:     deniedS3(c),
		})
	})
	t.Run("stack", func(t *testing.T) {
		s := openS3(t, fake(t))
		storetest.Run(t, func(testing.TB) store.Store {
			return store.WithPrefix(retry.New(budget.New(s, budget.NewLimiter(&budget.Options{Rate: -1})), fast), "pre/fix/")
		}, storetest.Expect{Deviations: fakeDeviations})
	})
}
