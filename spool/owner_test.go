package spool_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/spool"
)

// All who share a prefix have one owner, also in the next boot; another prefix has another.
func TestOwner(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "spool")
	owner := func(prefix string, boot int64) [16]byte {
		t.Helper()
		r, err := spool.OpenRoot(prefix, 0, &spool.Options{Boot: instance.ID{Time: boot, UUID: "11111111-2222-3333-4444-555555555555"}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		o, err := r.Owner()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	var wg sync.WaitGroup
	all := make([][16]byte, 8)
	for i := range all {
		wg.Go(func() { all[i] = owner(prefix, 1000) })
	}
	wg.Wait()
	for _, o := range all {
		if o != all[0] || o == [16]byte{} {
			t.Fatalf("got owners %x", all)
		}
	}
	if o := owner(prefix, 5000); o != all[0] {
		t.Errorf("the next boot has the owner %x, not %x", o, all[0])
	}
	if o := owner(filepath.Join(t.TempDir(), "other"), 1000); o == all[0] {
		t.Error("two prefixes have one owner")
	}
	file := filepath.Join(prefix, ".owner")
	if err := errors.Join(os.Remove(file), os.WriteFile(file, []byte("nobody\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := spool.OpenRoot(prefix, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if o, err := r.Owner(); !errors.Is(err, spool.ErrCorrupt) {
		t.Errorf("a damaged owner: got %x, %v", o, err)
	}
}
