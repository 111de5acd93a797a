package logrep_test

import (
	"bytes"
	"testing"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// A view restores as a replica in the layout chunks does, and misses what is missing.
func TestView(t *testing.T) {
	w := small(t)
	chunks, manifests := logrep.View(w.packs, w.entries)
	src := []replica.Source{{Name: "view", Chunks: chunks, Manifests: manifests}}
	if _, err := chunks.Head(t.Context(), manifest.Sum(w.db.chunk(2)).ChunkName()); !store.IsNotExist(err) {
		t.Errorf("before a manifest was asked for: %v", err)
	}
	_, _, err := store.ReadAll(t.Context(), manifests, "another", 1<<20)
	wantIs(t, "no such log", err, store.ErrNotExist)
	m, _, _, err := replica.FetchManifest(t.Context(), src, name)
	check(t, err)
	var got bytes.Buffer
	check(t, replica.RestoreTo(t.Context(), m, src, &got, nil))
	if !bytes.Equal(got.Bytes(), w.db.bytes()) {
		t.Error("the view restores to something else")
	}
	stats, err := replica.Check(t.Context(), m, src[0], &replica.CheckOptions{Percent: 100}, func(object string, err error) {
		t.Errorf("%s: %v", object, err)
	})
	check(t, err)
	if stats.Read == 0 {
		t.Error("nothing was read")
	}
	if _, err := manifests.Put(t.Context(), name, nil, store.Condition{}); err == nil {
		t.Error("put succeeded")
	}
	for _, o := range w.objects() {
		if number, ok := remotelog.ParseEntryKey(name, o.key); o.key == remotelog.LatestKey(name) || ok && number != 2 && number != 4 {
			continue
		}
		whole := o.get(t)
		check(t, o.s.Delete(t.Context(), o.key))
		chunks, manifests := logrep.View(w.packs, w.entries)
		src := replica.Source{Chunks: chunks, Manifests: manifests}
		faults := 0
		m, _, _, err := replica.FetchManifest(t.Context(), []replica.Source{src}, name)
		if err != nil {
			faults++
		} else {
			_, err = replica.Check(t.Context(), m, src, nil, func(string, error) { faults++ })
			check(t, err)
		}
		var bad int
		h, err := w.log().Head(t.Context(), nil)
		check(t, err)
		if err := logrep.Restore(t.Context(), w.log(), h.Entry, newBuffer(h.Entry.Size), nil); err != nil {
			bad++
		}
		if (faults > 0) != (bad > 0) {
			t.Errorf("without %s: %d faults, and a restore fails %d times", o.key, faults, bad)
		}
		o.put(t, whole)
	}
}
