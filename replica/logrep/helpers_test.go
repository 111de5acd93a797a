package logrep_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"maps"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

const name = "1563-boule%3Atest.com%3A2b53%2F%2Ftmp%2Ftest.db"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMain compresses something, so that what the compressor keeps belongs to no test with a clock of its own.
func TestMain(m *testing.M) {
	frame := remotelog.AppendFrame(nil, remotelog.KindChunk, make([]byte, 100))
	if _, err := remotelog.DecodeFrame(frame, remotelog.KindChunk); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func wantIs(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got %v, want %v", what, err, target)
	}
}

// A database is sparse: what is not in chunks is zeros.
type database struct {
	size   int64
	chunks map[int][]byte // never changed, only replaced
}

func (d *database) clone() *database { return &database{d.size, maps.Clone(d.chunks)} }

// chunk returns chunk i.
func (d *database) chunk(i int) []byte {
	if c := d.chunks[i]; c != nil {
		return c
	}
	return make([]byte, manifest.ChunkLen(d.size, i))
}

// resize truncates or extends.
func (d *database) resize(size int64) {
	d.size = size
	for i, c := range d.chunks {
		switch n := manifest.ChunkLen(size, i); {
		case n == 0:
			delete(d.chunks, i)
		case n != len(c):
			d.chunks[i] = append(bytes.Clone(c[:min(n, len(c))]), make([]byte, max(0, n-len(c)))...)
		}
	}
}

// write changes bytes within a chunk.
func (d *database) write(off int64, p []byte) {
	i := int(off / manifest.ChunkSize)
	c := bytes.Clone(d.chunk(i))
	copy(c[off%manifest.ChunkSize:], p)
	if d.chunks == nil {
		d.chunks = map[int][]byte{}
	}
	d.chunks[i] = c
}

// bytes returns all of a small one.
func (d *database) bytes() []byte {
	var b []byte
	for i := range manifest.Count(d.size) {
		b = append(b, d.chunk(i)...)
	}
	return b
}

// counting counts requests, and the bytes of gets.
type counting struct {
	*mem.Store
	mu    sync.Mutex
	calls map[store.Verb]int
	bytes int64
}

func newCounting() *counting { return &counting{Store: mem.New(), calls: map[store.Verb]int{}} }

func (c *counting) count(verb store.Verb, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[verb]++
	c.bytes += n
}

func (c *counting) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	obj, err := c.Store.Get(ctx, key, opts)
	n := int64(0)
	if err == nil {
		_, n, _ = opts.Range(obj.Size)
	}
	c.count(store.VerbGet, n)
	return obj, err
}

func (c *counting) Head(ctx context.Context, key string) (store.Info, error) {
	c.count(store.VerbHead, 0)
	return c.Store.Head(ctx, key)
}

func (c *counting) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return c.ListAfter(ctx, prefix, "")
}

