package s3_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/s3"
)

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
