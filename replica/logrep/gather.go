package logrep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/bits"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// Bounds of a window: the chunks that are put together at a time.
const (
	windowChunks = 4 * manifest.BlockChunks // takes a few MiB to plan
	windowPages  = 12 << 20                 // bytes of pages that wait in memory for others of the same chunk
	keptStored   = 8 << 20                  // bytes of frames, as they are stored, that are kept for later windows
)

// Bounds of a request for several frames. What it gets is used as it comes, so none of it is kept.
const (
	maxRange = 16 << 20  // more than a pack has
	maxGap   = 256 << 10 // what lies between two frames is fetched too if it is shorter than that
	maxWaste = 20        // unless all that would be more than the twentieth of the frames
)

// A gatherer puts many chunks together, with as few requests as it can. Chunks are added in any
// order; done gets each that is sound, to keep, maybe several at a time.
//
// Of a window, the frames that have changed pages of a chunk come first, and these pages wait; those that had the whole
// chunk come last, and complete the chunks while they are being received. So what is in memory is a small part of the window.
// If there is a scratch, pages wait there, so they may come in any order, and windows are as large as they can be planned.
type gatherer struct {
	l       *Log
	jobs    int
	done    func(i int, data []byte) error
	scratch scratch  // maybe nil
	bundles *bundler // maybe nil
	// bad is called with every error about an object or a chunk, and may end everything by returning an error.
	bad func(err error) error

	window  []*chunk
	waiting int64                      // bytes of pages in the window that will wait
	kept    map[remotelog.Place][]byte // frames as they are stored
	room    int64                      // for more of those
	mu      sync.Mutex                 // guards kept and room
}

func newGatherer(l *Log, jobs int, done func(i int, data []byte) error) *gatherer {
	return &gatherer{
		l: l, jobs: jobs, done: done,
		bad:  func(err error) error { return err },
		kept: map[remotelog.Place][]byte{},
		room: keptStored,
	}
}

// A chunk is one that is wanted.
type chunk struct {
	e     *remotelog.Entry // whose
	index int
	*remotelog.Chunk

	mu      sync.Mutex // guards the following
	left    int        // layers that are missing
	spilled bool       // there is something in the scratch
	frames  []frame    // by layer: each with no more than the pages of the layer; without them if they are in the scratch
}

type frame struct {
	kind remotelog.Kind
	raw  []byte
}

// A use is a layer that a frame has the pages of.
type use struct {
	*chunk
	layer int
}

func (u use) pages() uint16 { return u.Layers[u.layer].Pages }

// add wants chunk i of the state that e describes. It works off the window if that is full.
func (g *gatherer) add(ctx context.Context, e *remotelog.Entry, i int, c *remotelog.Chunk) error {
	g.window = append(g.window, &chunk{e: e, index: i, Chunk: c, left: len(c.Layers)})
	for k := range c.Layers {
		if k != base {
			g.waiting += int64(bits.OnesCount16(c.Layers[k].Pages)) * remotelog.PageSize
		}
	}
	if len(g.window) >= windowChunks || g.waiting >= windowPages && g.scratch == nil {
		return g.flush(ctx)
	}
	return nil
}

// base is the layer that comes last: the oldest one, which mostly was the whole chunk once and has a frame of its own. Frames of such
// layers lie side by side, so that few requests get them.
const base = 0

// flush works off the window.
func (g *gatherer) flush(ctx context.Context) error {
	uses := map[remotelog.Place][]use{}
	early := map[remotelog.Place]bool{}
	for _, c := range g.window {
		for k := range c.Layers {
			p := c.Layers[k].Frame
			uses[p] = append(uses[p], use{c, k})
			if k != base && g.scratch == nil {
				early[p] = true
			}
		}
	}
	g.window, g.waiting = nil, 0
	var late []remotelog.Place
	for p := range uses {
		if !early[p] {
			late = append(late, p)
		}
	}
	each := func(p remotelog.Place, stored []byte, err error) error { return g.frame(p, uses[p], stored, err) }
	if err := g.fetch(ctx, slices.Collect(maps.Keys(early)), each); err != nil {
		return err
	}
	return g.fetch(ctx, late, each)
}

// frame gives what is in a frame, unless there is an error with it, to those who need it.
func (g *gatherer) frame(p remotelog.Place, uses []use, stored []byte, err error) error {
	var kind remotelog.Kind
	var raw []byte
	var deltas []remotelog.Delta
	if err == nil {
		kind, raw, err = remotelog.OpenFrame(stored)
	}
	if err == nil && kind == remotelog.KindDelta {
		deltas, err = remotelog.DecodeDeltas(raw)
	}
	if err != nil {
		return g.bad(inEntry(uses[0].e, fmt.Errorf("chunk %d: %w", uses[0].index, g.l.inFrame(p, err))))
	}
	if kind == remotelog.KindDelta {
		g.keep(p, stored)
	}
	for _, u := range uses {
		if err := u.receive(g, kind, raw, deltas); err != nil {
			return err
		}
	}
	return nil
}

