package spool_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

func TestReadyIsPublishedOnceUntilTaken(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	remote := spooltest.NewRemote()
	first, second := content(4, 1), content(4, 2)
	check(t, snapshot(t, p, first, 1))
	judge(t, r, remote)
	c := consumer(t, r, p.Key())
	if names, err := c.StagedChunks(); err != nil || len(names) > 0 {
		t.Errorf("staged chunks after publication: %v, %v", names, err)
	}
	check(t, snapshot(t, p, second, 2))
	judge(t, r, remote)
	names, err := c.StagedChunks()
	check(t, err)
	if len(names) != 3 {
		t.Errorf("%d chunks are staged while ready is occupied, want 3", len(names))
	}
	if quiet, err := c.Quiescent(); quiet || err != nil {
		t.Errorf("Quiescent = %v, %v", quiet, err)
	}

	b, err := c.TakeReady()
	check(t, err)
	left, err := b.Chunks()
	check(t, err)
	if len(left) != 3 {
		t.Errorf("the batch has %d chunks, want 3", len(left))
	}
	if err := b.ChunksDone(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("ChunksDone with chunks left: %v", err)
	}
	// Another consumer takes the same batch, and what is published now waits.
	check(t, snapshot(t, p, second, 3))
	again, err := consumer(t, r, p.Key()).TakeReady()
	check(t, err)
	if again.Name() != b.Name() {
		t.Errorf("a second consumer took %s, want %s", again.Name(), b.Name())
	}
	check(t, again.Close())
	check(t, b.Close())
	judge(t, r, remote)

	equal(t, drain(t, r, p.Key(), remote), second)
	judge(t, r, remote)
	if quiet, err := c.Quiescent(); !quiet || err != nil {
		t.Errorf("Quiescent after draining = %v, %v", quiet, err)
	}
	if b, err := c.TakeReady(); b != nil || err != nil {
		t.Errorf("TakeReady of nothing = %v, %v", b, err)
	}
}

func TestPublicationChangesIdentityOfStagedManifest(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	m, data := describe(t, content(1, 1), 1)
	check(t, p.StageManifest(name, data))
	c := consumer(t, r, p.Key())
	open := func() *spool.StagedManifest {
		all, err := c.StagedManifests()
		check(t, err)
		if len(all) != 1 || all[0].Name != name {
			t.Fatalf("staged manifests: %v", all)
		}
		t.Cleanup(func() { all[0].Close() })
		return all[0]
	}
	same := func(s *spool.StagedManifest) bool {
		ok, err := c.Unchanged(s)
		check(t, err)
		return ok
	}
	staged := open()
	if !same(staged) {
		t.Error("an untouched manifest changed")
	}
	got, err := staged.Bytes()
	check(t, err)
	equal(t, got, data)
	// The clock of the filesystem is coarse.
	deadline := time.Now().Add(10 * time.Second)
	for changed := false; !changed && time.Now().Before(deadline); {
		published, err := p.PublishReady(name, all(m))
		check(t, err)
		if !published {
			t.Fatal("not published")
		}
		changed = !same(staged)
		b, err := c.TakeReady()
		check(t, err)
		check(t, b.RemoveManifest(name))
		check(t, b.Finish())
	}
	if same(staged) {
		t.Error("publication did not change the manifest")
	}
	staged = open()
	check(t, p.StageManifest(name, data))
	if same(staged) {
		t.Error("a replaced manifest is unchanged")
	}
	staged = open()
	check(t, p.DropStaged(name))
	if same(staged) {
		t.Error("a dropped manifest is unchanged")
	}
}

func TestLockMeta(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
	a, b := consumer(t, r, p.Key()), consumer(t, r, p.Key())
	synctest.Test(t, func(t *testing.T) {
		unlock, err := a.LockMeta(t.Context())
		check(t, err)
		start := time.Now()
		// The lock is busy, but does not hold anybody up for ever.
		free, err := b.LockMeta(t.Context())
		check(t, err)
		if wait := time.Since(start); wait < 2*time.Second || wait > 4*time.Second {
			t.Errorf("waited %v for a busy lock", wait)
		}
		free()
		unlock()
		start = time.Now()
		unlock, err = b.LockMeta(t.Context())
		check(t, err)
		unlock()
		if wait := time.Since(start); wait > 0 {
			t.Errorf("waited %v for a free lock", wait)
		}
	})
}

// While a snapshot moves on, nobody ever finds the spool empty.
func TestNothingSlipsPast(t *testing.T) {
	for at := range 4 {
		good := openRoot(t, t.TempDir(), nil)
		p := producer(t, good, spool.DB{Path: "/db", Dev: 1, Ino: 2})
		m, data := describe(t, content(2, 1), 1)
		check(t, p.StageChunk(m.Chunks[1], content(2, 1)[manifest.ChunkSize:]))
		check(t, p.StageManifest(name, data))
		other := consumer(t, good, p.Key())
		calls := 0
		move := func() {
			switch at {
			case 0: // staging to ready
				published, err := p.PublishReady(name, all(m))
				check(t, err)
				check(t, p.CollectGarbage(published, len(m.Chunks)-1, 1, all(m)))
			default: // ready to consuming
				b, err := other.TakeReady()
				check(t, err)
				check(t, b.Close())
			}
		}
		if at > 0 {
			published, err := p.PublishReady(name, all(m))
			check(t, err)
			check(t, p.CollectGarbage(published, len(m.Chunks)-1, 1, all(m)))
		}
		r := openRoot(t, filepath.Dir(good.Dir()), &spool.Options{WrapFS: func(base fsx.FS) fsx.FS {
			return fsx.Faulty(base, func(op fsx.Op, _ string) error {
				if op == fsx.OpReadDir {
					if calls++; calls-1 == at {
						move()
					}
				}
				return nil
			})
		}})
		c := consumer(t, r, p.Key())
		if quiet, err := c.Quiescent(); quiet || err != nil {
			t.Errorf("before look %d: Quiescent = %v, %v", at, quiet, err)
		}
	}
}
