package s3_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/retry"
	"github.com/boule-db/boule/store/s3"
)

func open(t testing.TB, c s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fake returns a service with a bucket, and a store in it.
func fake(t testing.TB) (*fakes3.Server, *s3.Store) {
	t.Helper()
	server := fakes3.New(t)
	server.CreateBucket(t, "bucket")
	return server, open(t, server.Config("bucket"))
}

func put(t testing.TB, s store.Store, key, body string) store.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, []byte(body), store.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func wantBody(t testing.TB, s store.Store, key, want string) {
	t.Helper()
	body, _, err := store.ReadAll(t.Context(), s, key, 1<<20)
	if err != nil || string(body) != want {
		t.Errorf("%q is %q (%v), want %q", key, body, err, want)
	}
}

func TestAnswersAreClassified(t *testing.T) {
	server, s := fake(t)
	cond := store.Condition{IfAbsent: true}
	for _, tc := range []struct {
		status    int
		code      string
		plain     error // of an unconditional put; nil: none of the sentinels
		cond      error // of a conditional one
		permanent bool  // the plain one
	}{
		{400, "InvalidRequest", nil, nil, true},
		{400, "RequestTimeout", nil, nil, false},
		{400, "KeyTooLongError", store.ErrBadKey, store.ErrBadKey, true},
		{400, "ExpiredToken", store.ErrAccess, store.ErrAccess, true},
		{400, "XAmzContentSHA256Mismatch", nil, nil, true},
		{401, "", store.ErrAccess, store.ErrAccess, true},
		{403, "AccessDenied", store.ErrAccess, store.ErrAccess, true},
		{403, "SignatureDoesNotMatch", store.ErrAccess, store.ErrAccess, true},
		{403, "RequestTimeTooSkewed", store.ErrAccess, store.ErrAccess, true},
		{404, "NoSuchBucket", store.ErrNoBucket, store.ErrNoBucket, true},
		{404, "NoSuchThing", nil, nil, true},
		{409, "ConditionalRequestConflict", nil, store.ErrUnknownOutcome, false},
		{409, "InvalidBucketState", nil, nil, true},
		{412, "PreconditionFailed", store.ErrPrecondition, store.ErrPrecondition, true},
		{429, "TooManyRequests", nil, nil, false},
		{500, "InternalError", nil, store.ErrUnknownOutcome, false},
		{501, "", nil, store.ErrUnknownOutcome, false},
		{502, "", nil, store.ErrUnknownOutcome, false},
		{503, "SlowDown", nil, store.ErrUnknownOutcome, false},
	} {
		t.Run(tc.code, func(t *testing.T) {
			server.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { fakes3.Fail(w, tc.status, tc.code) })
			check := func(what string, err, want error, permanent bool) {
				t.Helper()
				if err == nil {
					t.Fatalf("%s: no error", what)
				}
				for _, sentinel := range []error{
					store.ErrNotExist, store.ErrPrecondition, store.ErrNotModified, store.ErrNoBucket,
					store.ErrAccess, store.ErrBadKey, store.ErrBadRange, store.ErrUnknownOutcome,
				} {
					if errors.Is(err, sentinel) != errors.Is(want, sentinel) {
						t.Errorf("%s: got error %v, want one that is %v and not %v", what, err, want, sentinel)
					}
				}
				if store.IsPermanent(err) != permanent {
					t.Errorf("%s: IsPermanent(%v) = %v, want %v", what, err, !permanent, permanent)
				}
				for _, part := range []string{`"the key"`, "s3://bucket", server.Endpoint, tc.code} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s: error %q does not name %s", what, err, part)
					}
				}
			}
			_, err := s.Put(t.Context(), "the key", nil, store.Condition{})
			check("put", err, tc.plain, tc.permanent)
			_, err = s.Put(t.Context(), "the key", nil, cond)
			permanent := tc.permanent && !errors.Is(tc.cond, store.ErrUnknownOutcome)
			check("conditional put", err, tc.cond, permanent)
		})
	}
}

