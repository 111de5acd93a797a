package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/web"
)

func TestGet(t *testing.T) {
	asked := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		switch r.URL.Path {
		case "/ok":
			fmt.Fprint(w, "content")
		case "/flaky":
			if asked["/flaky"] < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			fmt.Fprint(w, "content")
		case "/secret":
			w.WriteHeader(http.StatusForbidden)
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	for _, tt := range []struct {
		path  string
		limit int64
		want  string
		err   error
		words string
		asked int
	}{
		{"/ok", 7, "content", nil, "", 1},
		{"/flaky", 100, "content", nil, "", 3},
		{"/absent", 100, "", store.ErrNotExist, "404", 1},
		{"/secret", 100, "", store.ErrAccess, "403", 1},
		{"/teapot", 100, "", nil, "418", 1},
	} {
		t.Run(tt.path[1:], func(t *testing.T) {
			got, err := web.Get(t.Context(), srv.URL+tt.path, tt.limit)
			if string(got) != tt.want || (err == nil) != (tt.words == "") {
				t.Fatalf("got %q, %v", got, err)
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Errorf("error %v does not say %s", err, tt.words)
			}
			if asked[tt.path] != tt.asked {
				t.Errorf("asked %d times, want %d", asked[tt.path], tt.asked)
			}
		})
	}
	if _, err := web.Get(t.Context(), srv.URL+"/ok", 6); err == nil || !strings.Contains(err.Error(), "more than 6") {
		t.Errorf("too long: %v", err)
	}
}
