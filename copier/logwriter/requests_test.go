package logwriter_test

import (
	"maps"
	"testing"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

type verbs map[store.Verb]int

// TestRequests counts each request of the life of a replica.
func TestRequests(t *testing.T) {
	r := newRig(t, logwriter.Options{})
	data := random(100*manifest.ChunkSize, 1)
	step := func(what string, want verbs, do func()) {
		t.Helper()
		r.s.reset()
		do()
		if !maps.Equal(r.s.verbs, want) {
			t.Errorf("%s: %v, want %v", what, r.s.verbs, want)
		}
	}
	change := func() {
		data[int(r.n)*manifest.ChunkSize+9]++
		r.send(data)
	}
	// The copy, entries, the list of pruned ones, which there are not; a pack, the entry, and its copy.
	step("first", verbs{"get": 1 + 1, "list": 1, "put": 1 + 1 + 1}, change)
	step("second", verbs{"put": 1 + 1}, change) // whether the store heeds conditions, the entry
	for n := 3; n < 17; n++ {
		step("one of many", verbs{"put": 1}, change)
	}
	step("16 after the copy", verbs{"put": 1 + 1}, change) // and the copy
	step("refresh the copy", verbs{}, func() { check(t, r.w.RefreshLatest(t.Context())) })
	step("unchanged", verbs{}, func() {
		s := take(data, r.n)
		_, err := r.w.Append(t.Context(), s.m, s)
		check(t, err)
	})
	step("refresh", verbs{"get": 3}, func() { // the copy, the 18th and the list of pruned ones, which there are not
		h, err := r.w.Refresh(t.Context())
		check(t, err)
		if h.Entry.Number != 17 {
			t.Errorf("refreshed to %d", h.Entry.Number)
		}
	})
	step("18th", verbs{"put": 1, "get": 1}, change) // the index block, which was forgotten
	step("refresh the copy when it is stale", verbs{"put": 1}, func() { check(t, r.w.RefreshLatest(t.Context())) })

	r.restart()
	// The copy, the 19th, the list of pruned ones, the 20th; whether what the copy is of is there.
	step("restart, unchanged", verbs{"get": 4, "head": 1}, func() {
		s := take(data, r.n)
		_, err := r.w.Append(t.Context(), s.m, s)
		check(t, err)
	})
	step("restart, first", verbs{"get": 2, "put": 1 + 1}, change) // the index block and its patch; whether the store heeds conditions, the entry
	step("restart, second", verbs{"put": 1}, change)
	if h, err := r.w.Refresh(t.Context()); err != nil || h.Entry.Number != 20 {
		t.Errorf("newest: %+v, %v", h, err)
	}
	if e, _, _, err := remotelog.DecodeEntry(object(t, r.s, remotelog.LatestKey(testName))); err != nil || e.Number != 18 {
		t.Errorf("the copy: %v", err)
	}

	// Another process of the same owner, and back.
	first := r.w
	r.restart()
	change()
	r.w = first
	step("after another process", verbs{"put": 2, "get": 1 + 1}, change) // one that fails; the 21st, the 22nd
	step("and again", verbs{"put": 1}, change)
}
