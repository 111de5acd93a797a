package logwriter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"slices"
	"sync"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// errNothing says that there was nothing to move after all.
var errNothing = errors.New("logwriter: nothing to compact")

// maxGap is up to how many bytes that are not needed are read to save a request.
const maxGap = 512 << 10

// A rewriting moves the frames of some objects.
type rewriting struct {
	a       *appending
	victims map[remotelog.ObjectID]*victim
	chunks  map[[2]int]*remotelog.Chunk // by block and place: those that may change, with Layers of their own
	moved   map[[2]int]bool             // those that do
}

// run makes the frames, and the blocks of the entry.
func (r *rewriting) run(ctx context.Context, victims []*victim) error {
	if err := r.find(ctx); err != nil {
		return err
	}
	if err := r.objects(ctx, victims); err != nil {
		return err
	}
	if err := r.a.f.settle(); err != nil {
		return err
	}
	return r.blocks(ctx)
}

// find finds the layers that lie in the victims.
func (r *rewriting) find(ctx context.Context) error {
	r.chunks, r.moved = make(map[[2]int]*remotelog.Chunk), make(map[[2]int]bool)
	var blocks []int
	for _, v := range r.victims {
		blocks = append(blocks, v.blocks...)
	}
	slices.Sort(blocks)
	for _, b := range slices.Compact(blocks) {
		chunks, err := r.a.oldChunks(ctx, b)
		if err != nil {
			return err
		}
		for place := range chunks {
			for layer, l := range chunks[place].Layers {
				v := r.victims[l.Frame.Object]
				if v == nil {
					continue
				}
				at := [2]int{b, place}
				if r.chunks[at] == nil {
					r.chunks[at] = &remotelog.Chunk{Sum: chunks[place].Sum, Layers: slices.Clone(chunks[place].Layers)}
				}
				v.frames[l.Frame] = append(v.frames[l.Frame], layerOf{b, place, layer})
			}
		}
	}
	return nil
}

// A foundFrame is a frame with what is in it.
type foundFrame struct {
	remotelog.Place
	bytes  []byte
	kind   remotelog.Kind
	deltas []remotelog.Delta // of its chunks; of a whole chunk the number is not known
	pages  int               // that it has
}

// objects moves what lies in the victims, which are read ahead: no more are in memory than may be uploaded at a time.
func (r *rewriting) objects(ctx context.Context, victims []*victim) error {
	type result struct {
		frames []foundFrame
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	room := make(chan struct{}, r.a.w.o.Jobs)
	results := make([]chan result, len(victims))
	for i := range results {
		results[i] = make(chan result, 1)
	}
	readers.Go(func() {
		for i, v := range victims {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			readers.Go(func() {
				frames, err := r.read(ctx, v)
				results[i] <- result{frames, err}
			})
		}
	})
	for i, v := range victims {
		var res result
		select {
		case res = <-results[i]:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if res.err != nil {
			return fmt.Errorf("read object %v: %w", v.id, res.err)
		}
		if err := r.object(v, res.frames); err != nil {
			return err
		}
		<-room
	}
	return nil
}

// object moves the frames that lie in an object, unless they are most of it.
func (r *rewriting) object(v *victim, frames []foundFrame) error {
	live := v.index
	for _, f := range frames {
		needed := 0
		for _, l := range v.frames[f.Place] {
			needed += bits.OnesCount16(r.layer(l).Pages)
		}
		live += f.Length * int64(needed) / int64(f.pages)
	}
	if !v.small && 100*live >= solidPercent*v.size {
		v.spared = true
		r.a.w.solid[v.id] = v.pages + 1
		return nil
	}
	for _, f := range frames {
		if err := r.frame(f, v.frames[f.Place]); err != nil {
			return fmt.Errorf("object %v: %w", v.id, err)
		}
	}
	return nil
}

func (r *rewriting) layer(l layerOf) *remotelog.Layer {
	return &r.chunks[[2]int{l.block, l.place}].Layers[l.layer]
}

// read reads the frames that lie in an object, by few requests.
func (r *rewriting) read(ctx context.Context, v *victim) ([]foundFrame, error) {
	places := slices.SortedFunc(maps.Keys(v.frames), func(x, y remotelog.Place) int { return cmp.Compare(x.Offset, y.Offset) })
	var frames []foundFrame
	w := r.a.w
	if v.id.Part == 0 {
		if len(places) == 0 {
			return nil, nil
		}
		// Where the header ends, only the object says.
		b, _, err := w.begin(ctx, remotelog.EntryKey(w.name, v.id.Entry), int(v.size))
		if err != nil {
			return nil, err
		}
		_, header, _, err := remotelog.DecodeEntry(b)
		if err != nil {
			return nil, err
		}
		return appendFrames(nil, places, b[header:], 0)
	}
	for len(places) > 0 {
		n, end := 1, places[0].End()
		for n < len(places) && places[n].Offset-end <= maxGap {
			end = places[n].End()
			n++
		}
		b, err := w.part(ctx, remotelog.PackKey(w.name, v.id), places[0].Offset, end)
		if err != nil {
			return nil, err
		}
		if frames, err = appendFrames(frames, places[:n], b, places[0].Offset); err != nil {
			return nil, err
		}
		places = places[n:]
	}
	return frames, nil
}

// part reads a part of a pack.
func (w *Writer) part(ctx context.Context, key string, from, to int64) (b []byte, err error) {
	obj, err := w.packs.Get(ctx, key, &store.GetOptions{Offset: from, Length: to - from})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, obj.Body.Close()) }()
	b = make([]byte, to-from)
	if _, err := io.ReadFull(obj.Body, b); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return b, nil
}

