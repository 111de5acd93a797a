package tracker

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
)

// blockStore is where folded blocks go.
type blockStore map[manifest.Fingerprint][]byte

func (s blockStore) read(f manifest.Fingerprint) ([]byte, error) {
	if data, ok := s[f]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("block %v: %w", f, fs.ErrNotExist)
}

func (s blockStore) put(f, _ manifest.Fingerprint, list []byte) error {
	s[f] = slices.Clone(list)
	return nil
}

// Whatever happens to it, an index lists what a flat list does, and so does the manifest that is
// made of it, in the same process or a later one.
func TestIndexEqualsAFlatList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := blockStore{}
		x := newIndex(nil, store.read)
		var flat []manifest.Fingerprint
		first := []byte("first")
		var serial uint64
		fresh := func() manifest.Fingerprint {
			serial++
			if serial%5 == 0 {
				return manifest.ZeroChunk
			}
			return manifest.Fingerprint{Hi: serial, Lo: 1}
		}
		// A commit gives the database n chunks, and changes some.
		commit := func(n int, changed []int) {
			old := len(flat)
			check(t, x.resize(n))
			for len(flat) < n {
				flat = append(flat, manifest.Fingerprint{})
			}
			flat = flat[:n]
			for i := range n {
				if i != 0 && i < old && !slices.Contains(changed, i) {
					continue
				}
				f := fresh()
				if i == 0 {
					first = fmt.Appendf(nil, "first %d", serial)
					f = manifest.Sum(first)
				}
				flat[i] = f
				check(t, x.set(i, f))
			}
		}
		encode := func() *manifest.Manifest {
			return &manifest.Manifest{Blocks: x.list(), First: first}
		}
		// Around the ends of blocks.
		size := rapid.Custom(func(t *rapid.T) int {
			return max(1, rapid.SampledFrom([]int{1, 7, manifest.BlockChunks, 2 * manifest.BlockChunks}).Draw(t, "about")+
				rapid.IntRange(-3, 3).Draw(t, "off"))
		})
		commit(size.Draw(t, "size"), nil)
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				commit(len(flat), rapid.SliceOfN(rapid.IntRange(0, len(flat)-1), 0, 5).Draw(t, "changed"))
			},
			"resize": func(t *rapid.T) {
				old := len(flat)
				n := size.Draw(t, "size")
				// SQLite's VFS tells that the last common chunk changes.
				commit(n, []int{min(old, n) - 1})
			},
			"back": func(t *rapid.T) { // to a content that some stored block may have
				i := rapid.IntRange(0, len(flat)-1).Draw(t, "chunk")
				if i == 0 {
					return
				}
				had := flat[i]
				commit(len(flat), []int{i})
				flat[i] = had
				check(t, x.set(i, had))
			},
			"fold": func(t *rapid.T) {
				check(t, x.fold(rapid.IntRange(0, 9).Draw(t, "overrides"), store.put))
			},
			"forget": func(t *rapid.T) {
				for range rapid.IntRange(0, 3).Draw(t, "lists") {
					x.evict()
				}
			},
			"restart": func(t *rapid.T) {
				m := encode()
				m.Size = int64(len(flat)) * manifest.ChunkSize
				m.Blocks = slices.Clone(m.Blocks)
				for i := range m.Blocks {
					m.Blocks[i].Overrides = slices.Clone(m.Blocks[i].Overrides)
				}
				x = newIndex(m, store.read)
			},
			"": func(t *rapid.T) {
				m := encode()
				m.Size = int64(len(flat)) * manifest.ChunkSize
				got, err := m.List(store.read)
				check(t, err)
				if !slices.Equal(got, flat) {
					t.Fatalf("the list differs")
				}
				if want := (&manifest.Manifest{Blocks: manifest.InlineBlocks(flat)}).Contents(); m.Contents() != want {
					t.Fatalf("the digest is %v, want %v", m.Contents(), want)
				}
				overrides := 0
				for i := range m.Blocks {
					overrides += len(m.Blocks[i].Overrides)
				}
				if overrides != x.overrides {
					t.Fatalf("%d overrides, counted %d", overrides, x.overrides)
				}
				loaded := 0
				for b := range x.states {
					if x.states[b].list != nil {
						loaded++
					}
				}
				if loaded != x.loaded {
					t.Fatalf("%d lists in memory, counted %d", loaded, x.loaded)
				}
			},
		})
	})
}

func check(t interface{ Fatal(...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func TestIndexKeepsFewListsInMemory(t *testing.T) {
	store := blockStore{}
	x := newIndex(nil, store.read)
	const blocks = 3 * maxLoaded
	check(t, x.resize(blocks*manifest.BlockChunks))
	for i := range blocks * manifest.BlockChunks {
		check(t, x.set(i, manifest.Fingerprint{Hi: 1, Lo: uint64(i)}))
		if (i+1)%manifest.BlockChunks == 0 {
			check(t, x.fold(1024, store.put))
		}
	}
	if x.loaded > maxLoaded {
		t.Errorf("%d lists in memory", x.loaded)
	}
	if x.overrides > 1024 {
		t.Errorf("%d overrides", x.overrides)
	}
	for i := 1; i < blocks*manifest.BlockChunks; i += 4095 {
		if f, err := x.get(i); err != nil || f.Lo != uint64(i) {
			t.Fatalf("chunk %d: %v, %v", i, f, err)
		}
	}
}

// A block that is not there, or not what it was, is an error, and not another list.
func TestIndexWithoutItsBlocks(t *testing.T) {
	make := func() (*index, blockStore) {
		store := blockStore{}
		x := newIndex(nil, store.read)
		check(t, x.resize(3*manifest.BlockChunks))
		for i := range 3 * manifest.BlockChunks {
			check(t, x.set(i, manifest.Fingerprint{Hi: 1, Lo: uint64(i)}))
		}
		check(t, x.fold(0, store.put))
		x.evict()
		x.evict()
		return x, store
	}
	x, store := make()
	clear(store)
	if _, err := x.get(manifest.BlockChunks); !errors.Is(err, errIndex) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing block: %v", err)
	}
	x, store = make()
	for _, data := range store {
		data[len(data)-1] ^= 1
	}
	if err := x.set(manifest.BlockChunks, manifest.ZeroChunk); !errors.Is(err, errIndex) || !errors.Is(err, manifest.ErrCorrupt) {
		t.Errorf("damaged block: %v", err)
	}
	x, store = make()
	x.blocks[1].Digest = manifest.ZeroChunk
	if err := x.resize(manifest.BlockChunks + 7); !errors.Is(err, errIndex) {
		t.Errorf("wrong digest: %v", err)
	}
	_ = store
}