// receive takes the pages of the layer from a frame, and passes the chunk on if it is complete.
func (u use) receive(g *gatherer, kind remotelog.Kind, raw []byte, deltas []remotelog.Delta) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.frames == nil {
		u.frames = make([]frame, len(u.Layers))
	}
	u.left--
	if kind == remotelog.KindChunk && u.left > 0 {
		deltas = []remotelog.Delta{{Chunk: int64(u.index), Pages: remotelog.AllPages(len(raw)), Data: raw}}
	}
	if deltas != nil {
		kind, raw = remotelog.KindDelta, nil
		d, ok := find(deltas, int64(u.index))
		spilled := false
		if ok && u.left > 0 && g.scratch != nil {
			var err error
			if spilled, err = g.spill(u.chunk, d, u.pages()); err != nil {
				return err
			}
		}
		switch {
		case spilled:
			kind = remotelog.KindChunk
		case ok && d.Pages&u.pages() != 0:
			raw = pick(d, u.pages())
		}
	}
	u.frames[u.layer] = frame{kind, raw}
	if u.left > 0 {
		return nil
	}
	frames := u.frames
	u.frames = nil
	buf := chunkBuffers.Get().(*[manifest.ChunkSize]byte)
	defer chunkBuffers.Put(buf)
	if err := g.unspill(u.chunk, frames, buf); err != nil {
		return err
	}
	k := -1
	data, err := g.l.assemble(u.e, u.index, u.Chunk, func(remotelog.Place) (remotelog.Kind, []byte, error) {
		k++
		return frames[k].kind, frames[k].raw, nil
	})
	if err != nil {
		return g.bad(inEntry(u.e, err))
	}
	return g.done(u.index, data)
}

// find returns that of deltas, which ascend, which is of a chunk.
func find(deltas []remotelog.Delta, number int64) (remotelog.Delta, bool) {
	at, ok := slices.BinarySearchFunc(deltas, number, func(d remotelog.Delta, n int64) int { return cmp.Compare(d.Chunk, n) })
	if !ok {
		return remotelog.Delta{}, false
	}
	return deltas[at], true
}

// pick returns the content of a frame that has only these pages, as far as d has them; at least one.
func pick(d remotelog.Delta, pages uint16) []byte {
	only := remotelog.Delta{Chunk: d.Chunk, Pages: d.Pages & pages}
	only.Data = make([]byte, 0, bits.OnesCount16(only.Pages)*remotelog.PageSize)
	for page, data := range eachPage(d) {
		if pages&(1<<page) != 0 {
			only.Data = append(only.Data, data...)
		}
	}
	return remotelog.AppendDeltas(nil, []remotelog.Delta{only})
}

