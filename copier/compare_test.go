package copier

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/boule-db/boule/manifest"
)

// A shelf is index blocks, and counts how often they are read.
type shelf struct {
	blocks map[manifest.Fingerprint][]byte
	reads  int
}

func (s *shelf) read(f manifest.Fingerprint) ([]byte, error) {
	s.reads++
	data, ok := s.blocks[f]
	if !ok {
		return nil, &missingError{fmt.Sprint("no block ", f)}
	}
	return data, nil
}

// store puts a list on the shelf.
func (s *shelf) store(list []manifest.Fingerprint) manifest.Fingerprint {
	data := manifest.AppendList(nil, list)
	sum := manifest.Sum(data)
	s.blocks[sum] = data
	return sum
}

var firstChunk = make([]byte, manifest.ChunkSize)

func init() { firstChunk[0] = 1 }

// describe returns a manifest of a list whose first fingerprint is replaced; base has, for each
// block, the list that is stored, or none.
func (s *shelf) describe(list []manifest.Fingerprint, base [][]manifest.Fingerprint) *manifest.Manifest {
	m := &manifest.Manifest{Header: manifest.HeaderSum(firstChunk), First: firstChunk, Size: int64(len(list)) * manifest.ChunkSize}
	list[0] = manifest.Sum(firstChunk)
	for b := range manifest.BlockCount(len(list)) {
		part := list[b*manifest.BlockChunks:][:manifest.BlockLen(len(list), b)]
		block := manifest.Block{Digest: manifest.Sum(manifest.AppendList(nil, part))}
		if len(base[b]) > 0 {
			block.Stored = s.store(base[b])
		}
		for i, f := range part {
			if (b > 0 || i > 0) && (i >= len(base[b]) || base[b][i] != f) {
				block.Overrides = append(block.Overrides, manifest.Override{Place: i, Sum: f})
			}
		}
		m.Blocks = append(m.Blocks, block)
	}
	return m
}

// flat returns the references of a list and of its index blocks.
func flat(m *manifest.Manifest, list []manifest.Fingerprint) map[manifest.Fingerprint]bool {
	all := map[manifest.Fingerprint]bool{}
	for _, f := range list[1:] {
		if f != manifest.ZeroChunk {
			all[f] = true
		}
	}
	for _, b := range m.Blocks {
		if b.Stored != manifest.NoBlock {
			all[b.Stored] = true
		}
	}
	return all
}

func (c *comparison) all(t *testing.T) []manifest.Fingerprint {
	t.Helper()
	var all []manifest.Fingerprint
	for b := range c.m.Blocks {
		refs, err := c.unknown(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, refs...)
	}
	return all
}

