package remotelog_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

func TestAllPages(t *testing.T) {
	for n, want := range map[int]uint16{
		-1: 0, 0: 0, 1: 1, 4095: 1, 4096: 1, 4097: 3, 8192: 3, 61440: 0x7fff, 61441: 0xffff, 65536: 0xffff, 1 << 20: 0xffff,
	} {
		if got := remotelog.AllPages(n); got != want {
			t.Errorf("%d bytes: got %016b, want %016b", n, got, want)
		}
	}
}

// TestCover compares with a list of which frame has each page.
func TestCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := func(i int) remotelog.Place {
			return remotelog.Place{Object: remotelog.ObjectID{Entry: uint64(i)}, Length: 100}
		}
		var want [16]int // 0 is none
		var c remotelog.Chunk
		for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
			before := slices.Clone(c.Layers)
			shared := c.Layers
			if rapid.IntRange(0, 5).Draw(t, "what") > 0 {
				pages := rapid.Uint16().Draw(t, "pages") & rapid.Uint16().Draw(t, "and")
				c.Cover(pages, frame(i+1))
				for page := range want {
					if pages&(1<<page) != 0 {
						want[page] = i + 1
					}
				}
			} else {
				n := rapid.IntRange(0, manifest.ChunkSize).Draw(t, "bytes")
				c.Truncate(n)
				for page := range want {
					if page*remotelog.PageSize >= n {
						want[page] = 0
					}
				}
			}
			if !slices.Equal(before, shared) {
				t.Fatal("the layers from before were changed")
			}
			var got [16]int
			last := uint64(0)
			for _, l := range c.Layers {
				if l.Pages == 0 || l.Frame.Object.Entry <= last {
					t.Fatalf("layers %v", c.Layers)
				}
				last = l.Frame.Object.Entry
				for page := range got {
					if l.Pages&(1<<page) != 0 {
						if got[page] != 0 {
							t.Fatalf("page %d is in two layers", page)
						}
						got[page] = int(last)
					}
				}
			}
			if got != want {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}

// A shelf keeps frames by their places.
type shelf map[remotelog.Place][]byte

var errNoFrame = errors.New("no such frame")

func (s shelf) put(kind remotelog.Kind, raw []byte) remotelog.Place {
	f := remotelog.AppendFrame(nil, kind, raw)
	p := remotelog.Place{Object: remotelog.ObjectID{Entry: uint64(len(s) + 1)}, Length: int64(len(f))}
	s[p] = f
	return p
}

func (s shelf) read(p remotelog.Place) (remotelog.Kind, []byte, error) {
	f, ok := s[p]
	if !ok {
		return 0, nil, errNoFrame
	}
	return remotelog.OpenFrame(f)
}

// TestCompose lets a database of up to three chunks change, grow and shrink, and reads every state from frames.
func TestCompose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		s := shelf{}
		var db []byte
		var list []remotelog.Chunk
		for range rapid.IntRange(1, 12).Draw(t, "commits") {
			old := db
			db = bytes.Clone(db)
			size := len(db)
			if len(db) == 0 || rapid.Bool().Draw(t, "resize") {
				size = rapid.IntRange(1, 3*manifest.ChunkSize).Draw(t, "size")
			}
			db = append(db[:min(len(db), size)], make([]byte, max(0, size-len(db)))...)
			for range rapid.IntRange(0, 4).Draw(t, "writes") {
				page := rng.IntN((size + 4095) / 4096)
				_, _ = rand.NewChaCha8([32]byte{byte(rng.Uint32())}).Read(db[page*4096 : min(size, page*4096+4096)])
			}
			count := manifest.Count(int64(size))
			list = append(slices.Clone(list[:min(count, len(list))]), make([]remotelog.Chunk, max(0, count-len(list)))...)
			var frame []remotelog.Delta
			for i := range list {
				chunk := db[i*manifest.ChunkSize:][:manifest.ChunkLen(int64(size), i)]
				was := old[min(len(old), i*manifest.ChunkSize):min(len(old), (i+1)*manifest.ChunkSize)]
				c := &list[i]
				if c.Sum = manifest.Sum(chunk); c.Sum == manifest.ZeroChunk {
					c.Layers = nil
					continue
				}
				// What the layers have, as it was, and is still so.
				has := c.Pages()
				d := remotelog.Delta{Chunk: int64(i)}
				for page := range 16 {
					if page*4096 >= len(chunk) {
						break
					}
					now := chunk[page*4096 : min(len(chunk), page*4096+4096)]
					if has&(1<<page) != 0 && len(was) > page*4096 && bytes.HasPrefix(was[page*4096:], now) {
						continue
					}
					d.Pages |= 1 << page
					d.Data = append(d.Data, now...)
				}
				c.Truncate(len(chunk))
				if d.Pages == remotelog.AllPages(len(chunk)) && rapid.Bool().Draw(t, "whole") {
					c.Cover(d.Pages, s.put(remotelog.KindChunk, chunk))
				} else if d.Pages != 0 {
					frame = append(frame, d)
				}
			}
			if len(frame) > 0 {
				p := s.put(remotelog.KindDelta, remotelog.AppendDeltas(nil, frame))
				for _, d := range frame {
					list[d.Chunk].Cover(d.Pages, p)
				}
			}
			for i := range list {
				got, err := list[i].Compose(int64(i), manifest.ChunkLen(int64(size), i), s.read)
				if err != nil {
					t.Fatal(err)
				}
				if want := db[i*manifest.ChunkSize : min(size, (i+1)*manifest.ChunkSize)]; !bytes.Equal(got, want) {
					t.Fatalf("chunk %d: got %d other bytes", i, len(got))
				}
			}
			raw := remotelog.AppendIndex(nil, list)
			decoded, err := remotelog.DecodeIndex(raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(list, decoded); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		}
	})
}

