package replica_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/internal/fsx/faultloop"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
)

// Each file operation of a restore fails, or the process dies there: the path has what it had, or
// the whole database, and the next restore succeeds.
func TestRestoreFileFaultAtEveryOperation(t *testing.T) {
	start := time.Now()
	runs := 0
	db := mixed(3*manifest.ChunkSize+100, 1)
	b := newBucket()
	m := b.upload(t, db)
	for _, old := range []bool{false, true} {
		body := func(dies bool) func(t *testing.T, plan *fsx.Plan) {
			return func(t *testing.T, plan *fsx.Plan) {
				dir := t.TempDir()
				path := filepath.Join(dir, "out.db")
				opts := &replica.RestoreOptions{Overwrite: old, Jobs: 1}
				if old {
					write(t, path, "old", 0o644)
					write(t, path+"-wal", "old", 0o644)
				}
				opts.WithFS(func(dir string) (fsx.FS, error) {
					base, err := fsx.OS(dir)
					if err != nil {
						return nil, err
					}
					return plan.Wrap(base), nil
				})
				err := replica.RestoreFile(t.Context(), m, b.sources(), path, opts)
				if err != nil && plan.Hit() == "" {
					t.Fatalf("without a fault: %v", err)
				}
				names, rerr := os.ReadDir(dir)
				check(t, rerr)
				for _, n := range names {
					left := !strings.HasPrefix(n.Name(), "out.db") || n.Name() != "out.db" && n.Name() != "out.db-wal"
					// A file that could not be removed stays; so does what a dead process had.
					if left && !dies && !strings.HasPrefix(plan.Hit(), "remove ") && !strings.HasPrefix(plan.Hit(), "close ") {
						t.Errorf("left: %s", n.Name())
					}
				}
				got, rerr := os.ReadFile(path)
				switch {
				case rerr == nil && string(got) == string(db):
				case err == nil:
					t.Errorf("a success without the database: %v", rerr)
				case old && rerr == nil && string(got) == "old":
				case !old && os.IsNotExist(rerr):
				default:
					t.Errorf("the path has %d bytes: %v", len(got), rerr)
				}
				check(t, replica.RestoreFile(t.Context(), m, b.sources(), path, &replica.RestoreOptions{Overwrite: true}))
				got, rerr = os.ReadFile(path)
				check(t, rerr)
				if string(got) != string(db) {
					t.Error("the next restore is not the database")
				}
				if _, err := os.Lstat(path + "-wal"); !os.IsNotExist(err) {
					t.Errorf("a journal of the old database is left: %v", err)
				}
			}
		}
		t.Run(fmt.Sprintf("old %v", old), func(t *testing.T) {
			runs += faultloop.Run(t, body(false))
			runs += faultloop.Crash(t, body(true))
		})
	}
	t.Logf("%d points of failure in %v", runs, time.Since(start).Round(time.Millisecond))
}

// Each request of a restore fails, is denied, or breaks off: nothing is left, and the next
// restore is the database.
func TestRestoreFileFaultAtEveryRequest(t *testing.T) {
	db := mixed(5*manifest.ChunkSize+100, 1)
	runs := 0
	for what, fault := range map[string]storefault.Fault{
		"fails": {Fail: true}, "is denied": {Fail: true, Err: store.ErrAccess}, "breaks off": {Fail: true, After: 10},
		"is not there": {Fail: true, Err: store.ErrNotExist},
	} {
		t.Run(what, func(t *testing.T) {
			for i, more := 0, true; more && !t.Failed(); i++ {
				runs++
				b := newBucket()
				m := b.upload(t, db)
				dir := t.TempDir()
				path := filepath.Join(dir, "out.db")
				b.faulty.SetPlan(storefault.Nth(i, fault))
				err := replica.RestoreFile(t.Context(), m, b.sources(), path, nil)
				more = len(b.faulty.Calls()) > i
				if err != nil {
					wantFiles(t, fmt.Sprint("request ", i), dir, map[string]string{})
					if !more {
						t.Fatalf("without a fault: %v", err)
					}
					b.faulty.SetPlan(nil)
					check(t, replica.RestoreFile(t.Context(), m, b.sources(), path, nil))
				} else if more {
					t.Errorf("request %d failed, and nobody noticed", i)
				}
				wantFiles(t, fmt.Sprint("request ", i), dir, map[string]string{"out.db": string(db)})
			}
		})
	}
	t.Logf("%d points of failure of requests", runs)
}