// However two manifests are described, all that the older does not reference is found, and nothing
// that stands where it stood.
func TestComparisonAgainstFlatSets(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	next := uint64(100)
	sum := func() manifest.Fingerprint {
		switch r.IntN(20) {
		case 0:
			return manifest.ZeroChunk
		case 1, 2:
			return manifest.Fingerprint{Lo: 1 + r.Uint64N(3)} // occurs more than once
		}
		next++
		return manifest.Fingerprint{Lo: next}
	}
	var base [][]manifest.Fingerprint
	was := func(i int) manifest.Fingerprint { // what is stored
		if b := i / manifest.BlockChunks; b < len(base) && i%manifest.BlockChunks < len(base[b]) && r.IntN(2) == 0 {
			return base[b][i%manifest.BlockChunks]
		}
		return sum()
	}
	change := func(list []manifest.Fingerprint) []manifest.Fingerprint {
		list = slices.Clone(list)
		switch r.IntN(4) {
		case 0: // grow
			for range 1 + r.IntN(5) {
				list = append(list, was(len(list)))
			}
		case 1: // shrink
			list = list[:max(1, len(list)-r.IntN(5))]
		}
		for range r.IntN(4) {
			i := r.IntN(len(list))
			list[i] = was(i)
		}
		if r.IntN(3) == 0 { // moves
			i, j := r.IntN(len(list)), r.IntN(len(list))
			list[i] = list[j]
		}
		return list
	}
	part := func(list []manifest.Fingerprint, b int) []manifest.Fingerprint {
		return list[min(len(list), b*manifest.BlockChunks):min(len(list), (b+1)*manifest.BlockChunks)]
	}
	for round := range 400 {
		s := &shelf{blocks: map[manifest.Fingerprint][]byte{}}
		list := make([]manifest.Fingerprint, 1+r.IntN(12))
		if round%40 == 0 { // at the edge of a block
			list = make([]manifest.Fingerprint, manifest.BlockChunks-3+r.IntN(6))
		}
		for i := range list {
			list[i] = sum()
		}
		base = make([][]manifest.Fingerprint, 3)
		var last *manifest.Manifest
		var lastList []manifest.Fingerprint
		for range 8 {
			for b := range manifest.BlockCount(len(list)) {
				if r.IntN(4) == 0 {
					base[b] = slices.Clone(part(list, b)) // stored now, maybe changed after
				} else if r.IntN(12) == 0 {
					base[b] = nil
				}
			}
			if r.IntN(2) == 0 {
				list = change(list)
			}
			m := s.describe(list, base)
			if err := m.Validate(); err != nil {
				t.Fatal(err)
			}
			got := (&comparison{m: m, last: last, read: s.read}).all(t)
			found := map[manifest.Fingerprint]bool{}
			for _, f := range got {
				found[f] = true
			}
			want, known := flat(m, list), map[manifest.Fingerprint]bool{}
			if last != nil {
				known = flat(last, lastList)
			}
			for f := range want {
				if !known[f] && !found[f] {
					t.Fatalf("round %d: %v is not found", round, f)
				}
			}
			for f := range found {
				if !want[f] {
					t.Fatalf("round %d: %v is found, and not referenced", round, f)
				}
				elsewhere := slices.IndexFunc(list, func(g manifest.Fingerprint) bool { return g == f })
				if elsewhere < 0 || !known[f] {
					continue
				}
				moved := false
				for i, g := range list {
					moved = moved || g == f && (i >= len(lastList) || lastList[i] != f)
				}
				if !moved {
					t.Fatalf("round %d: %v is found, and did not move", round, f)
				}
			}
			last, lastList = m, slices.Clone(list)
			list = change(list)
		}
	}
}

// large returns a list of 100 whole blocks, all of them stored.
func large() (list []manifest.Fingerprint, base [][]manifest.Fingerprint) {
	list = make([]manifest.Fingerprint, 100*manifest.BlockChunks)
	for i := range list {
		list[i] = manifest.Fingerprint{Hi: 1, Lo: uint64(i)}
	}
	for b := range 100 {
		base = append(base, slices.Clone(list[b*manifest.BlockChunks:(b+1)*manifest.BlockChunks]))
	}
	return list, base
}

// What did not change costs no reading.
func TestComparisonReadsLittle(t *testing.T) {
	list, base := large()
	fresh := func(n uint64) manifest.Fingerprint { return manifest.Fingerprint{Hi: 2, Lo: n} }
	const at = 50*manifest.BlockChunks + 7
	s := &shelf{blocks: map[manifest.Fingerprint][]byte{}}
	last := s.describe(list, base)
	for _, c := range []struct {
		what  string
		do    func()
		want  func() []manifest.Fingerprint
		reads int
	}{
		{"nothing", func() {}, func() []manifest.Fingerprint { return nil }, 0},
		{"an override", func() { list[at] = fresh(1) }, func() []manifest.Fingerprint { return []manifest.Fingerprint{fresh(1)} }, 0},
		{"another one", func() { list[at] = fresh(2) }, func() []manifest.Fingerprint { return []manifest.Fingerprint{fresh(2)} }, 0},
		{"one more", func() { list[at+1] = fresh(3) }, func() []manifest.Fingerprint { return []manifest.Fingerprint{fresh(3)} }, 0},
		{
			"it is stored", func() { base[50] = slices.Clone(list[50*manifest.BlockChunks:][:manifest.BlockChunks]) },
			func() []manifest.Fingerprint { return []manifest.Fingerprint{s.store(base[50])} }, 0,
		},
		{"it is stored, and more changes", func() {
			list[at] = fresh(4)
			base[50] = slices.Clone(list[50*manifest.BlockChunks:][:manifest.BlockChunks])
			list[at+1] = fresh(5)
		}, func() []manifest.Fingerprint { return []manifest.Fingerprint{s.store(base[50]), fresh(4), fresh(5)} }, 2},
		{"back to what is stored", func() { list[at+1] = base[50][8] }, func() []manifest.Fingerprint { return []manifest.Fingerprint{base[50][8]} }, 2},
	} {
		c.do()
		m := s.describe(list, base)
		s.reads = 0
		got := (&comparison{m: m, last: last, read: s.read}).all(t)
		if want := c.want(); !slices.Equal(got, want) {
			t.Errorf("%s: got %d, %v, want %v", c.what, len(got), got[:min(len(got), 5)], want)
		}
		if s.reads != c.reads {
			t.Errorf("%s: %d blocks were read, want %d", c.what, s.reads, c.reads)
		}
		last = m
	}
}