// ListAfter is what store.ListAfter looks for.
func (c *counting) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		c.count(store.VerbList, 0)
		n := 0
		for info, err := range c.Store.List(ctx, prefix) {
			if err == nil && info.Key <= after {
				continue
			}
			if n++; n > 1000 {
				n = 1
				c.count(store.VerbList, 0)
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// requests returns the number of requests since the last call.
func (c *counting) requests() map[store.Verb]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls, c.bytes = map[store.Verb]int{}, 0
	return calls
}

func (c *counting) read() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// A writer makes a log.
type writer struct {
	t              testing.TB
	packs, entries *counting
	rng            *rand.Rand

	entry    *remotelog.Entry // the newest
	previous manifest.Fingerprint
	db       *database // as in it
	chunks   [][]remotelog.Chunk
	patched  map[int]map[int]bool // places that the patches of blocks have
	now      time.Time
	live     int64 // bytes of frames of the last entry
	bundled  uint64
	bundles  []remotelog.Bundle
	named    int  // how many bundles an entry names
	unsealed bool // as by a program that writes no seals
	sealed   uint64

	states map[uint64]*database // by entry
}

func newWriter(t testing.TB, seed uint64) *writer {
	return &writer{
		t: t, packs: newCounting(), entries: newCounting(), rng: rand.New(rand.NewPCG(seed, 1)),
		named: 2, db: &database{}, patched: map[int]map[int]bool{}, now: time.Unix(1700000000, 123).UTC(), states: map[uint64]*database{},
	}
}

func (w *writer) log() *logrep.Log { return logrep.New(w.packs, w.entries, name) }

// How an entry is to be made.
type how struct {
	pack  bool // frames go to packs
	store bool // blocks that have changed are stored
	patch bool // those that have not been stored now are patched
	index bool // the stored blocks too go to packs
	whole bool // no deltas
	quiet bool // the copy of the header is not put

	bundle bool // there is a bundle of the entries that are in none
}

// frames of one entry.
type frames struct {
	id     remotelog.ObjectID
	inline []byte
	pack   []byte
	w      *writer
}

func (f *frames) add(pack bool, kind remotelog.Kind, raw []byte) remotelog.Place {
	if !pack {
		start := len(f.inline)
		f.inline = remotelog.AppendFrame(f.inline, kind, raw)
		return remotelog.Place{Object: remotelog.ObjectID{Entry: f.id.Entry}, Offset: int64(start), Length: int64(len(f.inline) - start)}
	}
	start := len(f.pack)
	f.pack = remotelog.AppendFrame(f.pack, kind, raw)
	p := remotelog.Place{Object: f.id, Offset: int64(start), Length: int64(len(f.pack) - start)}
	if len(f.pack) >= 8<<20 {
		f.cut()
	}
	return p
}

func (f *frames) cut() {
	if len(f.pack) > 0 {
		_, err := f.w.packs.Put(context.Background(), remotelog.PackKey(name, f.id), f.w.seal(f.pack, f.id), store.Condition{IfAbsent: true})
		check(f.w.t, err)
		f.pack = nil
		f.id.Part++
	}
}

// seal seals a pack, unless there are to be no seals.
func (w *writer) seal(pack []byte, id remotelog.ObjectID) []byte {
	if w.unsealed {
		return pack
	}
	return remotelog.AppendSeal(pack, name, id)
}

// append makes db the newest state.
func (w *writer) append(db *database, h how) *remotelog.Entry {
	w.t.Helper()
	number := uint64(len(w.states) + 1)
	w.now = w.now.Add(time.Second)
	e := &remotelog.Entry{
		Name: remotelog.NameSum(name), Number: number, Previous: w.previous, Appended: w.now,
		Owner: remotelog.Owner{Spool: [16]byte{1}}, Header: manifest.HeaderSum(db.chunk(0)), Sequence: number, Size: db.size,
		SourceTime: w.now,
	}
	f := &frames{id: remotelog.ObjectID{Entry: number, Part: 1, Nonce: w.rng.Uint64()}, w: w}
	chunks := make([][]remotelog.Chunk, manifest.BlockCount(manifest.Count(db.size)))
	for b := range chunks {
		chunks[b] = w.block(f, db, b, h)
	}
	for b, list := range chunks {
		e.Blocks = append(e.Blocks, w.index(f, b, list, h))
	}
	f.cut()
	e.Bundled, e.Bundles = w.bundled, nil
	if h.bundle {
		w.bundles = append(w.bundles, w.bundle(remotelog.ObjectID{Entry: number, Part: 1 << 30, Nonce: 1}))
		e.Bundles, w.bundled = slices.Clone(w.bundles[max(0, len(w.bundles)-w.named):]), number
	}
	if w.unsealed {
		w.sealed = 0
	} else {
		w.sealed = cmp.Or(w.sealed, number)
		e.Sealed, e.Inline = w.sealed, int64(len(f.inline))
	}
	header, err := remotelog.EncodeEntry(e)
	check(w.t, err)
	ctx := context.Background()
	_, err = w.entries.Put(ctx, remotelog.EntryKey(name, number), append(bytes.Clone(header), f.inline...), store.Condition{IfAbsent: true})
	check(w.t, err)
	if !h.quiet {
		_, err = w.entries.Put(ctx, remotelog.LatestKey(name), header, store.Condition{})
		check(w.t, err)
	}
	w.entry, w.previous, w.db, w.chunks = e, manifest.Sum(header), db.clone(), chunks
	w.states[number] = w.db
	w.live = 0
	seen := map[remotelog.Place]bool{}
	for _, list := range chunks {
		for _, c := range list {
			for _, l := range c.Layers {
				if !seen[l.Frame] {
					seen[l.Frame] = true
					w.live += l.Frame.Length
				}
			}
		}
	}
	return e
}

// bundle makes a bundle of the entries of which there is none, but for long ones.
func (w *writer) bundle(id remotelog.ObjectID) remotelog.Bundle {
	u := remotelog.Bundle{Pack: id, First: 1}
	if n := len(w.bundles); n > 0 {
		u.First = w.bundles[n-1].End()
	}
	var body []byte
	for number := u.First; number < id.Entry; number++ {
		b, _, err := store.ReadAll(context.Background(), w.entries.Store, remotelog.EntryKey(name, number), 1<<30)
		check(w.t, err)
		_, header, _, err := remotelog.DecodeEntry(b)
		check(w.t, err)
		if b = b[header:]; len(b) > 100_000 {
			b = nil
		}
		u.Lengths = append(u.Lengths, int64(len(b)))
		body = append(body, b...)
	}
	u.Sum = manifest.Sum(body)
	_, err := w.packs.Put(context.Background(), remotelog.PackKey(name, id), w.seal(body, id), store.Condition{})
	check(w.t, err)
	return u
}

// block makes frames of what has changed in a block.
func (w *writer) block(f *frames, db *database, b int, h how) []remotelog.Chunk {
	n := manifest.BlockLen(manifest.Count(db.size), b)
	list := make([]remotelog.Chunk, n)
	var deltas []remotelog.Delta
	var waiting []*remotelog.Chunk
	flush := func() {
		if len(deltas) == 0 {
			return
		}
		p := f.add(h.pack, remotelog.KindDelta, remotelog.AppendDeltas(nil, deltas))
		for k, c := range waiting {
			c.Cover(deltas[k].Pages, p)
		}
		deltas, waiting = nil, nil
	}
	for place := range list {
		i := b*manifest.BlockChunks + place
		c := &list[place]
		n := manifest.ChunkLen(db.size, i)
		if db.chunks[i] == nil && n == manifest.ChunkSize {
			c.Sum = manifest.ZeroChunk
			continue
		}
		data := db.chunk(i)
		if c.Sum = manifest.Sum(data); c.Sum == manifest.ZeroChunk {
			continue
		}
		if b < len(w.chunks) && place < len(w.chunks[b]) {
			old := w.chunks[b][place]
			if old.Sum == c.Sum {
				*c = old
				continue
			}
			if pages := differ(w.db.chunk(i), data); len(old.Layers) > 0 && !h.whole && bits.OnesCount16(pages) < 12 {
				c.Layers = old.Layers
				c.Truncate(n)
				if pages == 0 {
					continue
				}
				d := remotelog.Delta{Chunk: int64(i), Pages: pages}
				for p := range remotelog.MaxLayers {
					if pages&(1<<p) != 0 {
						d.Data = append(d.Data, data[p*remotelog.PageSize:min((p+1)*remotelog.PageSize, n)]...)
					}
				}
				deltas, waiting = append(deltas, d), append(waiting, c)
				if len(deltas) == 4 {
					flush()
				}
				continue
			}
		}
		c.Layers = []remotelog.Layer{{Frame: f.add(h.pack, remotelog.KindChunk, data), Pages: remotelog.AllPages(n)}}
	}
	flush()
	return list
}

// differ returns the pages of a chunk that are not as they were.
func differ(before, after []byte) (pages uint16) {
	for p := 0; p*remotelog.PageSize < len(after); p++ {
		from, to := p*remotelog.PageSize, min((p+1)*remotelog.PageSize, len(after))
		if from >= len(before) || !bytes.Equal(before[from:min(to, len(before))], after[from:to]) {
			pages |= 1 << p
		}
	}
	return pages
}

// index describes a block.
func (w *writer) index(f *frames, b int, list []remotelog.Chunk, h how) remotelog.Block {
	sums := make([]manifest.Fingerprint, len(list))
	for i := range list {
		sums[i] = list[i].Sum
	}
	block := remotelog.Block{Digest: manifest.Sum(manifest.AppendList(nil, sums))}
	if h.store {
		block.Stored = f.add(h.index, remotelog.KindIndex, remotelog.AppendIndex(nil, list))
		delete(w.patched, b)
		return block
	}
	override := map[int]bool{}
	if w.entry != nil && b < len(w.entry.Blocks) && !w.entry.Blocks[b].Stored.IsZero() {
		block.Stored, block.Patch = w.entry.Blocks[b].Stored, w.entry.Blocks[b].Patch
		for _, o := range w.entry.Blocks[b].Overrides {
			override[o.Place] = true
		}
	} else {
		for i := range list {
			override[i] = true
		}
	}
	for i := range list {
		if override[i] || i >= len(w.chunks[b]) || w.chunks[b][i].Sum != list[i].Sum || !slices.Equal(w.chunks[b][i].Layers, list[i].Layers) {
			override[i] = true
		}
	}
	if h.patch && !block.Stored.IsZero() {
		for i := range w.patched[b] {
			override[i] = true
		}
		w.patched[b] = override
	} else if block.Patch.IsZero() {
		delete(w.patched, b)
	}
	for i := range list {
		if override[i] {
			block.Overrides = append(block.Overrides, remotelog.Override{Place: i, Chunk: list[i]})
		}
	}
	if h.patch && !block.Stored.IsZero() && len(block.Overrides) > 0 {
		block.Patch = f.add(h.index, remotelog.KindPatch, remotelog.AppendPatch(nil, block.Overrides))
		block.Overrides = nil
	}
	return block
}

// content returns n bytes that compress to about a half.
func (w *writer) content(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 16 {
		binary.LittleEndian.PutUint64(b[i:], w.rng.Uint64())
	}
	return b
}

// change makes some random changes.
func (w *writer) change(db *database, most int64) {
	switch w.rng.IntN(8) {
	case 0:
		if db.size == 0 {
			db.resize(most / 4)
			break
		}
		db.resize(w.rng.Int64N(most/512) * 512)
	case 1:
		db.resize(min(most, db.size+512*w.rng.Int64N(400)))
	}
	for range w.rng.IntN(12) {
		if db.size > 0 {
			page := w.rng.Int64N(db.size / 512)
			n := min(512<<w.rng.IntN(4), manifest.ChunkSize-page*512%manifest.ChunkSize, db.size-page*512)
			db.write(page*512, w.content(int(n)))
		}
	}
	if w.rng.IntN(5) == 0 && db.size > 0 { // a whole chunk, like another or zeros
		i := w.rng.IntN(manifest.Count(db.size))
		if n := manifest.ChunkLen(db.size, i); w.rng.IntN(2) == 0 {
			db.write(int64(i)*manifest.ChunkSize, make([]byte, n))
		} else if other := db.chunk(w.rng.IntN(manifest.Count(db.size))); len(other) == n {
			db.write(int64(i)*manifest.ChunkSize, other)
		}
	}
}

// A buffer is an io.WriterAt in memory, not zero at first.
type buffer struct{ b []byte }

func newBuffer(size int64) *buffer { return &buffer{bytes.Repeat([]byte{0xee}, int(size))} }

func (b *buffer) WriteAt(p []byte, off int64) (int, error) { return copy(b.b[off:], p), nil }

func (b *buffer) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, b.b[min(off, int64(len(b.b))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// restore restores an entry, with pages waiting in memory or in what is written.
func restore(t testing.TB, l *logrep.Log, e *remotelog.Entry, inMemory bool) []byte {
	t.Helper()
	out := newBuffer(e.Size)
	check(t, logrep.Restore(t.Context(), l, e, out, waiting(out, inMemory)))
	return out.b
}

// waiting are options with which pages wait in memory or in what is written.
func waiting(b *buffer, inMemory bool) *logrep.RestoreOptions {
	if inMemory {
		return nil
	}
	return &logrep.RestoreOptions{Written: b}
}

// read reads an entry through a snapshot.
func read(t testing.TB, l *logrep.Log, e *remotelog.Entry) ([]byte, error) {
	t.Helper()
	b := make([]byte, e.Size)
	_, err := l.Open(e, nil).ReadAt(t.Context(), b, 0)
	return b, err
}

func faults(t testing.TB, l *logrep.Log, percent int) (list []*logrep.Fault, stats logrep.CheckStats) {
	t.Helper()
	stats, err := l.Check(t.Context(), &logrep.CheckOptions{Percent: percent}, func(f *logrep.Fault) { list = append(list, f) })
	check(t, err)
	if stats.Faults != len(list) {
		t.Errorf("%d faults were told, %d counted", len(list), stats.Faults)
	}
	return list, stats
}
