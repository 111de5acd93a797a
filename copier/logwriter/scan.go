package logwriter

import (
	"context"
	"fmt"
	"math/bits"
	"slices"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// A usage is how much of an object the newest entry needs.
type usage struct {
	id     remotelog.ObjectID
	size   int64
	pages  int   // of chunks
	index  int64 // bytes of stored index blocks, and of patches
	blocks []int // that it has something of, ascending
	need   int64 // about how many bytes are needed
}

// A scan is how much of all objects the newest entry needs.
type scan struct {
	objects []*usage // the oldest first
}

// maxSamples is from how many frames the size of a page is estimated.
const maxSamples = 1 << 14

// scan reads all index blocks of h, and lists the objects.
func (w *Writer) scan(ctx context.Context, h *head) (*scan, error) {
	a := &appending{w: w, old: h}
	uses := make(map[remotelog.ObjectID]*usage)
	use := func(p remotelog.Place, b int) *usage {
		u := uses[p.Object]
		if u == nil {
			u = &usage{id: p.Object}
			uses[p.Object] = u
		}
		if n := len(u.blocks); n == 0 || u.blocks[n-1] != b {
			u.blocks = append(u.blocks, b)
		}
		return u
	}
	var samples []float64
	for b := range h.blocks() {
		for _, p := range []remotelog.Place{h.blocks()[b].Stored, h.blocks()[b].Patch} {
			if !p.IsZero() {
				use(p, b).index += p.Length
			}
		}
		chunks, err := a.oldChunks(ctx, b)
		if err != nil {
			return nil, err
		}
		frames := make(map[remotelog.Place]int)
		for i := range chunks {
			for _, l := range chunks[i].Layers {
				n := bits.OnesCount16(l.Pages)
				use(l.Frame, b).pages += n
				frames[l.Frame] += n
			}
		}
		for p, n := range frames {
			if len(samples) < maxSamples {
				n = max(n, int(p.Length/(remotelog.PageSize+remotelog.FrameHead))) // it has at least so many
				samples = append(samples, float64(p.Length)/float64(n))
			}
		}
	}
	if err := w.sizes(ctx, uses); err != nil {
		return nil, err
	}
	s := &scan{}
	for _, u := range uses {
		s.objects = append(s.objects, u)
	}
	slices.SortFunc(s.objects, func(x, y *usage) int { return x.id.Compare(y.id) })
	page := 0.0 // about how many bytes one takes, of objects of which it is not known
	if len(samples) > 0 {
		// A frame of which only a part is needed seems to have large pages, so the truth is among the small ones. Whoever
		// relies on it has to look at the frames themselves.
		slices.Sort(samples)
		page = samples[len(samples)/4]
	}
	for _, u := range s.objects {
		page := page
		if o := w.known[u.id]; o.pages > 0 {
			page = float64(o.bytes) / float64(o.pages)
		}
		u.need = min(u.size, u.index+int64(float64(u.pages)*page))
	}
	return s, nil
}

// sizes sets the sizes of the objects: those that are known, others from lists that begin at the oldest of them.
func (w *Writer) sizes(ctx context.Context, uses map[remotelog.ObjectID]*usage) error {
	oldest := [2]uint64{remotelog.MaxNumber, remotelog.MaxNumber} // entry, pack
	known := make(map[remotelog.ObjectID]object, len(uses))
	for id, u := range uses {
		if o, ok := w.known[id]; ok {
			known[id], u.size = o, o.size
			continue
		}
		kind := min(id.Part, 1)
		oldest[kind] = min(oldest[kind], id.Entry)
	}
	w.known = known
	set := func(id remotelog.ObjectID, info store.Info) {
		if u := uses[id]; u != nil {
			u.size, known[id] = info.Size, object{size: info.Size}
		}
	}
	if oldest[0] < remotelog.MaxNumber {
		for item, err := range w.log.List(ctx, oldest[0]-1) {
			if err != nil {
				return fmt.Errorf("list entries: %w", err)
			}
			set(remotelog.ObjectID{Entry: item.Number}, item.Info)
		}
	}
	if oldest[1] < remotelog.MaxNumber {
		from := remotelog.PackKey(w.name, remotelog.ObjectID{Entry: oldest[1]})
		for info, err := range store.ListAfter(ctx, w.packs, remotelog.PackPrefix(w.name), from) {
			if err != nil {
				return fmt.Errorf("list packs: %w", err)
			}
			if id, ok := remotelog.ParsePackKey(w.name, info.Key); ok {
				set(id, info)
			}
		}
	}
	for id, u := range uses {
		if u.size == 0 {
			return fmt.Errorf("object %v: %w", id, store.ErrNotExist)
		}
	}
	return nil
}

// chunkNumber is that of a chunk in the database.
func chunkNumber(block, place int) int { return block*manifest.BlockChunks + place }