// A service that has no conditional puts is told from one that fails.
func TestNoConditionalPuts(t *testing.T) {
	server, s := fake(t)
	server.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		fakes3.Fail(w, http.StatusNotImplemented, "NotImplemented")
	})
	_, err := s.Put(t.Context(), "key", nil, store.Condition{IfAbsent: true})
	if !errors.Is(err, errors.ErrUnsupported) || errors.Is(err, store.ErrUnknownOutcome) || !store.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestMissingBucket(t *testing.T) {
	server, _ := fake(t)
	s := open(t, server.Config("no-such-bucket"))
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrNoBucket) || !store.IsPermanent(err) || !strings.Contains(err.Error(), "no-such-bucket") {
			t.Errorf("%s: got error %v, want a permanent %v that names the bucket", what, err, store.ErrNoBucket)
		}
	}
	_, err := s.Put(ctx, "key", nil, store.Condition{})
	check("put", err)
	_, err = s.Get(ctx, "key", nil)
	check("get", err)
	_, err = s.Head(ctx, "key")
	check("head", err)
	_, err = s.Touch(ctx, "key")
	check("touch", err)
	check("delete", s.Delete(ctx, "key"))
	for _, err := range s.List(ctx, "") {
		check("list", err)
	}
	check("prepare", s.Prepare(ctx, false))
	if err := s.Prepare(ctx, true); err != nil {
		t.Fatalf("create: %v", err)
	}
	put(t, s, "key", "x")
	if err := s.Prepare(ctx, true); err != nil {
		t.Errorf("prepare of an existing bucket: %v", err)
	}
}

func TestHeadOfNothingAsksForTheBucketOnce(t *testing.T) {
	server, s := fake(t)
	for range 3 {
		if _, err := s.Head(t.Context(), "nothing"); !errors.Is(err, store.ErrNotExist) {
			t.Fatalf("got error %v, want %v", err, store.ErrNotExist)
		}
	}
	if n := len(server.Requests()); n != 4 {
		t.Errorf("%d requests, want 3 heads and one for the bucket", n)
	}
}

func TestBare404(t *testing.T) {
	// An answer that does not say what is missing: an error that XML has no
	// characters for, or a proxy's.
	server, s := fake(t)
	put(t, s, "there", "x")
	server.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	})
	if _, err := s.Get(t.Context(), "nothing", nil); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("got error %v, want %v", err, store.ErrNotExist)
	}
	if _, err := s.Touch(t.Context(), "nothing"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("touch: got error %v, want %v", err, store.ErrNotExist)
	}
	if _, err := s.Get(t.Context(), "there", nil); err == nil || errors.Is(err, store.ErrNotExist) {
		t.Errorf("of an object that is there: got error %v, want another one", err)
	}
}

