package spool_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// stride spares short runs most of the operations.
func stride() int {
	if testing.Short() {
		return 7
	}
	return 1
}

// faults counts file operations, and makes some of them fail.
type faults struct {
	calls int
	at    int  // the operation to begin with; negative: none
	crash bool // all that follow fail, too
	err   error
	hit   string
}

func (f *faults) options() *spool.Options {
	return &spool.Options{ScratchAge: -1, WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(op fsx.Op, name string) error {
			i := f.calls
			f.calls++
			if i == f.at || f.crash && f.at >= 0 && i > f.at {
				if i == f.at {
					f.hit = fmt.Sprintf("%s %s", op, name)
				}
				return &fs.PathError{Op: string(op), Path: name, Err: f.err}
			}
			return nil
		})
	}}
}

// Each file operation of some snapshots fails in turn, for one reason or another, either alone
// or with all that follow, as if the process had been killed. Whatever was staged or uploaded
// stays complete, and the next snapshot is exact.
func TestFaultAtEveryOperation(t *testing.T) {
	for _, c := range []struct {
		cause error
		crash bool
	}{{syscall.ENOSPC, false}, {syscall.ENOENT, false}, {syscall.EIO, true}} {
		t.Run(fmt.Sprintf("%v crash=%v", c.cause, c.crash), func(t *testing.T) {
			for at := 0; ; at += stride() {
				f := &faults{at: at, crash: c.crash, err: c.cause}
				if !faultAt(t, f) {
					break
				}
				if t.Failed() {
					t.Fatalf("operation %d: %s", at, f.hit)
				}
			}
		})
	}
}

// faultAt reports whether the fault happened.
func faultAt(t *testing.T, f *faults) bool {
	dir := t.TempDir()
	good := openRoot(t, filepath.Join(dir, "spool"), &spool.Options{ScratchAge: -1})
	db := spool.DB{Path: "/db", Dev: 1, Ino: 2}
	key := spool.KeyOf(db, target.ID)
	remote := spooltest.NewRemote()
	toy := spooltest.NewToy(remote, func() (*spool.Consumer, error) { return good.Consumer(key) })

	bad, err := spool.OpenRoot(filepath.Join(dir, "spool"), 0, f.options())
	var p *spool.Producer
	if err == nil {
		p, err = bad.Producer(db, target)
	}
	if err != nil {
		if dir := spoolDir(good, key); exists(dir) && len(tree(t, dir)) != 6 {
			t.Errorf("an error left half a spool: %v", tree(t, dir))
		}
		judge(t, good, remote)
	} else {
		defer p.Close()
		for i := range byte(3) {
			_ = snapshot(t, p, content(2+int(i), i), uint64(i))
			judge(t, good, remote)
			for range i * 3 {
				_, err := toy.Step()
				check(t, err)
			}
		}
	}
	hit := f.hit != ""
	f.at = -1
	if f.crash || p == nil {
		p = producer(t, good, db)
	}
	last := content(3, 9)
	if err := snapshot(t, p, last, 9); err != nil && !errors.Is(err, spool.ErrVanished) {
		t.Fatalf("after the fault: %v", err)
	} else if err != nil {
		check(t, snapshot(t, p, last, 9))
	}
	judge(t, good, remote)
	toy.Crash()
	equal(t, drain(t, good, key, remote), last)
	judge(t, good, remote)
	for _, v := range toy.Violations() {
		t.Error(v)
	}
	if scratch := tree(t, filepath.Join(spoolDir(good, key), "staging", "scratch")); len(scratch) > 0 {
		t.Errorf("left in scratch: %v", scratch)
	}
	return hit
}

// The spool, or all spools, or any part, are deleted or moved away between any two steps of a
// snapshot: it fails with ErrVanished or succeeds, and the next attempt is exact.
func TestSpoolVanishes(t *testing.T) {
	gone := map[string]func(t *testing.T, r *spool.Root, k spool.Key){
		"spool removed":  func(t *testing.T, r *spool.Root, k spool.Key) { check(t, os.RemoveAll(spoolDir(r, k))) },
		"boot removed":   func(t *testing.T, r *spool.Root, k spool.Key) { check(t, os.RemoveAll(r.Dir())) },
		"prefix removed": func(t *testing.T, r *spool.Root, k spool.Key) { check(t, os.RemoveAll(filepath.Dir(r.Dir()))) },
		"spool renamed":  func(t *testing.T, r *spool.Root, k spool.Key) { move(t, spoolDir(r, k)) },
		"prefix renamed": func(t *testing.T, r *spool.Root, k spool.Key) { move(t, filepath.Dir(r.Dir())) },
		"staging removed": func(t *testing.T, r *spool.Root, k spool.Key) {
			check(t, os.RemoveAll(filepath.Join(spoolDir(r, k), "staging")))
		},
		"scratch removed": func(t *testing.T, r *spool.Root, k spool.Key) {
			check(t, os.RemoveAll(filepath.Join(spoolDir(r, k), "staging", "scratch")))
		},
		"metadata removed": func(t *testing.T, r *spool.Root, k spool.Key) {
			check(t, os.RemoveAll(filepath.Join(spoolDir(r, k), ".metadata")))
		},
	}
	for what, remove := range gone {
		t.Run(what, func(t *testing.T) {
			for at := 0; ; at += stride() {
				if !vanishAt(t, at, remove) || t.Failed() {
					break
				}
			}
		})
	}
}

