package fakes3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/boule-db/boule/store/s3"
)

// The only credentials that the service takes, and its region.
const (
	AccessKey = "fake"
	SecretKey = "fakesecret"
	Region    = "us-east-1"
)

// A Server is an S3 service on loopback.
type Server struct {
	Endpoint string // its URL

	backend *s3mem.Backend
	handler http.Handler
	writes  sync.Mutex // s3mem tests conditions outside its own lock

	mu        sync.Mutex // guards the fields below
	intercept func(http.ResponseWriter, *http.Request, http.Handler)
	requests  []Request
	ahead     time.Duration
}

// A Request is what the service has been asked for.
type Request struct {
	Method string
	Path   string // still escaped
	Query  url.Values
	Header http.Header
	Conn   string // the client's address: the same for one connection
}

// New starts a service and stops it at the end of the test.
func New(t testing.TB) *Server { return start(t, (*httptest.Server).Start) }

// NewTLS is New over TLS. Certificate returns what clients must trust.
func NewTLS(t testing.TB) (s *Server, certificate func() []byte) {
	var hs *httptest.Server
	s = start(t, func(h *httptest.Server) { hs = h; h.StartTLS() })
	return s, func() []byte { return hs.Certificate().Raw }
}

func start(t testing.TB, run func(*httptest.Server)) *Server {
	t.Helper()
	s, stop := serve(run)
	t.Cleanup(stop)
	return s
}

// Serve starts a service for a program that is no test, and returns what stops it.
func Serve() (s *Server, stop func()) { return serve((*httptest.Server).Start) }

func serve(run func(*httptest.Server)) (s *Server, stop func()) {
	s = &Server{}
	s.backend = s3mem.New(s3mem.WithTimeSource(clock{s}))
	s.handler = http.HandlerFunc(s.locked(gofakes3.New(s.backend,
		gofakes3.WithV4Auth(map[string]string{AccessKey: SecretKey}),
		gofakes3.WithTimeSource(clock{s}),
		gofakes3.WithTimeSkewLimit(0),
	).Server()))
	hs := httptest.NewUnstartedServer(s)
	run(hs)
	s.Endpoint = hs.URL
	return s, hs.Close
}

// locked serializes what may change something, once it has arrived.
func (s *Server) locked(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler) // cut upload
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			s.writes.Lock()
			defer s.writes.Unlock()
		}
		next.ServeHTTP(w, r)
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, Request{r.Method, r.URL.EscapedPath(), r.URL.Query(), r.Header.Clone(), r.RemoteAddr})
	intercept := s.intercept
	s.mu.Unlock()
	if intercept != nil {
		intercept(w, r, s.handler)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// Intercept makes f answer every request; it may pass it on to next, see
// Drop, LoseReply and Fail. Nil ends it.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Drop closes the connection without doing anything.
func Drop() { panic(http.ErrAbortHandler) }

// Hang neither answers nor does anything until the client gives up.
func Hang(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // the server notices the client's end only after the body
	<-r.Context().Done()
}

// LoseReply does what the request asks and closes the connection instead of
// answering.
func LoseReply(r *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	Drop()
}

// Fail answers with an error of the service's kind.
func Fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>as the test wants it</Message></Error>`, code)
}

// Requests returns the requests so far, refused ones included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count returns the number of requests so far with a method.
func (s *Server) Count(method string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Method == method {
			n++
		}
	}
	return n
}

// Forget makes Requests begin again.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// SetClock makes the times of objects from now on differ from the real time.
// The Date of answers stays right.
func (s *Server) SetClock(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

// clock is the service's time.
type clock struct{ s *Server }

func (c clock) Now() time.Time {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return time.Now().Add(c.s.ahead)
}

func (c clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// CreateBucket creates a bucket.
func (s *Server) CreateBucket(t testing.TB, name string) {
	t.Helper()
	if err := s.MakeBucket(name); err != nil {
		t.Fatalf("create bucket %q: %v", name, err)
	}
}

// MakeBucket is CreateBucket for a program that is no test.
func (s *Server) MakeBucket(name string) error {
	return s.backend.CreateBucket(context.Background(), name)
}

// Config returns how to open a bucket with the right credentials.
func (s *Server) Config(bucket string) s3.Config {
	return s3.Config{
		Bucket: bucket, Region: Region, Endpoint: s.Endpoint, PathStyle: true,
		AccessKey: AccessKey, SecretKey: SecretKey,
	}
}

// URL returns the store URL of a bucket, or of a prefix in it. Setenv provides
// the credentials.
func (s *Server) URL(bucket, prefix string) string {
	q := url.Values{"endpoint": {s.Endpoint}, "region": {Region}}
	return "s3://" + bucket + "/" + prefix + "?" + q.Encode()
}

// Setenv puts the credentials into the environment for the rest of the test,
// and keeps the machine's own configuration out of it.
func (s *Server) Setenv(t testing.TB) {
	t.Helper()
	Setenv(t, AccessKey, SecretKey)
}

// Setenv makes a key pair the only credentials that the default chain finds.
func Setenv(t testing.TB, accessKey, secretKey string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	for _, name := range []string{
		"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
	} {
		t.Setenv(name, "")
	}
	none := t.TempDir() + "/none"
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}
