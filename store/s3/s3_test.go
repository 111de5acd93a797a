package s3_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
		{501, "NotImplemented", nil, store.ErrUnknownOutcome, false},
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

func TestRequestsAreBoundedInTime(t *testing.T) {
	server, _ := fake(t)
	c := server.Config("bucket")
	c.Timeout = 50 * time.Millisecond
	s := open(t, c)
	put(t, s, "key", "x")
	server.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { fakes3.Hang(r) })
	for name, call := range map[string]func() error{
		"get":  func() error { _, err := s.Get(t.Context(), "key", nil); return err },
		"head": func() error { _, err := s.Head(t.Context(), "key"); return err },
		"put":  func() error { _, err := s.Put(t.Context(), "key", nil, store.Condition{}); return err },
	} {
		err := call()
		if !errors.Is(err, context.DeadlineExceeded) || store.IsPermanent(err) || !strings.Contains(err.Error(), "no answer within 50ms") {
			t.Errorf("%s: got error %v, want a passing one that says how long it waited", name, err)
		}
	}
	// The same for a body that stops coming.
	server.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Length", "10")
		w.Header().Set("ETag", `"e"`)
		if _, err := w.Write([]byte("01234")); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	})
	if _, _, err := store.ReadAll(t.Context(), s, "key", 100); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within") {
		t.Errorf("body: got error %v, want %v", err, context.DeadlineExceeded)
	}
	if d := s3.UploadTime(8 << 20); d != 64*time.Second {
		t.Errorf("8 MiB add %v to the timeout, want 64s", d)
	}
}

func TestCancelledPutIsUnknown(t *testing.T) {
	server, s := fake(t)
	ctx, cancel := context.WithCancel(t.Context())
	server.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		cancel()
		fakes3.Hang(r)
	})
	_, err := s.Put(ctx, "key", []byte("x"), store.Condition{IfAbsent: true})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("got error %v, want %v and %v", err, context.Canceled, store.ErrUnknownOutcome)
	}
}

func TestRequestsOnTheWire(t *testing.T) {
	server, s := fake(t)
	info := put(t, s, "a%2Fb c", "x")
	if _, err := s.Put(t.Context(), "a%2Fb c", []byte("y"), store.Condition{IfMatch: info.ETag}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "new", []byte("y"), store.Condition{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	requests := server.Requests()
	if len(requests) != 3 {
		t.Fatalf("%d requests, want 3", len(requests))
	}
	if got, want := requests[0].Path, "/bucket/a%252Fb%20c"; got != want {
		t.Errorf("path %q, want %q", got, want)
	}
	if got := requests[1].Header.Get("If-Match"); got != info.ETag || strings.Contains(got, `"`) {
		t.Errorf("If-Match is %q, want %q without quotes", got, info.ETag)
	}
	if got := requests[2].Header.Get("If-None-Match"); got != "*" {
		t.Errorf("If-None-Match is %q, want *", got)
	}
	for _, r := range requests {
		if got := r.Header.Get("Content-Type"); got != "application/octet-stream" {
			t.Errorf("Content-Type is %q", got)
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Amz-Checksum-") || name == "X-Amz-Trailer" || name == "X-Amz-Sdk-Checksum-Algorithm" {
				t.Errorf("the header %s is sent, which older services refuse", name)
			}
		}
		if r.Conn != requests[0].Conn {
			t.Errorf("two requests in turn come over two connections")
		}
	}
}

func TestChecksumsOnRequest(t *testing.T) {
	server, _ := fake(t)
	c := server.Config("bucket")
	c.Checksum = "when_supported"
	put(t, open(t, c), "key", "x")
	if got := server.Requests()[0].Header.Get("X-Amz-Checksum-Crc32"); got == "" {
		t.Error("no checksum is sent")
	}
	c.Checksum = "always"
	if _, err := s3.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "when_required or when_supported") {
		t.Errorf("got error %v, want one that says what there is", err)
	}
}

func TestServiceThatWantsQuotes(t *testing.T) {
	server, s := fake(t)
	server.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if m := r.Header.Get("If-Match"); m != "" && !strings.HasPrefix(m, `"`) {
			fakes3.Fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		next.ServeHTTP(w, r)
	})
	info := put(t, s, "key", "0")
	for _, body := range []string{"1", "2"} {
		server.Forget()
		next, err := s.Put(t.Context(), "key", []byte(body), store.Condition{IfMatch: info.ETag})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), "key", []byte("x"), store.Condition{IfMatch: info.ETag}); !errors.Is(err, store.ErrPrecondition) {
			t.Errorf("stale: got error %v, want %v", err, store.ErrPrecondition)
		}
		wantBody(t, s, "key", body)
		info = next
	}
	if n := server.Count(http.MethodPut); n != 2 {
		t.Errorf("%d puts at the second time, want 2: the form is known by then", n)
	}
}

