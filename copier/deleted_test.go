package copier_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/boule-db/boule/copier"
	"github.com/boule-db/boule/spool"
)

// Somebody deletes the spool, file by file, and has come to the chunks but not to the manifests:
// chunks that are gone are not taken for uploaded.
func TestSpoolHalfDeleted(t *testing.T) {
	for name, gone := range map[string][]string{
		"staged": {"ready", "consuming", "staging/chunks/*"},
		"ready":  {"ready/*/chunks/*", "staging/chunks/*"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root := openRoot(t, dir, nil)
			b := newBucket()
			d := newDatabase(t, root, "/data/a.db", "t1", 6)
			demands := 0
			opts := &copier.Options{Open: opens(b), Desync: func(spool.Key, error) { demands++ }}
			c := newCopier(t, opts)
			d.snapshot()
			flush(t, c, d)
			d.commit(1, 2)
			for _, pattern := range gone {
				paths, err := filepath.Glob(filepath.Join(dir, "boule-*", d.key.String(), pattern))
				if err != nil {
					t.Fatal(err)
				}
				for _, path := range paths {
					if err := os.RemoveAll(path); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := c.Flush(t.Context(), root, d.key); !errors.Is(err, copier.ErrDesync) {
				t.Errorf("got %v, want %v", err, copier.ErrDesync)
			}
			b.verify(t)
			if demands == 0 {
				t.Error("nobody was told to take a full snapshot")
			}
			d.desync()
			flush(t, c, d)
			d.same(b)
			d.empty()
		})
	}
}
