package logwriter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// maxDelta is how many bytes of pages a frame of deltas has at most.
const maxDelta = 256 << 10

// frames collects the frames of one entry: in the object of the entry itself as long as they are few, and
// in packs, which are uploaded as they fill, once they are more. Places are set when they are known
// for good, by settle at the latest; until then who added a frame must keep what its refs point to.
type frames struct {
	w      *Writer
	number uint64 // of the entry
	nonce  uint64 // of its packs

	inline  []byte             // frames behind the header
	has     object             // what is inline
	loose   []*remotelog.Place // refs to what is inline, which may still be moved to a pack
	settled bool               // what is inline stays there
	packing bool               // what comes now goes to packs
	part    uint32             // number of the pack that is being filled
	pack    []byte
	packHas object

	deltas []delta // wait to be in a frame
	size   int     // of their pages

	group    *errgroup.Group
	ctx      context.Context // of the uploads
	cancel   context.CancelFunc
	free     chan []byte // buffers of packs, and bundles, that were uploaded
	buffers  int         // that there are
	mu       sync.Mutex
	stored   map[remotelog.ObjectID]object // packs that are in the store; guarded by mu
	objects  int
	uploaded int64
	raw      int64 // bytes of pages before they are compressed
}

// An object is what is known of one in the store.
type object struct {
	size  int64
	pages int   // in frames of chunks and deltas; 0 if not known
	bytes int64 // of those frames
}

// add counts a frame with so many pages.
func (o *object) add(pages, length int) {
	if pages > 0 {
		o.pages, o.bytes = o.pages+pages, o.bytes+int64(length)
	}
}

type delta struct {
	remotelog.Delta
	ref *remotelog.Place
}

// newFrames begins to collect. The caller calls stop.
func (w *Writer) newFrames(ctx context.Context, number uint64) *frames {
	f := &frames{w: w, number: number, nonce: rand.Uint64(), part: 1, stored: make(map[remotelog.ObjectID]object)}
	ctx, f.cancel = context.WithCancel(ctx)
	f.group, f.ctx = errgroup.WithContext(ctx)
	f.group.SetLimit(w.o.Jobs)
	f.free = make(chan []byte, w.o.Jobs+1)
	return f
}

// stop ends the uploads that are under way.
func (f *frames) stop() {
	f.cancel()
	_ = f.group.Wait() // finish has waited, or what failed is known
}

func (f *frames) inlineID() remotelog.ObjectID { return remotelog.ObjectID{Entry: f.number} }

func (f *frames) packID() remotelog.ObjectID {
	return remotelog.ObjectID{Entry: f.number, Part: f.part, Nonce: f.nonce}
}

// add makes a frame of raw and sets refs to its place.
func (f *frames) add(kind remotelog.Kind, raw []byte, refs ...*remotelog.Place) error {
	pages := 0
	if kind == remotelog.KindChunk || kind == remotelog.KindDelta {
		f.raw += int64(len(raw))
		pages = (len(raw) + remotelog.PageSize - 1) / remotelog.PageSize
	}
	return f.put(pages, func(b []byte) []byte { return f.w.o.Compress(b, kind, raw) }, refs...)
}

// put adds the frame that appendTo appends, which has so many pages.
func (f *frames) put(pages int, appendTo func([]byte) []byte, refs ...*remotelog.Place) error {
	if !f.packing {
		start := len(f.inline)
		f.inline = appendTo(f.inline)
		if len(f.inline) <= f.w.o.Inline {
			f.has.add(pages, len(f.inline)-start)
			place(refs, f.inlineID(), start, len(f.inline))
			if !f.settled {
				f.loose = append(f.loose, refs...)
			}
			return nil
		}
		// Too many. The new one, and what can still be moved, begins a pack.
		f.packing = true
		keep := 0
		if f.settled {
			keep = start
		} else {
			f.packHas, f.has = f.has, object{}
		}
		f.packHas.add(pages, len(f.inline)-start)
		f.pack = append(f.buffer(), f.inline[keep:]...)
		f.inline = f.inline[:keep]
		for _, p := range f.loose {
			p.Object = f.packID()
		}
		f.loose = nil
		place(refs, f.packID(), start-keep, len(f.pack))
		return f.cut()
	}
	if f.pack == nil {
		f.pack = f.buffer()
	}
	start := len(f.pack)
	f.pack = appendTo(f.pack)
	f.packHas.add(pages, len(f.pack)-start)
	place(refs, f.packID(), start, len(f.pack))
	return f.cut()
}

