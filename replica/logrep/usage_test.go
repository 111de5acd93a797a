package logrep_test

import (
	"testing"

	"github.com/boule-db/boule/remotelog"
)

func TestUsage(t *testing.T) {
	w := small(t)
	u, err := w.log().Usage(t.Context())
	check(t, err)
	h, err := w.log().Entry(t.Context(), w.entry.Number)
	check(t, err)
	frames := map[remotelog.Place]bool{}
	for b, block := range w.entry.Blocks {
		if block.Stored.IsZero() || block.Patch.IsZero() {
			t.Fatalf("block %d: %+v", b, block)
		}
		frames[block.Stored], frames[block.Patch] = true, true
		for _, c := range w.chunks[b] {
			for _, l := range c.Layers {
				frames[l.Frame] = true
			}
		}
	}
	live := int64(h.HeaderLen)
	objects := map[remotelog.ObjectID]bool{{Entry: w.entry.Number}: true}
	for p := range frames {
		live += p.Length
		if p.Object.Part > 0 && !objects[p.Object] {
			live += remotelog.SealSize
		}
		objects[p.Object] = true
	}
	entries, packs, bytes := 0, 0, int64(0)
	for _, o := range w.objects() {
		if _, ok := remotelog.ParseEntryKey(name, o.key); ok {
			entries++
		} else if _, ok := remotelog.ParsePackKey(name, o.key); ok {
			packs++
		} else {
			continue
		}
		bytes += int64(len(o.get(t)))
	}
	if u.Entries != entries || u.Packs != packs || u.Bytes != bytes || u.Live != live || u.LiveObjects != len(objects) {
		t.Errorf("%+v, want %d entries, %d packs, %d bytes, of which %d are live, in %d objects", u, entries, packs, bytes, live, len(objects))
	}
}
