package tracker

import (
	"testing"

	"github.com/boule-db/boule/manifest"
)

// What the staged manifest needs of the staging area counts as long as it is the staged one, and
// what only an unfinished snapshot needed not a moment longer.
func TestReleasedChunksStayUntilTheManifest(t *testing.T) {
	h, err := newHot(nil, nil, nil)
	check(t, err)
	a, b, c := manifest.Sum([]byte("a")), manifest.Sum([]byte("b")), manifest.Sum([]byte("c"))
	h.take(a)
	h.staged(&manifest.Manifest{})
	h.release(a)
	h.take(b)
	if !h.needs(a) || !h.needs(b) {
		t.Fatal("lost before the manifest")
	}
	h.release(b)
	h.take(c)
	if h.needs(b) {
		t.Error("what no manifest ever had is kept")
	}
	h.staged(&manifest.Manifest{})
	if h.needs(a) || !h.needs(c) {
		t.Errorf("after the manifest a lives %v, c lives %v", h.needs(a), h.needs(c))
	}
	h.published()
	if len(h.uses) > 0 {
		t.Error("something is needed after publication")
	}
}

// Who claims a snapshot has it to himself until it is taken, or not taken.
func TestClaim(t *testing.T) {
	db := &database{}
	for name, end := range map[string]func(*Tracker){
		"unclaim":     (*Tracker).Unclaim,
		"not needed":  func(t *Tracker) { t.Snapshot(Shared) },
		"claim twice": func(t *Tracker) { t.Claim(); t.Unclaim() },
	} {
		tr := &Tracker{db: db}
		tr.Claim()
		if db.staging.TryLock() {
			t.Fatalf("%s: not claimed", name)
		}
		end(tr)
		if !db.staging.TryLock() {
			t.Fatalf("%s: still claimed", name)
		}
		db.staging.Unlock()
	}
}

// A chunk in two places stays until both have gone.
func TestChunkInTwoPlaces(t *testing.T) {
	h, err := newHot(nil, nil, nil)
	check(t, err)
	a := manifest.Sum([]byte("a"))
	h.take(a)
	h.take(a)
	h.staged(&manifest.Manifest{})
	h.release(a)
	h.staged(&manifest.Manifest{})
	if !h.needs(a) {
		t.Fatal("lost with one of its places")
	}
	h.release(a)
	h.staged(&manifest.Manifest{})
	if h.needs(a) {
		t.Error("kept without a place")
	}
}

// What a process finds staged it counts by the list, also behind stored blocks; of a large
// database, where that takes long, all that is staged counts.
func TestUsesAreFoundAgain(t *testing.T) {
	store := blockStore{}
	list := make([]manifest.Fingerprint, 2*manifest.BlockChunks)
	for i := range list {
		list[i] = manifest.Fingerprint{Hi: 1, Lo: uint64(i)}
	}
	first := []byte("first")
	list[0] = manifest.Sum(first)
	list[7] = list[5000]
	m := &manifest.Manifest{Size: int64(len(list)) * manifest.ChunkSize, Blocks: manifest.InlineBlocks(list), First: first}
	fold := func(b int) {
		data := manifest.AppendList(nil, list[b*manifest.BlockChunks:][:manifest.BlockChunks])
		m.Blocks[b] = manifest.Block{Stored: manifest.Sum(data), Digest: manifest.Sum(data)}
		store[manifest.Sum(data)] = data
	}
	fold(1)
	garbage := manifest.Sum([]byte("garbage"))
	names := []string{list[5000].ChunkName(), list[9].ChunkName(), garbage.ChunkName(), m.Blocks[1].Stored.ChunkName(), "no chunk"}
	h, err := newHot(m, store.read, names)
	check(t, err)
	if u := h.uses[list[5000]]; u.now != 2 {
		t.Errorf("a chunk in two blocks has %d places", u.now)
	}
	if u := h.uses[list[9]]; u.now != 1 {
		t.Errorf("a chunk has %d places", u.now)
	}
	if u := h.uses[m.Blocks[1].Stored]; u.now != 1 {
		t.Errorf("an index block has %d places", u.now)
	}
	if h.needs(garbage) {
		t.Error("garbage counts")
	}
	clear(store)
	if _, err := newHot(m, store.read, names); err == nil {
		t.Error("no error without the block")
	}

	large := &manifest.Manifest{Size: (exactScan + 1) * manifest.BlockChunks * manifest.ChunkSize, First: first}
	for range exactScan + 1 {
		large.Blocks = append(large.Blocks, m.Blocks[1])
	}
	h, err = newHot(large, store.read, names)
	check(t, err)
	if !h.needs(garbage) || len(h.uses) != len(names)-1 {
		t.Errorf("%d of %d count", len(h.uses), len(names)-1)
	}
}

// Of a large database not all places are counted: then what is staged is needed until it is published.
func TestUncountedChunksStay(t *testing.T) {
	list := make([]manifest.Fingerprint, (exactScan+1)*manifest.BlockChunks)
	for i := range list {
		list[i] = manifest.Fingerprint{Lo: uint64(i) + 1}
	}
	twice := list[5]
	list[9] = twice
	base := &manifest.Manifest{Blocks: manifest.InlineBlocks(list), Size: int64(len(list)) * manifest.ChunkSize}
	h, err := newHot(base, nil, []string{twice.ChunkName()})
	check(t, err)
	h.release(twice) // one of the two
	h.staged(base)
	if !h.needs(twice) {
		t.Error("a chunk that has a place left is not needed")
	}
	h.published()
	if h.needs(twice) {
		t.Error("something is needed after publication")
	}
}
