package logwriter_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

func TestAppend(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	data := random(200_000, 1)
	res := r.append(data)
	if res.Entry != 1 || res.Objects != 1 || res.Bytes < 200_000 || res.Bytes > 202_000 {
		t.Errorf("first: %+v", res)
	}
	if n := r.s.verbs[store.VerbPut]; n != 2 {
		t.Errorf("first: %d puts, want those of the entry and of its copy", n)
	}
	e, _ := entryOf(t, r.s, 1)
	latest := object(t, r.s, remotelog.LatestKey(testName))
	if got, _, _, err := remotelog.DecodeEntry(latest); err != nil || got.Number != 1 {
		t.Errorf("latest: %v", err)
	}
	if e.Contents() != take(data, 1).m.Contents() || !e.Owner.Same(owner(1)) || e.Takeover || e.Sequence != 1 ||
		string(e.VersionID) != "v" || e.Generator != "test" || e.Writer != "host 1" || e.Appended.IsZero() {
		t.Errorf("entry: %+v", e)
	}

	data[70_000]++ // page 1 of chunk 1
	r.s.reset()
	res = r.append(data)
	if res.Entry != 2 || res.Bytes < pageSize || res.Bytes > pageSize+1024 {
		t.Errorf("one page: %+v", res)
	}
	e2, _ := entryOf(t, r.s, 2)
	if want := manifest.Sum(object(t, r.s, remotelog.EntryKey(testName, 1))[:headerLen(t, r.s, 1)]); e2.Previous != want {
		t.Errorf("previous: got %v, want %v", e2.Previous, want)
	}

	r.s.reset()
	s := take(data, r.n)
	res, err := r.w.Append(t.Context(), s.m, s)
	if err != nil || !res.Unchanged || res.Entry != 2 || r.s.requests() != 0 {
		t.Errorf("unchanged: %+v, %v, %d requests", res, err, r.s.requests())
	}
	s = take(random(1000, 2), r.n)
	if _, err := r.w.Append(t.Context(), s.m, s); !errors.Is(err, logwriter.ErrSuperseded) {
		t.Errorf("same sequence, other contents: got %v, want %v", err, logwriter.ErrSuperseded)
	}
	if r.s.requests() != 0 {
		t.Errorf("superseded: %d requests", r.s.requests())
	}
	if got := entries(t, r.s); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("entries: %v", got)
	}
}

func headerLen(t testing.TB, s store.Store, number uint64) int {
	t.Helper()
	_, n, _, err := remotelog.DecodeEntry(object(t, s, remotelog.EntryKey(testName, number)))
	check(t, err)
	return n
}

// TestShapes appends databases that grow, shrink, and have holes, each in turn after the one before.
func TestShapes(t *testing.T) {
	const chunk = manifest.ChunkSize
	for _, o := range map[string]logwriter.Options{
		"inline": {}, "packs": {Inline: -1, PackSize: 100_000, Jobs: 2}, "mixed": {Inline: 40_000, PackSize: 150_000},
		"forgetful": {Remember: -1}, "half": {Remember: 3},
	} {
		r := newRig(t, o)
		base := random(40*chunk, 3)
		for _, n := range []int{
			0, 1, 100, 4096, 5000, chunk - 1, chunk, chunk + 1, 3*chunk + 10_000, 3*chunk + 8192, 17 * chunk, 17*chunk + 5,
			16 * chunk, 40 * chunk, 40*chunk - 70_001, 20*chunk + 4095, 20*chunk + 2000, 20*chunk + 4096, 0, 30*chunk + 9,
		} {
			r.append(base[:n])
		}
		data := bytes.Clone(base)
		clear(data[5*chunk : 9*chunk])
		r.append(data)
		clear(data[:chunk])
		r.append(data)
		data[6*chunk+9]++
		r.append(data)
		copy(data[7*chunk:], data[30*chunk:34*chunk])
		r.append(data)
	}
}

// TestRandom appends random changes, restarts and compacts now and then, and checks each state.
func TestRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t, logwriter.Options{Inline: 100_000, PackSize: 300_000})
	data := random(2_000_000, seed)
	states := map[uint64][]byte{r.append(data).Entry: bytes.Clone(data)}
	for range 80 {
		switch rnd.IntN(10) {
		case 4, 5:
			res, err := r.w.Compact(t.Context(), logwriter.Budget{Bytes: 1 << rnd.IntN(24)})
			check(t, err)
			if before, ok := states[res.Entry]; ok != res.Unchanged || ok && !bytes.Equal(before, data) {
				t.Fatalf("compaction: %+v", res)
			}
			states[res.Entry] = bytes.Clone(data)
		case 0:
			data = data[:rnd.IntN(len(data)+1)]
		case 1:
			data = append(data, random(rnd.IntN(300_000), rnd.Uint64())...)
		case 2:
			r.restart()
		case 3:
			at := rnd.IntN(len(data) + 1)
			clear(data[at:min(len(data), at+200_000)])
		}
		for range rnd.IntN(40) {
			if len(data) > 0 {
				data[rnd.IntN(len(data))]++
			}
		}
		res := r.append(data)
		states[res.Entry] = bytes.Clone(data)
	}
	for n, want := range states {
		if !bytes.Equal(restore(t, r.s, n), want) {
			t.Errorf("entry %d restores to something else now", n)
		}
	}
}

