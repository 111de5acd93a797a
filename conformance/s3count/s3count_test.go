package s3count_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/s3count"
	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/target"
)

func TestKindOf(t *testing.T) {
	tests := []struct {
		method, url string
		want        s3count.Kind
	}{
		{"GET", "/", s3count.List},
		{"GET", "/bucket", s3count.List},
		{"GET", "/bucket/", s3count.List},
		{"GET", "/bucket?list-type=2&prefix=a%2Fb", s3count.List},
		{"GET", "/bucket/?versions", s3count.List},
		{"GET", "/bucket/a", s3count.Get},
		{"GET", "/bucket/a/b?versionId=1", s3count.Get},
		{"GET", "/bucket/a?uploadId=x", s3count.List},
		{"HEAD", "/bucket/a", s3count.Head},
		{"PUT", "/bucket/a", s3count.Put},
		{"PUT", "/bucket/a?partNumber=1&uploadId=x", s3count.Part},
		{"POST", "/bucket/a?uploads", s3count.Post},
		{"POST", "/bucket?delete", s3count.Post},
		{"DELETE", "/bucket/a", s3count.Delete},
		{"OPTIONS", "/bucket/a", s3count.Other},
	}
	for _, c := range tests {
		if got := s3count.KindOf(httptest.NewRequest(c.method, c.url, nil)); got != c.want {
			t.Errorf("%s %s is %s, want %s", c.method, c.url, got, c.want)
		}
	}
}

// What an S3 client does through the proxy works, signatures included, and is counted to the byte.
func TestProxyCounts(t *testing.T) {
	server := fakes3.New(t)
	if err := server.MakeBucket("b"); err != nil {
		t.Fatal(err)
	}
	p := proxy(t, server.Endpoint)
	fakes3.Setenv(t, fakes3.AccessKey, fakes3.SecretKey)
	stores, err := target.Open(t.Context(), target.Target{S3: &target.S3{Bucket: "b", Region: fakes3.Region, Endpoint: p.URL}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := p.Counts()
	body := bytes.Repeat([]byte("x"), 100_000)
	s := stores.Chunks
	for _, key := range []string{"one", "two"} {
		if _, err := s.Put(t.Context(), key, body, store.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	o, err := s.Get(t.Context(), "one", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(o.Body)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := o.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Head(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	d := p.Counts().Minus(before)
	for kind, want := range map[s3count.Kind]int64{s3count.Put: 2, s3count.Get: 1, s3count.Head: 1, s3count.Delete: 1, s3count.List: 0} {
		if d.Requests[kind] != want {
			t.Errorf("%d requests of kind %s, want %d", d.Requests[kind], kind, want)
		}
	}
	if d.Sum() != 5 || d.ClassA() != 2 {
		t.Errorf("%d requests, %d of class A; want 5 and 2", d.Sum(), d.ClassA())
	}
	if d.Up != 2*int64(len(body)) || d.Down != int64(len(body)) {
		t.Errorf("%d bytes up and %d down, want twice and once %d", d.Up, d.Down, len(body))
	}
}

// A request is delayed before the service sees it, and one that is given up meanwhile never gets there.
func TestProxyLatency(t *testing.T) {
	asked := make(chan string, 8)
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Host }))
	t.Cleanup(service.Close)
	p := proxy(t, service.URL)
	get := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/b/k", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	const latency = 30 * time.Millisecond
	p.SetLatency(latency)
	began := time.Now()
	if err := get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < latency {
		t.Errorf("a request took %v, want at least %v", took, latency)
	}
	if host := <-asked; !strings.HasSuffix(p.URL, host) {
		t.Errorf("the service was asked as %s, want the name that the client knows, %s", host, p.URL)
	}
	p.SetLatency(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := get(ctx); err == nil {
		t.Error("a request that takes an hour has an answer")
	}
	p.SetLatency(0)
	if err := get(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-asked
	if len(asked) != 0 {
		t.Error("the request that was given up reached the service")
	}
	if n := p.Counts().Requests[s3count.Get]; n != 3 {
		t.Errorf("%d requests counted, want 3", n)
	}
}

func proxy(t *testing.T, service string) *s3count.Proxy {
	t.Helper()
	p, err := s3count.New(service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
