package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/boule-db/boule"
	"github.com/boule-db/boule/store/target"
)

func TestRun(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	name, store := filepath.Join(dir, "app.db"), "file://"+filepath.ToSlash(filepath.Join(dir, "store"))
	for range 2 {
		if err := run(ctx, []string{name, store}); err != nil {
			t.Fatal(err)
		}
	}
	if got := visits(ctx, t, name, store); got != 2 {
		t.Errorf("replica has %d visits, want 2", got)
	}
	if err := run(ctx, nil); err == nil {
		t.Error("no error without arguments")
	}
	if err := run(ctx, []string{name, "gopher://x"}); err == nil {
		t.Error("no error for a wrong store")
	}
}

func visits(ctx context.Context, t *testing.T, name, store string) (n int) {
	t.Helper()
	tgt, err := target.FromURL(store)
	if err != nil {
		t.Fatal(err)
	}
	db, err := boule.OpenReplica(ctx, boule.SourceRef("", boule.CanonicalPath(name)), &boule.Config{Targets: []target.Target{tgt}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM visit`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
