package logwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// How much is compared to find out whether a snapshot is of the database that the replica is of.
const (
	relatedBlocks = 4 // of these, which are at most 1 GiB, every chunk by its fingerprint
	relatedChunks = 4 // page by page
	strangePages  = 4 // so many that differ, and none that does not, are another database
	leastContent  = 64
)

// A stranger is a state that was found to be none of the database which an entry is of.
type stranger struct {
	entry    uint64
	contents manifest.Fingerprint
}

// adopt decides whether the replica of another owner may be appended to. A Writer that had it already and lost it
// does not take it back by itself.
func (w *Writer) adopt(ctx context.Context, h *head, m *manifest.Manifest, src Source) error {
	if w.owned {
		w.fenced = fencedBy(h.Entry)
		return w.fenced
	}
	age := w.o.Now().Sub(h.Info.ModTime)
	if w.o.Adopt < 0 || age < w.o.Adopt {
		w.forget() // it may be old enough the next time
		return fencedBy(h.Entry)
	}
	verdict := stranger{h.number(), m.Contents()}
	related := false
	if w.stranger != verdict {
		var err error
		if related, err = w.isRelated(ctx, h, m, src); err != nil {
			return fmt.Errorf("compare with the replica of another writer: %w", err)
		}
	}
	if !related {
		w.stranger = verdict
		w.forget() // the database may be restored meanwhile, or somebody takes over
		err := fencedBy(h.Entry)
		err.Stranger = true
		return err
	}
	w.o.Logger.Warn("adopting the replica of a writer that has not appended lately",
		"name", w.name, "entry", h.Entry.Number, "writer", h.Entry.Writer, "age", age)
	return nil
}

// isRelated says whether m may be a later state of the database that the replica is of: as it is on a new machine, after a restore. Another
// database under the same name, or a new one that was made because nobody restored the old one, must not become the newest state silently.
// Only what speaks clearly against it counts: that of a few pages all differ means nothing.
func (w *Writer) isRelated(ctx context.Context, h *head, m *manifest.Manifest, src Source) (bool, error) {
	e := h.Entry
	if e.Size == 0 {
		return true, nil
	}
	a := &appending{w: w, old: h}
	lists := make(map[int][]byte)
	for b := range min(len(e.Blocks), len(m.Blocks), relatedBlocks) {
		if m.Blocks[b].Digest == e.Blocks[b].Digest {
			return true, nil
		}
		list, err := m.Block(b, func(f manifest.Fingerprint) ([]byte, error) { return src.Block(ctx, f) })
		if err != nil {
			return false, fmt.Errorf("fingerprints of the snapshot: %w", err)
		}
		old, err := a.oldChunks(ctx, b)
		if err != nil {
			return false, err
		}
		lists[b] = list
		for place := range min(len(old), manifest.BlockLen(manifest.Count(m.Size), b)) {
			if sum := manifest.At(list, place); sum == old[place].Sum && sum != manifest.ZeroChunk {
				return true, nil
			}
		}
	}
	differ := 0
	for i := range min(max(manifest.Count(e.Size), manifest.Count(m.Size)), relatedChunks) {
		old, err := w.oldChunk(ctx, e, i)
		if err != nil {
			return false, err
		}
		var own []byte
		switch {
		case i == 0:
			own = m.First
		case i < manifest.Count(m.Size):
			own, err = src.Chunk(ctx, manifest.At(lists[0], i))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return false, fmt.Errorf("chunk %d of the snapshot: %w", i, err)
			}
		}
		equal, different := comparePages(old, own, i == 0)
		if equal > 0 {
			return true, nil
		}
		differ += different
	}
	return differ < strangePages, nil
}

// oldChunk returns a chunk of an entry, or nothing if it has none of that number.
func (w *Writer) oldChunk(ctx context.Context, e *remotelog.Entry, i int) ([]byte, error) {
	if i >= manifest.Count(e.Size) {
		return nil, nil
	}
	return w.log.Chunk(ctx, e, i)
}

// comparePages counts the pages of two chunks that are equal, and those that are not. Those with less than leastContent bytes before zeros do not
// count, as those of empty tables, nor does the first one of a database: all databases with one schema begin alike.
func comparePages(x, y []byte, first bool) (equal, different int) {
	for i := range remotelog.MaxLayers {
		p, q := bytes.TrimRight(pageOf(x, i), "\x00"), bytes.TrimRight(pageOf(y, i), "\x00")
		switch {
		case first && i == 0, max(len(p), len(q)) < leastContent:
		case bytes.Equal(p, q):
			equal++
		default:
			different++
		}
	}
	return equal, different
}

// pageOf returns page i of a chunk, or nothing.
func pageOf(chunk []byte, i int) []byte {
	if i*remotelog.PageSize >= len(chunk) {
		return nil
	}
	return page(chunk, i)
}