// TestGrowth checks that a last chunk that grows is sent as a delta.
func TestGrowth(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	data := random(10*manifest.ChunkSize, 4)
	r.append(data[:5*manifest.ChunkSize+10*pageSize])
	res := r.append(data[:5*manifest.ChunkSize+12*pageSize])
	if res.Bytes < 2*pageSize || res.Bytes > 2*pageSize+1500 {
		t.Errorf("two pages more: %d bytes", res.Bytes)
	}
	res = r.append(data[:5*manifest.ChunkSize+12*pageSize+100])
	if res.Bytes > 1600 {
		t.Errorf("100 bytes more: %d bytes", res.Bytes)
	}
	res = r.append(data[:5*manifest.ChunkSize+12*pageSize])
	if res.Bytes > 1500 {
		t.Errorf("cut off at the end of a page: %d bytes", res.Bytes)
	}
}

// TestStoredBlocks appends manifests as they are when the index blocks are kept beside them.
func TestStoredBlocks(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	data := random(30*manifest.ChunkSize, 5)
	s := &blocky{snap: take(data, 1)}
	s.store()
	if _, err := r.w.Append(t.Context(), s.m, s); err != nil {
		t.Fatal(err)
	}
	data[8*manifest.ChunkSize]++
	old := s
	s = &blocky{snap: take(data, 2), block: old.block}
	s.m.Blocks = []manifest.Block{{
		Stored: old.m.Blocks[0].Stored, Digest: manifest.InlineBlocks(s.m.Chunks)[0].Digest,
		Overrides: []manifest.Override{{Place: 8, Sum: s.m.Chunks[8]}},
	}}
	s.m.Chunks = nil
	res, err := r.w.Append(t.Context(), s.m, s)
	check(t, err)
	if !bytes.Equal(restore(t, r.s, res.Entry), data) {
		t.Error("restores to something else")
	}
	if s.m.Sequence = 3; true {
		s.block = nil
	}
	if _, err := r.w.Append(t.Context(), s.m, s); err != nil {
		t.Errorf("same contents, so no block is read: %v", err)
	}
	r.restart()
	s.m.Sequence, s.m.Blocks[0].Digest.Lo = 4, 0
	if _, err := r.w.Append(t.Context(), s.m, s); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a block that is nowhere: got %v, want %v", err, fs.ErrNotExist)
	}
}

// blocky is a snapshot whose index block is stored.
type blocky struct {
	*snap
	block []byte
}

func (s *blocky) store() {
	s.block = manifest.AppendList(nil, s.m.Chunks)
	sum := manifest.Sum(s.block)
	s.m.Blocks, s.m.Chunks = []manifest.Block{{Stored: sum, Digest: sum}}, nil
}

func (s *blocky) Block(ctx context.Context, f manifest.Fingerprint) ([]byte, error) {
	if s.block == nil || manifest.Sum(s.block) != f {
		return s.snap.Block(ctx, f)
	}
	return s.block, nil
}

func TestMissing(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	data := random(20*manifest.ChunkSize, 6)
	r.append(data)
	// A chunk that moved is in the store.
	copy(data[12*manifest.ChunkSize:], data[3*manifest.ChunkSize:4*manifest.ChunkSize])
	s := take(data, 2)
	s.only = map[manifest.Fingerprint]bool{}
	res, err := r.w.Append(t.Context(), s.m, s)
	check(t, err)
	if !bytes.Equal(restore(t, r.s, res.Entry), data) {
		t.Error("restores to something else")
	}
	// One that is nowhere is an error that says which.
	data[12*manifest.ChunkSize]++
	s = take(data, 3)
	s.only = map[manifest.Fingerprint]bool{}
	var missing *logwriter.MissingError
	if _, err = r.w.Append(t.Context(), s.m, s); !errors.As(err, &missing) || missing.Chunk != 12 ||
		missing.Sum != s.m.Chunks[12] || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "chunk 12") {
		t.Errorf("got %v, want a MissingError of chunk 12", err)
	}
	// So is one that is not what it should be.
	s.only = nil
	s.at[s.m.Chunks[12]] = 11
	if _, err = r.w.Append(t.Context(), s.m, s); !errors.As(err, &missing) || !errors.Is(err, manifest.ErrCorrupt) {
		t.Errorf("got %v, want a MissingError for a corrupt chunk", err)
	}
	s.at[s.m.Chunks[12]] = 12
	if res, err = r.w.Append(t.Context(), s.m, s); err != nil || res.Entry != 3 {
		t.Errorf("with all at hand: %+v, %v", res, err)
	}
}
