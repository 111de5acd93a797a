package s3_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/conformance/storetest/fakes3"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/budget"
	"github.com/boule-db/boule/store/s3"
)

// old puts an object that is a day old.
func old(t *testing.T, server *fakes3.Server, s store.Store, key, body string) {
	t.Helper()
	server.SetClock(-24 * time.Hour)
	put(t, s, key, body)
	server.SetClock(0)
	server.Forget()
}

func isCopy(r *http.Request) bool { return r.Header.Get("X-Amz-Copy-Source") != "" }

// copyReply is a service's answer to a copy.
const copyReply = `<?xml version="1.0" encoding="UTF-8"?><CopyObjectResult><LastModified>2036-01-01T00:00:00.000Z</LastModified><ETag>"x"</ETag></CopyObjectResult>`

// deviate makes the service answer copies in another way.
func deviate(server *fakes3.Server, answer func(http.ResponseWriter)) {
	server.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if isCopy(r) {
			answer(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func wantFresh(t *testing.T, s store.Store, key, body string) {
	t.Helper()
	info, err := s.Touch(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.Head(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []time.Time{info.ModTime, head.ModTime} {
		if age := time.Since(got); age > time.Minute {
			t.Errorf("%v old after a touch", age)
		}
	}
	wantBody(t, s, key, body)
}

func methods(server *fakes3.Server) []string {
	var out []string
	for _, r := range server.Requests() {
		m := r.Method
		if r.Header.Get("X-Amz-Copy-Source") != "" {
			m = "COPY"
		}
		out = append(out, m)
	}
	return out
}

func TestTouchCopies(t *testing.T) {
	server, s := fake(t)
	old(t, server, s, "a%2F b+ü", "body")
	if _, err := s.Touch(t.Context(), "a%2F b+ü"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"COPY", "HEAD"}, methods(server)); d != "" {
		t.Errorf("requests (- want, + got):\n%s", d)
	}
	wantFresh(t, s, "a%2F b+ü", "body")
}

func TestTouchWhereCopiesLeaveTheTimeAlone(t *testing.T) {
	server, s := fake(t)
	old(t, server, s, "one", "body of one")
	old(t, server, s, "two", "body of two")
	deviate(server, func(w http.ResponseWriter) {
		if _, err := w.Write([]byte(copyReply)); err != nil {
			t.Error(err)
		}
	})
	wantFresh(t, s, "one", "body of one")
	if d := cmp.Diff([]string{"COPY", "HEAD", "GET", "PUT", "HEAD", "GET"}, methods(server)); d != "" {
		t.Errorf("requests of the first (- want, + got):\n%s", d)
	}
	server.Forget()
	wantFresh(t, s, "two", "body of two")
	if d := cmp.Diff([]string{"GET", "PUT", "HEAD", "GET"}, methods(server)); d != "" {
		t.Errorf("requests of the second (- want, + got):\n%s", d)
	}
}

func TestTouchWhereThereAreNoCopies(t *testing.T) {
	for _, status := range []int{http.StatusNotImplemented, http.StatusBadRequest, http.StatusMethodNotAllowed} {
		server, s := fake(t)
		old(t, server, s, "key", "body")
		deviate(server, func(w http.ResponseWriter) { fakes3.Fail(w, status, "NotImplemented") })
		wantFresh(t, s, "key", "body")
	}
}

func TestTouchDoesNotBringBackOldContents(t *testing.T) {
	server, s := fake(t)
	old(t, server, s, "key", "old")
	server.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch {
		case isCopy(r):
			fakes3.Fail(w, http.StatusNotImplemented, "NotImplemented")
		case r.Method == http.MethodGet:
			// Right after the touch has read the object, somebody replaces it.
			next.ServeHTTP(w, r)
			server.Intercept(nil)
			put(t, s, "key", "new")
		default:
			next.ServeHTTP(w, r)
		}
	})
	if _, err := s.Touch(t.Context(), "key"); err != nil {
		t.Errorf("got error %v, want success: the object is fresh", err)
	}
	wantBody(t, s, "key", "new")
}

func TestTouchFails(t *testing.T) {
	server, s := fake(t)
	old(t, server, s, "key", "body")
	deviate(server, func(w http.ResponseWriter) { fakes3.Fail(w, http.StatusForbidden, "AccessDenied") })
	if _, err := s.Touch(t.Context(), "key"); !errors.Is(err, store.ErrAccess) {
		t.Errorf("got error %v, want %v", err, store.ErrAccess)
	}
	deviate(server, func(w http.ResponseWriter) { fakes3.Fail(w, http.StatusServiceUnavailable, "SlowDown") })
	if _, err := s.Touch(t.Context(), "key"); err == nil || store.IsPermanent(err) {
		t.Errorf("got error %v, want a passing one", err)
	}
	if s3.TouchSlack > time.Minute {
		t.Errorf("an object may be %v old after a touch", s3.TouchSlack)
	}
}

func TestEveryRequestPassesTheGate(t *testing.T) {
	server, s := fake(t)
	ctx := t.Context()
	l := budget.NewLimiter(nil)
	b := budget.New(s, l)
	old(t, server, s, "key", "body")
	deviate(server, func(w http.ResponseWriter) {
		if _, err := w.Write([]byte(copyReply)); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.Touch(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	if err := b.Prepare(ctx, false); err != nil {
		t.Fatal(err)
	}
	for _, err := range b.List(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Delete(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	want := map[store.Verb]int64{"copy": 1, "head": 1, "get": 1, "put": 1, "bucket": 1, "list": 1, "delete": 1}
	if d := cmp.Diff(want, l.Stats().Requests); d != "" {
		t.Errorf("counted (- want, + got):\n%s", d)
	}
	if n := int64(len(server.Requests())); n != l.Stats().Total() {
		t.Errorf("the service has seen %d requests, %d were counted", n, l.Stats().Total())
	}
}

func TestListIsGatedByPage(t *testing.T) {
	server, s := fake(t)
	server.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		page := `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>a%2Fb+c%2B</Key><Size>1</Size><ETag>"e"</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>`
		if r.URL.Query().Get("continuation-token") == "t" {
			page = `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>z+</Key></Contents></ListBucketResult>`
		}
		if _, err := w.Write([]byte(page)); err != nil {
			t.Error(err)
		}
	})
	l := budget.NewLimiter(nil)
	var keys []string
	for info, err := range budget.New(s, l).List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	if d := cmp.Diff([]string{"a/b c+", "z+"}, keys); d != "" {
		t.Errorf("keys (- want, + got):\n%s", d)
	}
	if n := l.Stats().Requests[store.VerbList]; n != 2 {
		t.Errorf("%d requests counted for 2 pages", n)
	}
}
