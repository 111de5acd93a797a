package spool_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/conformance/spooltest"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// upcoming names the chunks of the ready snapshot on its way; ok is false if there is none.
func upcoming(t *testing.T, r *spool.Root, k spool.Key) (chunks []string, ok bool) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(spoolDir(r, k), "staging", "scratch", "*", "*", "chunks"))
	check(t, err)
	if len(dirs) > 1 {
		t.Fatalf("there are %d", len(dirs))
	}
	if len(dirs) == 0 {
		return nil, false
	}
	return tree(t, dirs[0]), true
}

// A large backlog becomes ready a part at a time, while snapshots go on: what is ready in the end is just what is needed.
func TestPublishInParts(t *testing.T) {
	const n = 1500
	for _, what := range []string{"alone", "chunks are uploaded meanwhile", "it is cleaned away", "another process is faster"} {
		t.Run(what, func(t *testing.T) {
			r := openRoot(t, t.TempDir(), nil)
			p := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
			remote := spooltest.NewRemote()
			db := distinct(n, 1)
			m, data := stageInLaps(t, p, db, 1)
			published, calls := false, 0
			for seq := uint64(2); !published; seq++ {
				check(t, p.StageManifest(name, data))
				var err error
				published, err = p.PublishReady(name, all(m))
				check(t, err)
				check(t, p.CollectGarbage(published, n, 1, all(m)))
				check(t, p.CleanScratch())
				check(t, p.Finish())
				judge(t, r, nil)
				some, begun := upcoming(t, r, p.Key())
				if calls++; calls == 1 && (published || !begun || len(some) == 0 || len(some) > n/2) {
					t.Fatalf("after the first of the calls %d chunks are linked (%v)", len(some), begun)
				}
				switch {
				case published && begun:
					t.Error("something is left in scratch")
				case calls > 20:
					t.Fatal("it does not come to an end")
				case calls != 2:
				case what == "chunks are uploaded meanwhile":
					c := consumer(t, r, p.Key())
					for i := 20; i < 40; i++ { // of which some are linked
						chunk, err := c.ReadStagedChunk(m.Chunks[i].ChunkName())
						check(t, err)
						remote.Chunks[m.Chunks[i].ChunkName()] = chunk
						check(t, c.RemoveStagedChunk(m.Chunks[i].ChunkName()))
					}
				case what == "it is cleaned away":
					check(t, os.RemoveAll(filepath.Join(spoolDir(r, p.Key()), "staging", "scratch")))
					check(t, os.Mkdir(filepath.Join(spoolDir(r, p.Key()), "staging", "scratch"), 0o700))
				case what == "another process is faster":
					other := producer(t, r, spool.DB{Path: "/db", Dev: 1, Ino: 2})
					check(t, snapshot(t, other, db, seq)) // which has staged as much, so that it may publish all
				}
				if what == "another process is faster" && calls == 2 {
					if published, err := p.PublishReady(name, all(m)); published || err != nil {
						t.Errorf("published another one: %v, %v", published, err)
					}
					break
				}
				if published {
					break
				}
				// A transaction: as many chunks are not needed any more as are staged, and one changes back.
				for i := 1; i <= 10; i++ {
					p.Drop(m.Chunks[i])
					db[i*manifest.ChunkSize+7] = byte(seq)
				}
				if seq%2 == 1 {
					copy(db[manifest.ChunkSize:], distinct(n, 1)[manifest.ChunkSize:2*manifest.ChunkSize])
				}
				m, data = describe(t, db, seq)
				for i := 1; i <= 10; i++ {
					check(t, p.StageChunk(m.Chunks[i], db[i*manifest.ChunkSize:][:manifest.ChunkSize]))
				}
				check(t, p.PrepareReady())
			}
			if what != "another process is faster" {
				ready, err := filepath.Glob(filepath.Join(spoolDir(r, p.Key()), "ready", "*", "chunks", "*"))
				check(t, err)
				var got, want []string
				for _, name := range ready {
					got = append(got, filepath.Base(name))
				}
				want = wanted(m, remote)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("ready (-want +got):\n%s", diff)
				}
			}
			equal(t, drain(t, r, p.Key(), remote), db)
		})
	}
}

// wanted names the chunks of a manifest that the store does not have.
func wanted(m *manifest.Manifest, remote *spooltest.Remote) []string {
	all := map[string]bool{}
	for _, f := range m.Chunks[1:] {
		if _, ok := remote.Chunks[f.ChunkName()]; !ok {
			all[f.ChunkName()] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Who ends, or finds another snapshot ready, leaves nothing of the one that it has begun.
func TestUnpublishedIsRemoved(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	db := spool.DB{Path: "/db", Dev: 1, Ino: 2}
	p := producer(t, r, db)
	m, data := stageInLaps(t, p, distinct(700, 1), 1)
	check(t, p.StageManifest(name, data))
	if published, err := p.PublishReady(name, all(m)); published || err != nil {
		t.Fatal(published, err)
	}
	if _, begun := upcoming(t, r, p.Key()); !begun {
		t.Fatal("nothing was begun")
	}
	check(t, p.Close())
	if _, begun := upcoming(t, r, p.Key()); begun {
		t.Error("something is left")
	}
}

// Who collects garbage before its manifest is staged may remove what another is about to reference: that one notices.
func TestCollectedUnderASnapshot(t *testing.T) {
	r := openRoot(t, t.TempDir(), nil)
	db := spool.DB{Path: "/db", Dev: 1, Ino: 2}
	p, other := producer(t, r, db), producer(t, r, db)
	remote := spooltest.NewRemote()
	check(t, snapshot(t, p, content(3, 1), 1))
	check(t, snapshot(t, other, content(3, 1), 1))
	want := content(3, 2)
	m, data := describe(t, want, 2)
	for i, f := range m.Chunks[1:] {
		check(t, p.StageChunk(f, want[(i+1)*manifest.ChunkSize:][:manifest.ChunkSize]))
	}
	check(t, other.Collecting())
	if !other.Unchanged(name) {
		t.Fatal("the one that collects does not know what is staged")
	}
	check(t, other.CollectGarbage(false, 3, 99, func(manifest.Fingerprint) bool { return false }))
	check(t, p.StageManifest(name, data))
	if err := p.Finish(); !errors.Is(err, spool.ErrVanished) {
		t.Errorf("Finish: %v", err)
	}
	check(t, snapshot(t, p, want, 3))
	judge(t, r, remote)
	equal(t, drain(t, r, p.Key(), remote), want)
	// The other way round it is the collector that notices.
	check(t, snapshot(t, other, content(3, 3), 4))
	check(t, snapshot(t, p, content(3, 4), 5))
	check(t, other.Collecting())
	if other.Unchanged(name) {
		t.Error("what is staged counts as known")
	}
}