// eachPage yields the pages that d has.
func eachPage(d remotelog.Delta) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		rest := d.Data
		for has := d.Pages; has != 0; has &= has - 1 {
			n := min(remotelog.PageSize, len(rest))
			if !yield(bits.TrailingZeros16(has), rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// keep remembers a frame for later windows, while there is room: whoever comes first stays, since the windows to come
// may need all of them again and again.
func (g *gatherer) keep(p remotelog.Place, stored []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.kept[p]; !ok && int64(len(stored)) <= g.room {
		g.room -= int64(len(stored))
		g.kept[p] = stored
	}
}

// fetch gets frames and calls each with every one of them, maybe several at a time, or with the error.
func (g *gatherer) fetch(ctx context.Context, frames []remotelog.Place, each func(remotelog.Place, []byte, error) error) error {
	var missing []remotelog.Place
	for _, p := range frames {
		stored, ok := g.kept[p]
		if !ok {
			stored, ok = g.l.atHand(p)
		}
		if !ok {
			missing = append(missing, p)
			continue
		}
		if err := each(p, stored, nil); err != nil {
			return err
		}
	}
	var bundled map[remotelog.Place]remotelog.Place
	if g.bundles != nil {
		bundled = g.bundles.locate(ctx, missing)
	}
	if len(bundled) == 0 {
		return g.read(ctx, ranges(missing), each)
	}
	wanted := make(map[remotelog.Place]bool, len(missing))
	for _, p := range missing {
		wanted[p] = true
	}
	origin := make(map[remotelog.Place]remotelog.Place, len(bundled))
	var single, copies []remotelog.Place
	for _, p := range missing {
		c, ok := bundled[p]
		if _, again := origin[c]; ok && !again && !wanted[c] { // as it is, unless nothing is as it should be
			origin[c] = p
			copies = append(copies, c)
			continue
		}
		single = append(single, p)
	}
	var mu sync.Mutex
	var left []remotelog.Place
	err := g.read(ctx, append(ranges(single), near(copies)...), func(p remotelog.Place, stored []byte, err error) error {
		o, ok := origin[p]
		if !ok {
			return each(p, stored, err)
		}
		if err == nil {
			err = remotelog.CheckFrame(stored)
		}
		if err == nil {
			return each(o, stored, nil)
		}
		mu.Lock()
		defer mu.Unlock()
		left = append(left, o)
		g.bundles.damage(p, err)
		return nil
	})
	if err != nil {
		return err
	}
	return g.read(ctx, ranges(left), each)
}

// read gets ranges of frames, the last first, several at a time.
func (g *gatherer) read(ctx context.Context, all [][]remotelog.Place, each func(remotelog.Place, []byte, error) error) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(g.jobs)
	for _, r := range slices.Backward(all) {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error { return g.l.readRange(gctx, r, each) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// readRange gets frames of one object, which lie one behind the other, by one request. There are two if the frames are in an
// entry whose header is not known, and longer than was thought, or far before them.
func (l *Log) readRange(ctx context.Context, frames []remotelog.Place, each func(remotelog.Place, []byte, error) error) (err error) {
	s, key := l.object(frames[0].Object)
	base, known, failure := l.base(ctx, frames[0])
	at, end := base+frames[0].Offset, base+frames[len(frames)-1].End()
	if !known {
		at, end = 0, end+roomFor(end)
	}
	var obj *store.Object
	if failure == nil {
		obj, failure = getRange(ctx, s, key, at, end-at)
	}
	if failure == nil {
		defer func() { err = errors.Join(err, obj.Body.Close()) }()
	}
	if failure == nil && !known {
		start := make([]byte, headerStart)
		if failure = readNext(obj.Body, 0, start); failure == nil {
			base, failure = headerLen(start)
		}
		if failure == nil {
			at = headerStart
			l.learn(frames[0].Object.Entry, base)
		}
	}
	for i, p := range frames {
		if failure == nil && base+p.End() > end {
			return l.readRange(ctx, frames[i:], each)
		}
		var stored []byte
		if failure == nil { // what follows after a failure can't be read either
			stored = make([]byte, p.Length)
			failure = readNext(obj.Body, base+p.Offset-at, stored)
			at = base + p.End()
		}
		if err := each(p, stored, failure); err != nil {
			return err
		}
	}
	return nil
}

// readNext fills b with what comes after skip bytes.
func readNext(r io.Reader, skip int64, b []byte) error {
	_, err := io.CopyN(io.Discard, r, skip)
	if err == nil {
		_, err = io.ReadFull(r, b)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", endsBefore, err)
	}
	return err
}

// ranges sorts frames and divides them into what is to be fetched at once.
func ranges(frames []remotelog.Place) [][]remotelog.Place {
	sortPlaces(frames)
	return divide(frames, widestGap(frames))
}

// near is ranges for bundles: what lies between frames there is mostly less than what a request costs.
func near(frames []remotelog.Place) [][]remotelog.Place {
	sortPlaces(frames)
	return divide(frames, maxGap)
}

func sortPlaces(frames []remotelog.Place) {
	slices.SortFunc(frames, func(a, b remotelog.Place) int {
		return cmp.Or(a.Object.Compare(b.Object), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Length, b.Length))
	})
}

// divide divides frames, which are sorted, where there are wider gaps, and where objects end.
func divide(frames []remotelog.Place, gap int64) [][]remotelog.Place {
	var all [][]remotelog.Place
	first := 0
	for i := 1; i <= len(frames); i++ {
		if i < len(frames) && frames[i].Object == frames[first].Object {
			between := frames[i].Offset - frames[i-1].End() // negative if nothing is as it should be
			if between >= 0 && between <= gap && frames[i].End()-frames[first].Offset <= maxRange {
				continue
			}
		}
		all = append(all, frames[first:i])
		first = i
	}
	return all
}

// widestGap returns how long gaps between frames may be, if what all of them have is to be little compared with the frames.
func widestGap(frames []remotelog.Place) int64 {
	var total int64
	var gaps []int64
	for i, p := range frames {
		total += p.Length
		if i == 0 || p.Object != frames[i-1].Object {
			continue
		}
		if gap := p.Offset - frames[i-1].End(); gap > 0 && gap <= maxGap {
			gaps = append(gaps, gap)
		}
	}
	slices.Sort(gaps)
	waste := int64(0)
	for _, gap := range gaps {
		if waste += gap; waste > total/maxWaste {
			return gap - 1
		}
	}
	return maxGap
}