// Without the last manifest's block nothing is known of its chunks; without that of the manifest
// itself there is an error.
func TestComparisonWithoutBlocks(t *testing.T) {
	s := &shelf{blocks: map[manifest.Fingerprint][]byte{}}
	list := make([]manifest.Fingerprint, 6)
	for i := range list {
		list[i] = manifest.Fingerprint{Lo: uint64(i + 1)}
	}
	old := [][]manifest.Fingerprint{slices.Clone(list[:5])}
	last := s.describe(list, old)
	list[2] = manifest.Fingerprint{Lo: 99}
	m := s.describe(list, [][]manifest.Fingerprint{slices.Clone(list[:4])})
	for f := range maps.Clone(s.blocks) {
		if f == last.Blocks[0].Stored {
			delete(s.blocks, f)
		}
	}
	got := (&comparison{m: m, last: last, read: s.read}).all(t)
	if want := append([]manifest.Fingerprint{m.Blocks[0].Stored}, list[1:]...); !slices.Equal(got, want) {
		t.Errorf("without the last one's: got %v, want %v", got, want)
	}

	delete(s.blocks, m.Blocks[0].Stored)
	var missing *missingError
	if _, err := (&comparison{m: m, last: last, read: s.read}).unknown(0); !errors.As(err, &missing) {
		t.Errorf("without its own: got %v", err)
	}
	other := errors.New("no answer")
	read := func(f manifest.Fingerprint) ([]byte, error) {
		if f == last.Blocks[0].Stored {
			return nil, other
		}
		return manifest.AppendList(nil, list[:4]), nil
	}
	if _, err := (&comparison{m: m, last: last, read: read}).unknown(0); !errors.Is(err, other) {
		t.Errorf("if the last one's can't be asked for now: got %v", err)
	}
	m.Blocks[0].Digest.Lo++
	s.store(list[:4])
	if _, err := (&comparison{m: m, last: nil, read: s.read}).unknown(0); !errors.Is(err, manifest.ErrCorrupt) {
		t.Errorf("with another digest: got %v", err)
	}
}

func TestReferences(t *testing.T) {
	s := &shelf{blocks: map[manifest.Fingerprint][]byte{}}
	list := []manifest.Fingerprint{{}, {Lo: 1}, manifest.ZeroChunk, {Lo: 2}}
	m := s.describe(list, [][]manifest.Fingerprint{list[:2:2]})
	var got []manifest.Fingerprint
	err := references(m, 0, s.read, func(f manifest.Fingerprint) bool { got = append(got, f); return true })
	if want := []manifest.Fingerprint{m.Blocks[0].Stored, {Lo: 1}, {Lo: 2}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	s.reads = 0
	if err := references(m, 0, s.read, func(manifest.Fingerprint) bool { return false }); err != nil || s.reads > 0 {
		t.Errorf("the name of the block: %v, %d reads", err, s.reads)
	}
}
