package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

// What was answered before the shutdown is in the store after it.
func TestServeDrainsOnShutdown(t *testing.T) {
	dir := t.TempDir()
	path, store := filepath.Join(dir, "visits.db"), "file://"+filepath.ToSlash(filepath.Join(dir, "store"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, ln, path, store) }()

	for want := range 5 {
		res, err := http.Get("http://" + ln.Addr().String() + "/hello")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(body)); got != "visit "+string(rune('1'+want)) {
			t.Fatalf("answer %q to request %d", got, want+1)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	tgt, err := target.FromURL(store)
	if err != nil {
		t.Fatal(err)
	}
	db, err := boule.OpenReplica(t.Context(), boule.SourceRef("", boule.CanonicalPath(path)), &boule.Config{Targets: []target.Target{tgt}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM visit`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 5 {
		t.Errorf("replica has %d visits, want 5", n)
	}
}