func place(refs []*remotelog.Place, id remotelog.ObjectID, start, end int) {
	for _, p := range refs {
		*p = remotelog.Place{Object: id, Offset: int64(start), Length: int64(end - start)}
	}
}

// cut uploads the pack if it is full.
func (f *frames) cut() error {
	if len(f.pack) < f.w.o.PackSize {
		return nil
	}
	return f.upload()
}

// upload begins to upload the pack that is being filled.
func (f *frames) upload() error {
	if len(f.pack) == 0 {
		return nil
	}
	body, has := f.pack, f.packHas
	f.pack, f.packHas = nil, object{}
	return f.send(body, has)
}

// send begins to upload a pack with these frames, and its seal. It keeps body.
func (f *frames) send(body []byte, has object) error {
	id := f.packID()
	body = remotelog.AppendSeal(body, f.w.name, id)
	f.part++
	f.objects++
	f.uploaded += int64(len(body))
	if err := f.ctx.Err(); err != nil {
		return context.Cause(f.ctx)
	}
	f.group.Go(func() error {
		_, err := f.w.packs.Put(f.ctx, remotelog.PackKey(f.w.name, id), body, store.Condition{})
		if err != nil {
			return fmt.Errorf("put pack: %w", err)
		}
		f.mu.Lock()
		has.size = int64(len(body))
		f.stored[id] = has
		f.mu.Unlock()
		select {
		case f.free <- body[:0]:
		default: // it was not one of these buffers
		}
		return nil
	})
	return nil
}

// buffer returns an empty one. There are no more than uploads at a time, and one.
func (f *frames) buffer() []byte {
	if f.buffers <= f.w.o.Jobs {
		select {
		case b := <-f.free:
			return b
		default:
			f.buffers++
			return make([]byte, 0, f.w.o.PackSize+f.w.o.PackSize/32)
		}
	}
	select {
	case b := <-f.free:
		return b
	case <-f.ctx.Done(): // after a failure nothing is uploaded any more
		return nil
	}
}

// addDelta adds some pages of a chunk. The place is set when the frame is made. It keeps d.
func (f *frames) addDelta(d remotelog.Delta, ref *remotelog.Place) error {
	if f.size > 0 && f.size+len(d.Data) > maxDelta {
		if err := f.flush(); err != nil {
			return err
		}
	}
	f.deltas = append(f.deltas, delta{d, ref})
	f.size += len(d.Data)
	return nil
}

// flush makes a frame of the deltas that wait for one. They may have come in any order, but each page only once.
func (f *frames) flush() error {
	if len(f.deltas) == 0 {
		return nil
	}
	slices.SortStableFunc(f.deltas, func(a, b delta) int { return int(a.Chunk - b.Chunk) })
	var list []remotelog.Delta
	var refs []*remotelog.Place
	for _, d := range f.deltas {
		refs = append(refs, d.ref)
		if n := len(list); n > 0 && list[n-1].Chunk == d.Chunk {
			list[n-1] = union(list[n-1], d.Delta)
			continue
		}
		list = append(list, d.Delta)
	}
	f.deltas, f.size = f.deltas[:0], 0
	return f.add(remotelog.KindDelta, remotelog.AppendDeltas(nil, list), refs...)
}

// union returns the pages of two deltas of the same chunk, which have none in common.
func union(a, b remotelog.Delta) remotelog.Delta {
	out := remotelog.Delta{Chunk: a.Chunk, Pages: a.Pages | b.Pages}
	for i := range remotelog.MaxLayers {
		for _, d := range []*remotelog.Delta{&a, &b} {
			if d.Pages&(1<<i) != 0 {
				n := min(remotelog.PageSize, len(d.Data))
				out.Data, d.Data = append(out.Data, d.Data[:n]...), d.Data[n:]
			}
		}
	}
	return out
}

// settle makes all places known for good, but for those of frames that are still to come.
func (f *frames) settle() error {
	if err := f.flush(); err != nil {
		return err
	}
	f.settled, f.loose = true, nil
	return nil
}

// finish uploads what is left, and waits until all packs are in the store.
func (f *frames) finish() error {
	if err := f.upload(); err != nil {
		return err
	}
	return f.group.Wait()
}