func TestComposeOfOthers(t *testing.T) {
	s := shelf{}
	chunk := content(10000, 1)
	deltas := []remotelog.Delta{
		{Chunk: 6, Pages: 0xffff, Data: content(65536, 2)},
		{Chunk: 7, Pages: 6, Data: chunk[4096:]},
	}
	whole := s.put(remotelog.KindChunk, chunk)
	delta := s.put(remotelog.KindDelta, remotelog.AppendDeltas(nil, deltas))
	index := s.put(remotelog.KindIndex, remotelog.AppendIndex(nil, packed(3, 1)))
	short := s.put(remotelog.KindChunk, chunk[:9999])
	other := s.put(remotelog.KindChunk, content(10000, 3))
	damaged := s.put(remotelog.KindChunk, content(9000, 4))
	s[damaged][1000] ^= 1
	layers := func(l ...remotelog.Layer) remotelog.Chunk {
		return remotelog.Chunk{Sum: manifest.Sum(chunk), Layers: l}
	}
	c := layers(remotelog.Layer{Frame: whole, Pages: 1}, remotelog.Layer{Frame: delta, Pages: 6})
	got, err := c.Compose(7, 10000, s.read)
	check(t, err)
	if !bytes.Equal(got, chunk) {
		t.Error("got other bytes")
	}
	for name, bad := range map[string]struct {
		c      remotelog.Chunk
		number int64
		n      int
		want   error
	}{
		"another chunk":        {c, 6, 10000, remotelog.ErrCorrupt},
		"no such chunk":        {c, 8, 10000, remotelog.ErrCorrupt},
		"longer":               {c, 7, 10001, remotelog.ErrCorrupt},
		"by a page":            {c, 7, 12289, remotelog.ErrCorrupt},
		"shorter":              {c, 7, 9999, remotelog.ErrCorrupt},
		"shorter by a page":    {c, 7, 4096, remotelog.ErrCorrupt},
		"negative":             {c, 7, -1, remotelog.ErrCorrupt},
		"longer than a chunk":  {c, 7, manifest.ChunkSize + 1, remotelog.ErrCorrupt},
		"nowhere":              {layers(), 7, 10000, remotelog.ErrCorrupt},
		"a page missing":       {layers(remotelog.Layer{Frame: delta, Pages: 6}), 7, 10000, remotelog.ErrCorrupt},
		"page not in a delta":  {layers(remotelog.Layer{Frame: delta, Pages: 7}), 7, 10000, remotelog.ErrCorrupt},
		"page not in a chunk":  {layers(remotelog.Layer{Frame: whole, Pages: 15}), 7, 10000, remotelog.ErrCorrupt},
		"page cut short":       {layers(remotelog.Layer{Frame: short, Pages: 7}), 7, 10000, remotelog.ErrCorrupt},
		"another's bytes":      {layers(remotelog.Layer{Frame: other, Pages: 7}), 7, 10000, remotelog.ErrCorrupt},
		"an index":             {layers(remotelog.Layer{Frame: index, Pages: 7}), 7, 10000, remotelog.ErrCorrupt},
		"damaged":              {layers(remotelog.Layer{Frame: damaged, Pages: 7}), 7, 10000, remotelog.ErrCorrupt},
		"missing":              {layers(remotelog.Layer{Pages: 7}), 7, 10000, errNoFrame},
		"zeros, short":         {remotelog.Chunk{Sum: manifest.ZeroChunk}, 7, 10000, remotelog.ErrCorrupt},
		"nothing of something": {layers(), 7, 0, remotelog.ErrCorrupt},
	} {
		got, err := bad.c.Compose(bad.number, bad.n, s.read)
		wantIs(t, name, err, bad.want)
		if got != nil {
			t.Errorf("%s: got %d bytes", name, len(got))
		}
	}
	zeros := remotelog.Chunk{Sum: manifest.ZeroChunk}
	got, err = zeros.Compose(3, manifest.ChunkSize, nil)
	check(t, err)
	if manifest.Sum(got) != manifest.ZeroChunk {
		t.Error("got other bytes than zeros")
	}
}

func TestIndexRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := indexes().Draw(t, "chunks")
		raw := remotelog.AppendIndex([]byte("before"), want)[6:]
		got, err := remotelog.DecodeIndex(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		cut := rapid.IntRange(0, len(raw)-1).Draw(t, "cut")
		if _, err := remotelog.DecodeIndex(raw[:cut]); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Fatalf("cut at %d: got %v", cut, err)
		}
		if _, err := remotelog.DecodeIndex(append(raw, 0)); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Fatalf("a byte more: got %v", err)
		}
	})
}

// TestGreatestIndex has as many layers as can be, all in other objects and as expensive as can be.
func TestGreatestIndex(t *testing.T) {
	list := make([]remotelog.Chunk, manifest.BlockChunks)
	n := uint64(0)
	for i := range list {
		list[i].Sum = sum(i)
		for page := range 16 {
			n++
			id := remotelog.ObjectID{Entry: n, Part: math.MaxUint32, Nonce: n}
			if i == 4095 && page == 15 {
				id.Entry = remotelog.MaxNumber
			}
			const length = remotelog.FrameHead + remotelog.MaxDelta
			list[i].Layers = append(list[i].Layers, remotelog.Layer{Pages: 1 << page, Frame: remotelog.Place{
				Object: id, Offset: remotelog.MaxOffset - length, Length: length,
			}})
		}
	}
	raw := remotelog.AppendIndex(nil, list)
	t.Logf("%d bytes", len(raw))
	f := remotelog.AppendFrame(nil, remotelog.KindIndex, raw)
	if len(raw) > remotelog.MaxIndex || len(f) > remotelog.MaxFrame {
		t.Fatalf("got %d bytes, as a frame %d", len(raw), len(f))
	}
	raw, err := remotelog.DecodeFrame(f, remotelog.KindIndex)
	check(t, err)
	got, err := remotelog.DecodeIndex(raw)
	check(t, err)
	if diff := cmp.Diff(list, got); diff != "" {
		t.Error("another one was decoded")
	}
}

// TestIndexesThatBreakRules must neither be encoded nor decoded.
func TestIndexesThatBreakRules(t *testing.T) {
	type list = []remotelog.Chunk
	frame := func(l list) *remotelog.Place { return &l[1].Layers[0].Frame }
	for name, spoil := range map[string]func(l list) list{
		"none":              func(list) list { return nil },
		"too many":          func(list) list { return packed(manifest.BlockChunks+1, 3) },
		"zeros somewhere":   func(l list) list { l[1].Sum = manifest.ZeroChunk; return l },
		"nowhere":           func(l list) list { l[1].Layers = nil; return l },
		"short":             func(l list) list { l[1].Truncate(10000); return l },
		"last with a hole":  func(l list) list { l[2].Layers[0].Pages = 5; return l },
		"last from page 1":  func(l list) list { l[2].Layers[0].Pages = 0xfffe; return l },
		"no pages":          func(l list) list { l[1].Layers[0].Pages = 0; return l },
		"layer of no pages": func(l list) list { l[1].Layers = append(l[1].Layers, remotelog.Layer{Frame: *frame(l)}); return l },
		"entry 0":           func(l list) list { frame(l).Object.Entry = 0; return l },
		"entry's nonce":     func(l list) list { frame(l).Object.Part = 0; return l },
		"offset":            func(l list) list { frame(l).Offset = -1; return l },
		"end":               func(l list) list { frame(l).Offset = remotelog.MaxOffset; return l },
		"length":            func(l list) list { frame(l).Length = 0; return l },
		"entry too great":   func(l list) list { frame(l).Object.Entry = remotelog.MaxNumber + 1; return l },
	} {
		bad := spoil(packed(3, 3))
		if name == "entry's nonce" {
			wantPanic(t, name, func() { remotelog.AppendIndex(nil, bad) })
			continue // the bytes of an entry have none
		}
		_, err := remotelog.DecodeIndex(remotelog.AppendIndexUnchecked(nil, bad))
		wantIs(t, name, err, remotelog.ErrCorrupt)
		wantPanic(t, name, func() { remotelog.AppendIndex(nil, bad) })
	}
	_, err := remotelog.DecodeIndex(make([]byte, remotelog.MaxIndex+1))
	wantIs(t, "too long", err, remotelog.ErrCorrupt)
	// The greatest entry that is named must be the base.
	raw := remotelog.AppendIndex(nil, packed(3, 3))
	const distance = 1 + 1 + 3*16 + 3 + 3 // behind base, count, fingerprints, shapes and references
	raw[0]++
	raw[distance]++
	_, err = remotelog.DecodeIndex(raw)
	wantIs(t, "another base", err, remotelog.ErrCorrupt)
}

func wantPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