func TestRanges(t *testing.T) {
	server, s := fake(t)
	put(t, s, "key", "0123456789")
	// A service that does not know ranges sends everything.
	server.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del("Range")
		r.Header.Del("Authorization") // Range may be signed: ask as nobody
		if _, err := w.Write([]byte("0123456789")); err != nil {
			t.Error(err)
		}
	})
	for opts, want := range map[store.GetOptions]string{
		{Offset: 3, Length: 4}: "3456", {Offset: 8}: "89", {Length: 2}: "01", {Offset: 8, Length: 10}: "89",
	} {
		obj, err := s.Get(t.Context(), "key", &opts)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(obj.Body)
		if err != nil || string(body) != want || obj.Size != 10 {
			t.Errorf("%+v: got %q of %d (%v), want %q of 10", opts, body, obj.Size, err, want)
		}
		if err := obj.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Get(t.Context(), "key", &store.GetOptions{Offset: 10}); !errors.Is(err, store.ErrBadRange) {
		t.Errorf("got error %v, want %v", err, store.ErrBadRange)
	}
	// And one that answers with another range is not believed.
	server.Intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Range", "bytes 0-3/10")
		w.WriteHeader(http.StatusPartialContent)
		if _, err := w.Write([]byte("0123")); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.Get(t.Context(), "key", &store.GetOptions{Offset: 3, Length: 4}); err == nil {
		t.Error("another range than was asked for is taken")
	}
}

func TestTLS(t *testing.T) {
	server, certificate := fakes3.NewTLS(t)
	server.CreateBucket(t, "bucket")
	if _, err := open(t, server.Config("bucket")).Head(t.Context(), "key"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got error %v, want one about the certificate", err)
	}
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate()}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	s := open(t, server.Config("bucket"))
	put(t, s, "key", "x")
	wantBody(t, s, "key", "x")
	if _, err := s.Touch(t.Context(), "key"); err != nil {
		t.Error(err)
	}
	first := server.Requests()
	for _, r := range first[len(first)-4:] {
		if r.Conn != first[len(first)-1].Conn {
			t.Error("requests in turn come over several connections")
		}
	}
}

func TestVirtualHost(t *testing.T) {
	server, _ := fake(t)
	hosts := make(chan string, 1)
	server.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		hosts <- r.Host + r.URL.Path
		w.WriteHeader(http.StatusNoContent)
	})
	c := server.Config("bucket")
	c.Endpoint, c.PathStyle = "http://s3.example.test:9000", false
	s := open(t, s3.WithDial(c, func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "bucket.s3.example.test:9000" {
			t.Errorf("dials %s", addr)
		}
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(server.Endpoint, "http://"))
	}))
	if err := s.Delete(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	if got, want := <-hosts, "bucket.s3.example.test:9000/key"; got != want {
		t.Errorf("asks for %s, want %s", got, want)
	}
}

func TestDefaultCredentials(t *testing.T) {
	server, _ := fake(t)
	c := server.Config("bucket")
	c.AccessKey, c.SecretKey = "", ""
	server.Setenv(t)
	put(t, open(t, c), "key", "x")

	fakes3.Setenv(t, "", "")
	_, err := open(t, c).Put(t.Context(), "key", nil, store.Condition{IfAbsent: true})
	if !errors.Is(err, store.ErrAccess) || !store.IsPermanent(err) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("without credentials: got error %v, want %v and what to set", err, store.ErrAccess)
	}

	profile := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(profile, []byte("[default]\naws_access_key_id = fake\naws_secret_access_key = fakesecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", profile)
	wantBody(t, open(t, c), "key", "x")
}

func TestRegionAndEndpointOfTheEnvironment(t *testing.T) {
	server, _ := fake(t)
	server.Setenv(t)
	t.Setenv("AWS_ENDPOINT_URL_S3", server.Endpoint)
	s := open(t, s3.Config{Bucket: "bucket", PathStyle: true})
	put(t, s, "key", "x")
	if got, want := s.String(), "s3://bucket?endpoint="+server.Endpoint; got != want {
		t.Errorf("it is called %s, want %s", got, want)
	}
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	if got := open(t, s3.Config{Bucket: "bucket"}).String(); got != "s3://bucket" {
		t.Errorf("on AWS it is called %s, want s3://bucket", got)
	}
}

func TestOpenErrors(t *testing.T) {
	for name, c := range map[string]s3.Config{
		"the bucket's name is missing":            {},
		"write http://host:port":                  {Bucket: "b", Endpoint: "ftp://host"},
		"credentials do not belong in the endpoi": {Bucket: "b", Endpoint: "http://me:secret@host"},
	} {
		_, err := s3.Open(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("got error %v, want %q", err, name)
		}
	}
}

func TestResolve(t *testing.T) {
	for _, tc := range []struct{ region, endpoint, wantRegion, wantEndpoint string }{
		{"", "", "", ""},
		{"eu-central-1", "", "eu-central-1", ""},
		{"us-gov-west-1", "", "us-gov-west-1", ""},
		{"anything", "http://127.0.0.1:9000", "anything", "http://127.0.0.1:9000"},
		{"nyc3", "", "nyc3", "https://nyc3.digitaloceanspaces.com"},
		{"yandex", "", "ru-central1", "https://storage.yandexcloud.net"},
		{"ru-central1", "", "ru-central1", "https://storage.yandexcloud.net"},
		{"wa-us-east-1", "", "us-east-1", "https://s3.us-east-1.wasabisys.com"},
		{"here.minio.example:9000", "", "here", "https://minio.example:9000"},
		{"minio", "", "minio", "https://minio"},
	} {
		region, endpoint := s3.Resolve(tc.region, tc.endpoint)
		if region != tc.wantRegion || endpoint != tc.wantEndpoint {
			t.Errorf("Resolve(%q, %q) = %q, %q, want %q, %q", tc.region, tc.endpoint, region, endpoint, tc.wantRegion, tc.wantEndpoint)
		}
	}
}
