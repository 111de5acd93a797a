package logwriter_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
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

// TestTight lets index blocks be stored by entries that have no room left for them.
func TestTight(t *testing.T) {
	r := newRig(t, logwriter.Options{Inline: pageSize + 700})
	data := random(100*manifest.ChunkSize, 1)
	r.append(data)
	apart := 0
	for i := range 150 {
		data[(i*7%100)*manifest.ChunkSize+i]++
		res := r.send(data)
		e, inline := entryOf(t, r.s.Store, res.Entry)
		if s := e.Blocks[0].Stored.Object; s.Entry == res.Entry && s.Part == 1 {
			if len(inline) < pageSize || len(e.Blocks[0].Overrides) > 0 {
				t.Errorf("entry %d: %d bytes inline, %d overrides", res.Entry, len(inline), len(e.Blocks[0].Overrides))
			}
			if !bytes.Equal(restore(t, r.s.Store, res.Entry), data) {
				t.Fatalf("entry %d restores to something else", res.Entry)
			}
			apart++
		}
	}
	if apart == 0 {
		t.Error("no index block was put into a pack")
	}
}

// TestUploads checks how many packs are in memory and under way at a time.
func TestUploads(t *testing.T) {
	const packSize, jobs = 4 * manifest.ChunkSize, 3
	remotelog.AppendFrame(nil, remotelog.KindChunk, []byte("what the encoder is made of belongs to no bubble"))
	data := random(200*manifest.ChunkSize, 1)
	synctest.Test(t, func(t *testing.T) {
		g := &gated{Store: mem.New(), open: make(chan struct{})}
		w := logwriter.New(g, g, testName, logwriter.Options{Owner: owner(1), Inline: -1, PackSize: packSize, Jobs: jobs})
		s := &reads{snap: take(data, 1)}
		done := make(chan error)
		go func() {
			_, err := w.Append(context.Background(), s.m, s)
			done <- err
		}()
		synctest.Wait()
		// What was read is in the packs under way, and in the one behind them.
		if n, most := g.now.Load(), int64(jobs); n != most {
			t.Errorf("%d uploads at a time, want %d", n, most)
		}
		if n, most := s.n.Load(), int64((jobs+1)*packSize/manifest.ChunkSize); n > most || n < most-2 {
			t.Errorf("%d chunks were read, want %d", n, most)
		}
		close(g.open)
		check(t, <-done)
		if !bytes.Equal(restore(t, g.Store, 1), s.data) {
			t.Error("restores to something else")
		}
	})
}

// gated is a store in which packs wait.
type gated struct {
	store.Store
	open chan struct{}
	now  atomic.Int64
}

func (g *gated) Put(ctx context.Context, key string, body []byte, c store.Condition) (store.Info, error) {
	if strings.HasPrefix(key, remotelog.PackPrefix(testName)) {
		g.now.Add(1)
		<-g.open
	}
	return g.Store.Put(ctx, key, body, c)
}

// reads is a snapshot that counts how many chunks are read.
type reads struct {
	*snap
	n atomic.Int64
}

func (r *reads) Chunk(ctx context.Context, f manifest.Fingerprint) ([]byte, error) {
	r.n.Add(1)
	return r.snap.Chunk(ctx, f)
}

// TestHooks checks that callers see, and do, what they asked for.
func TestHooks(t *testing.T) {
	var mu sync.Mutex
	verbs := map[store.Verb]int{}
	sent, frames := 0, 0
	r := newRig(t, logwriter.Options{
		Request: func(v store.Verb, n int) {
			mu.Lock()
			defer mu.Unlock()
			verbs[v]++
			sent += n
		},
		Compress: func(b []byte, kind remotelog.Kind, raw []byte) []byte {
			frames++
			return remotelog.AppendFrame(b, kind, raw)
		},
	})
	data := random(30*manifest.ChunkSize, 1)
	r.append(data)
	data[3]++
	r.send(data)
	if !maps.Equal(verbs, r.s.verbs) || int64(sent) != r.s.bytes {
		t.Errorf("told of %v with %d bytes, there were %v with %d", verbs, sent, r.s.verbs, r.s.bytes)
	}
	if frames != 30+1+1 { // chunks, the index block, and a page
		t.Errorf("%d frames", frames)
	}
}

// TestNewerFormat checks that nothing is appended to a log that a later version has written.
func TestNewerFormat(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	data := random(1000, 1)
	r.append(data)
	b := object(t, r.s, remotelog.EntryKey(testName, 1))
	b[13] = 2 // the major version
	for _, key := range []string{remotelog.EntryKey(testName, 2), remotelog.LatestKey(testName)} {
		_, err := r.s.Put(t.Context(), key, b, store.Condition{})
		check(t, err)
	}
	r.restart()
	sn := take(data, 5)
	if _, err := r.w.Append(t.Context(), sn.m, sn); !errors.Is(err, remotelog.ErrVersion) {
		t.Errorf("got %v, want %v", err, remotelog.ErrVersion)
	}
	if got := entries(t, r.s); len(got) != 2 {
		t.Errorf("entries: %v", got)
	}
}

// TestClock lets the clock step back.
func TestClock(t *testing.T) {
	var c clock
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := newRig(t, logwriter.Options{Now: c.Now})
	data := random(1000, 1)
	for i, want := range []struct{ now, appended time.Duration }{
		{0, 0}, {time.Second, time.Second}, {-time.Minute, time.Second}, {2 * time.Second, 2 * time.Second}, {-5 * time.Hour, -5 * time.Hour},
	} {
		c.set(start.Add(want.now))
		data[i]++
		res := r.append(data)
		if e, _ := entryOf(t, r.s, res.Entry); !e.Appended.Equal(start.Add(want.appended)) {
			t.Errorf("at %v: appended at %v, want %v", want.now, e.Appended.Sub(start), want.appended)
		}
	}
}

func TestNoOwner(t *testing.T) {
	s := mem.New()
	sn := take(random(1000, 1), 1)
	if _, err := logwriter.New(s, s, testName, logwriter.Options{}).Append(t.Context(), sn.m, sn); err == nil || len(keys(t, s, "")) > 0 {
		t.Errorf("got %v, objects %v", err, keys(t, s, ""))
	}
}