func move(t *testing.T, dir string) { check(t, os.Rename(dir, filepath.Join(t.TempDir(), "moved"))) }

func vanishAt(t *testing.T, at int, remove func(*testing.T, *spool.Root, spool.Key)) bool {
	dir := t.TempDir()
	db := spool.DB{Path: "/db", Dev: 1, Ino: 2}
	key := spool.KeyOf(db, target.ID)
	var root *spool.Root
	calls := -1 << 30
	root = openRoot(t, filepath.Join(dir, "spool"), &spool.Options{ScratchAge: -1, WrapFS: func(base fsx.FS) fsx.FS {
		return fsx.Faulty(base, func(fsx.Op, string) error {
			if calls++; calls == at+1 {
				remove(t, root, key)
			}
			return nil
		})
	}})
	p := producer(t, root, db)
	remote := spooltest.NewRemote()
	check(t, snapshot(t, p, content(3, 1), 1))
	equal(t, drain(t, root, key, remote), content(3, 1))

	want := content(3, 2)
	calls = 0
	err := snapshot(t, p, want, 2)
	hit := calls > at
	calls = -1 << 30
	if errors.Is(err, spool.ErrVanished) {
		err = snapshot(t, p, want, 3)
	}
	if err != nil {
		t.Errorf("removed before operation %d: %v", at, err)
	}
	judge(t, root, remote)
	equal(t, drain(t, root, key, remote), want)
	return hit
}

// Two producers of the same content and a consumer at once never lose anything.
func TestProducersInterleave(t *testing.T) {
	db := spool.DB{Path: "/db", Dev: 1, Ino: 2}
	key := spool.KeyOf(db, target.ID)
	for at := 0; at < 400; at += 3 {
		good := openRoot(t, filepath.Join(t.TempDir(), "spool"), &spool.Options{ScratchAge: -1})
		remote := spooltest.NewRemote()
		toy := spooltest.NewToy(remote, func() (*spool.Consumer, error) { return good.Consumer(key) })
		other := producer(t, good, db)
		m, data := describe(t, content(4, 1), 1)
		calls, other2 := 0, func() {}
		root := openRoot(t, filepath.Dir(good.Dir()), &spool.Options{ScratchAge: -1, WrapFS: func(base fsx.FS) fsx.FS {
			return fsx.Faulty(base, func(fsx.Op, string) error {
				if calls++; calls == at {
					other2()
				} else if calls%2 == 0 {
					_, err := toy.Step()
					check(t, err)
				}
				return nil
			})
		}})
		p := producer(t, root, db)
		for i := range uint64(3) {
			m, data = describe(t, content(4, byte(i)), i)
			db := content(4, byte(i))
			other2 = func() {
				_, err := other.Staged(name)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				for j, f := range m.Chunks[1:] {
					check(t, other.StageChunk(f, db[(j+1)*manifest.ChunkSize:][:manifest.ChunkSize]))
				}
				check(t, other.StageManifest(name, data))
				published, err := other.PublishReady(name, all(m))
				check(t, err)
				check(t, other.CollectGarbage(published, len(m.Chunks)-1, 4, all(m)))
				check(t, other.CleanScratch())
			}
			// Scratch files of a living producer are old at once here, so that it may lose them.
			if err := snapshot(t, p, db, i); errors.Is(err, spool.ErrVanished) {
				check(t, snapshot(t, p, db, i))
			} else {
				check(t, err)
			}
			judge(t, good, remote)
		}
		toy.Crash()
		equal(t, drain(t, good, key, remote), content(4, 2))
		for _, v := range toy.Violations() {
			t.Error(v)
		}
		if at > calls {
			break
		}
	}
}
