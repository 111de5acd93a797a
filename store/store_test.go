package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

func TestIsPermanent(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"other", io.ErrUnexpectedEOF, false},
		{"not exist", fmt.Errorf("get: %w", store.ErrNotExist), true},
		{"precondition", store.ErrPrecondition, true},
		{"access", store.ErrAccess, true},
		{"cancelled", context.Canceled, true},
		{"deadline of an attempt", context.DeadlineExceeded, false},
		{"unknown outcome", store.ErrUnknownOutcome, false},
		{"unknown outcome of a cancelled put", errors.Join(store.ErrUnknownOutcome, context.Canceled), false},
		{"says so itself", fmt.Errorf("put: %w", verdict(true)), true},
		{"says not", verdict(false), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := store.IsPermanent(tc.err); got != tc.want {
				t.Errorf("IsPermanent(%v) = %v, want %v", tc.err, got, tc.want)
			}
		})
	}
}

type verdict bool

func (v verdict) Error() string   { return "verdict" }
func (v verdict) Permanent() bool { return bool(v) }

func TestIsNotExist(t *testing.T) {
	for err, want := range map[error]bool{
		store.ErrNotExist: true, store.ErrNoBucket: true, store.ErrAccess: false, io.EOF: false,
	} {
		if got := store.IsNotExist(fmt.Errorf("head: %w", err)); got != want {
			t.Errorf("IsNotExist(%v) = %v, want %v", err, got, want)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for key, ok := range map[string]bool{
		"a": true, "/": true, "é": true, "\x00": true, strings.Repeat("k", 1024): true,
		"": false, "\xff": false, strings.Repeat("k", 1025): false,
	} {
		if err := store.CheckKey(key); (err == nil) != ok || err != nil && !errors.Is(err, store.ErrBadKey) {
			t.Errorf("CheckKey(%.20q): got error %v, want ok = %v", key, err, ok)
		}
	}
}

func TestRange(t *testing.T) {
	for _, tc := range []struct {
		opts        *store.GetOptions
		size        int64
		off, length int64
		err         error
	}{
		{nil, 10, 0, 10, nil},
		{&store.GetOptions{}, 0, 0, 0, nil},
		{&store.GetOptions{Length: 3}, 0, 0, 0, nil},
		{&store.GetOptions{Offset: 9, Length: 3}, 10, 9, 1, nil},
		{&store.GetOptions{Offset: 10}, 10, 0, 0, store.ErrBadRange},
		{&store.GetOptions{Offset: 1, Length: 1 << 62}, 10, 1, 9, nil},
		{&store.GetOptions{Offset: -1}, 10, 0, 0, store.ErrBadRange},
	} {
		off, length, err := tc.opts.Range(tc.size)
		if off != tc.off || length != tc.length || !errors.Is(err, tc.err) {
			t.Errorf("%+v of %d: got %d, %d, %v, want %d, %d, %v", tc.opts, tc.size, off, length, err, tc.off, tc.length, tc.err)
		}
	}
}

func TestReadAll(t *testing.T) {
	ctx := t.Context()
	s := storefault.New(mem.New(), nil)
	if _, err := s.Put(ctx, "key", []byte("0123456789"), store.Condition{}); err != nil {
		t.Fatal(err)
	}
	body, info, err := store.ReadAll(ctx, s, "key", 10)
	if string(body) != "0123456789" || info.Size != 10 || info.Key != "key" || err != nil {
		t.Errorf("got %q, %+v, %v, want the object", body, info, err)
	}
	if _, _, err := store.ReadAll(ctx, s, "key", 9); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("over the limit: got error %v, want %v", err, store.ErrTooLarge)
	}
	if _, _, err := store.ReadAll(ctx, s, "none", 9); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("absent: got error %v, want %v", err, store.ErrNotExist)
	}
	s.SetPlan(storefault.Always(storefault.Fault{After: 4}))
	if _, _, err := store.ReadAll(ctx, s, "key", 10); !errors.Is(err, storefault.ErrInjected) {
		t.Errorf("broken body: got error %v, want %v", err, storefault.ErrInjected)
	}
}

// short claims that its objects are longer than they are, or shorter.
type short struct {
	store.Store
	size int64
}

func (s short) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	obj, err := s.Store.Get(ctx, key, opts)
	if err == nil {
		obj.Size = s.size
	}
	return obj, err
}

func TestReadAllOfWrongSize(t *testing.T) {
	s := mem.New()
	if _, err := s.Put(t.Context(), "key", []byte("0123456789"), store.Condition{}); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{9, 11} {
		if _, _, err := store.ReadAll(t.Context(), short{s, size}, "key", 20); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("10 bytes of %d: got error %v, want %v", size, err, io.ErrUnexpectedEOF)
		}
	}
}

func keys(t *testing.T, seq iter.Seq2[store.Info, error]) []string {
	t.Helper()
	var out []string
	for info, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, info.Key)
	}
	return out
}

func TestWithPrefix(t *testing.T) {
	ctx := t.Context()
	base := mem.New()
	if got := store.WithPrefix(base, ""); got != store.Store(base) {
		t.Errorf("an empty prefix gives %v, want the store itself", got)
	}
	in := store.WithPrefix(base, "p/")
	for _, key := range []string{"p/", "p/a", "q", "p"} {
		if _, err := base.Put(ctx, key, []byte("x"), store.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"a"}, keys(t, in.List(ctx, ""))); d != "" {
		t.Errorf("list inside (- want, + got):\n%s", d)
	}
	info, err := in.Put(ctx, "b", []byte("x"), store.Condition{})
	if err != nil || info.Key != "b" {
		t.Errorf("put returns %+v, %v, want the key b", info, err)
	}
	if d := cmp.Diff([]string{"p", "p/", "p/a", "p/b", "q"}, keys(t, base.List(ctx, ""))); d != "" {
		t.Errorf("list outside (- want, + got):\n%s", d)
	}
	if got := store.KeyLimit(in); got != 1022 {
		t.Errorf("the longest key has %d bytes, want 1022", got)
	}
	if got := store.KeyLimit(storefault.New(store.WithPrefix(in, "123"), nil)); got != 1019 {
		t.Errorf("the longest key of a nest has %d bytes, want 1019", got)
	}
}

// named has a URL.
type named struct {
	store.Store
	url string
}

func (n named) String() string { return n.url }

func TestPrefixInURL(t *testing.T) {
	for url, want := range map[string]string{
		"s3://bucket":                           "s3://bucket/p/",
		"s3://bucket?endpoint=http://host:9000": "s3://bucket/p/?endpoint=http://host:9000",
		"file:///dir/":                          "file:///dir/p/",
	} {
		if got := store.WithPrefix(named{mem.New(), url}, "p/").String(); got != want {
			t.Errorf("%s below p/ is %s, want %s", url, got, want)
		}
	}
}