func TestCutAnswers(t *testing.T) {
	// The status arrives, and not what the answer says about it.
	server, s := fake(t)
	ctx := t.Context()
	put := func(cond store.Condition) error {
		_, err := s.Put(ctx, "key", []byte("x"), cond)
		return err
	}
	ifAbsent := store.Condition{IfAbsent: true}
	for _, tt := range []struct {
		status    int
		request   func() error
		want      error // nil: none that has a name
		permanent bool
	}{
		{404, func() error { return put(store.Condition{}) }, nil, false},
		{404, func() error { return put(ifAbsent) }, nil, false},
		{400, func() error { return put(ifAbsent) }, nil, false}, // perhaps a RequestTimeout
		{409, func() error { return put(ifAbsent) }, store.ErrUnknownOutcome, false},
		{412, func() error { return put(ifAbsent) }, store.ErrPrecondition, true},
		{503, func() error { return put(ifAbsent) }, store.ErrUnknownOutcome, false},
		{403, func() error { return put(store.Condition{}) }, store.ErrAccess, true},
		{404, func() error { return s.Delete(ctx, "key") }, nil, false},
	} {
		server.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Length", "247")
			w.WriteHeader(tt.status)
			_, _ = w.Write([]byte("<?xml"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		err := tt.request()
		var e *s3.Error
		if !errors.As(err, &e) || e.Status != tt.status || store.IsPermanent(err) != tt.permanent {
			t.Errorf("%d: got error %v, permanent %v, want permanent %v", tt.status, err, store.IsPermanent(err), tt.permanent)
		}
		if tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%d: got error %v, want %v", tt.status, err, tt.want)
		}
		if tt.want == nil && !strings.Contains(err.Error(), "rest of the answer did not arrive") {
			t.Errorf("%d: got error %v, want that the answer was cut", tt.status, err)
		}
	}
}

func TestCreateBucketMeetsAnother(t *testing.T) {
	server := fakes3.New(t)
	s := open(t, server.Config("bucket"))
	server.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut {
			server.CreateBucket(t, "bucket") // somebody is faster
			fakes3.Fail(w, http.StatusConflict, "BucketAlreadyOwnedByYou")
			return
		}
		next.ServeHTTP(w, r)
	})
	if err := s.Prepare(t.Context(), true); err != nil {
		t.Errorf("got error %v, want success: the bucket is there", err)
	}
}

func TestPrepareWithObjectRightsOnly(t *testing.T) {
	server, s := fake(t)
	for code, want := range map[string]error{"AccessDenied": nil, "InvalidAccessKeyId": store.ErrAccess, "SignatureDoesNotMatch": store.ErrAccess} {
		server.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			fakes3.Fail(w, http.StatusForbidden, code)
		})
		if err := s.Prepare(t.Context(), true); !errors.Is(err, want) {
			t.Errorf("%s: got error %v, want %v", code, err, want)
		}
	}
}

func TestLostReplies(t *testing.T) {
	server, s := fake(t)
	loseFirst := func() {
		lost := false
		server.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !lost {
				lost = true
				fakes3.LoseReply(r, next)
			}
			next.ServeHTTP(w, r)
		})
	}
	cond := store.Condition{IfAbsent: true}
	loseFirst()
	if _, err := s.Put(t.Context(), "raw", []byte("x"), cond); !errors.Is(err, store.ErrUnknownOutcome) || store.IsPermanent(err) {
		t.Errorf("got error %v, want %v", err, store.ErrUnknownOutcome)
	}
	wantBody(t, s, "raw", "x")
	// With the layer above it, the put finds out that it has happened: the
	// retry must not take its own work for somebody else's.
	r := retry.New(s, &retry.Options{Waits: []time.Duration{time.Millisecond}})
	loseFirst()
	info, err := r.Put(t.Context(), "retried", []byte("y"), cond)
	if err != nil {
		t.Errorf("got error %v, want success", err)
	}
	if head, err := s.Head(t.Context(), "retried"); err != nil || head.ETag != info.ETag {
		t.Errorf("put returns %+v, the object is %+v (%v)", info, head, err)
	}
	loseFirst()
	if _, err := r.Put(t.Context(), "retried", []byte("z"), store.Condition{IfMatch: info.ETag}); err != nil {
		t.Errorf("swap: got error %v, want success", err)
	}
	wantBody(t, s, "retried", "z")
	loseFirst()
	if _, err := r.Put(t.Context(), "raw", []byte("other"), cond); !errors.Is(err, store.ErrPrecondition) {
		t.Errorf("of somebody else's object: got error %v, want %v", err, store.ErrPrecondition)
	}
}

func TestNothingWasSent(t *testing.T) {
	// Nobody listens there any more.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, s3.Config{Bucket: "bucket", Endpoint: "http://" + addr, PathStyle: true, AccessKey: "a", SecretKey: "s"})
	_, err = s.Put(t.Context(), "key", nil, store.Condition{IfAbsent: true})
	if err == nil || errors.Is(err, store.ErrUnknownOutcome) || store.IsPermanent(err) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got error %v, want a passing one that is known not to have happened", err)
	}
}