// appendFrames opens the frames at places in b, which begins at that offset of their object.
func appendFrames(frames []foundFrame, places []remotelog.Place, b []byte, offset int64) ([]foundFrame, error) {
	for _, p := range places {
		if p.End()-offset > int64(len(b)) {
			return nil, fmt.Errorf("%w: the object ends before %v", remotelog.ErrCorrupt, p)
		}
		f := foundFrame{Place: p, bytes: b[p.Offset-offset : p.End()-offset]}
		var raw []byte
		var err error
		if f.kind, raw, err = remotelog.OpenFrame(f.bytes); err != nil {
			return nil, fmt.Errorf("%v: %w", p, err)
		}
		switch f.kind {
		case remotelog.KindChunk:
			f.deltas = []remotelog.Delta{{Chunk: -1, Pages: remotelog.AllPages(len(raw)), Data: raw}}
		case remotelog.KindDelta:
			if f.deltas, err = remotelog.DecodeDeltas(raw); err != nil {
				return nil, fmt.Errorf("%v: %w", p, err)
			}
		default:
			return nil, fmt.Errorf("%w: %v is of kind %d", remotelog.ErrCorrupt, p, f.kind)
		}
		for _, d := range f.deltas {
			f.pages += bits.OnesCount16(d.Pages)
		}
		frames = append(frames, f)
	}
	return frames, nil
}

// frame moves what is needed of a frame: all of it as it is, or the pages that are.
func (r *rewriting) frame(f foundFrame, layers []layerOf) error {
	for _, l := range layers {
		r.moved[[2]int{l.block, l.place}] = true
	}
	if f.kind == remotelog.KindChunk && len(layers) == 1 && r.layer(layers[0]).Pages == f.deltas[0].Pages {
		return r.a.f.put(f.pages, func(b []byte) []byte { return append(b, f.bytes...) }, &r.layer(layers[0]).Frame)
	}
	for _, at := range layers {
		l, i := r.layer(at), chunkNumber(at.block, at.place)
		k := slices.IndexFunc(f.deltas, func(d remotelog.Delta) bool { return d.Chunk == int64(i) || f.kind == remotelog.KindChunk })
		if k < 0 || l.Pages&^f.deltas[k].Pages != 0 {
			return fmt.Errorf("%w: %v does not have pages of chunk %d", remotelog.ErrCorrupt, f.Place, i)
		}
		data, err := pick(f.deltas[k], l.Pages, manifest.ChunkLen(r.a.e.Size, i))
		if err != nil {
			return fmt.Errorf("%v, chunk %d: %w", f.Place, i, err)
		}
		if err := r.a.f.addDelta(remotelog.Delta{Chunk: int64(i), Pages: l.Pages, Data: data}, &l.Frame); err != nil {
			return err
		}
	}
	return nil
}

// pick returns the bytes of some of the pages that d has, of a chunk that now has n bytes: the database may have been longer once.
func pick(d remotelog.Delta, pages uint16, n int) ([]byte, error) {
	var out []byte
	data := d.Data
	for i := range remotelog.MaxLayers {
		if d.Pages&(1<<i) == 0 {
			continue
		}
		has := data[:min(remotelog.PageSize, len(data))]
		data = data[len(has):]
		if pages&(1<<i) == 0 {
			continue
		}
		want := min(remotelog.PageSize, n-i*remotelog.PageSize)
		if want <= 0 || want > len(has) {
			return nil, fmt.Errorf("%w: page %d has %d bytes, not %d", remotelog.ErrCorrupt, i, len(has), want)
		}
		out = append(out, has[:want]...)
	}
	return out, nil
}

// blocks makes the blocks of the entry.
func (r *rewriting) blocks(ctx context.Context) error {
	anew, repatch := make(map[int]bool), make(map[int]bool) // blocks whose index, or patch, lies in an object that is left
	moved := make(map[int][]remotelog.Override)
	for _, v := range r.victims {
		if v.spared {
			continue
		}
		for _, b := range v.blocks {
			if b >= len(r.a.old.blocks()) {
				break // the database has become shorter since
			}
			old := &r.a.old.blocks()[b]
			anew[b] = anew[b] || old.Stored.Object == v.id
			repatch[b] = repatch[b] || old.Patch.Object == v.id
		}
	}
	for at := range r.moved {
		c := r.chunks[at]
		c.Layers = joinLayers(c.Layers)
		moved[at[0]] = append(moved[at[0]], remotelog.Override{Place: at[1], Chunk: *c})
	}
	for b := range r.a.e.Blocks {
		if len(moved[b]) == 0 && !anew[b] && !repatch[b] {
			continue
		}
		slices.SortFunc(moved[b], func(x, y remotelog.Override) int { return x.Place - y.Place })
		r.a.changed = append(r.a.changed, &changedBlock{
			block: b, digest: r.a.e.Blocks[b].Digest, overrides: moved[b], anew: anew[b], repatch: repatch[b],
		})
	}
	if len(r.a.changed) == 0 {
		return errNothing
	}
	return r.a.settle(ctx)
}

// joinLayers makes one of layers that lie in the same frame now.
func joinLayers(layers []remotelog.Layer) []remotelog.Layer {
	var out []remotelog.Layer
	for _, l := range layers {
		if i := slices.IndexFunc(out, func(o remotelog.Layer) bool { return o.Frame == l.Frame }); i >= 0 {
			out[i].Pages |= l.Pages
		} else {
			out = append(out, l)
		}
	}
	return out
}
