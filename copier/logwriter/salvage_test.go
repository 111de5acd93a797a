package logwriter_test

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/storefault"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// What an append uploaded before it failed is not uploaded again: by the same writer, nor by one that recalls what that knew.
// It is looked for in the store, and what was changed meanwhile is not taken for it.
func TestFailedAppendIsResumed(t *testing.T) {
	const packs, perPack = 20, 8
	for _, c := range []struct {
		name    string
		again   bool // by another writer
		killed  bool // which has only what was kept meanwhile
		forgets bool // which was told nothing
		between func(t *testing.T, s store.Store)
		lost    int // packs that are sent once more
		change  int // chunks that change between the tries
	}{
		{name: "the same writer"},
		{name: "another writer", again: true},
		{name: "another writer that knows nothing", again: true, forgets: true, lost: packs/2 + 1},
		{name: "another writer after a kill", again: true, killed: true, lost: 2}, // those that were under way last
		{name: "a newer state", change: 10},
		{name: "a newer state, another writer", again: true, change: 10},
		{name: "packs that are gone", lost: 2, between: func(t *testing.T, s store.Store) {
			t.Helper()
			for _, key := range keys(t, s, remotelog.PackPrefix(testName))[3:5] {
				check(t, s.Delete(t.Context(), key))
			}
		}},
		{name: "packs that are cut off", lost: 2, between: func(t *testing.T, s store.Store) {
			t.Helper()
			for _, key := range keys(t, s, remotelog.PackPrefix(testName))[3:5] {
				_, err := s.Put(t.Context(), key, object(t, s, key)[:1000], store.Condition{})
				check(t, err)
			}
		}},
		{name: "another entry took the number", lost: packs, // all, and what the writer sent before it learnt so
			between: func(t *testing.T, s store.Store) {
				t.Helper()
				w := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1)})
				small := take(random(3*manifest.ChunkSize, 99), 1)
				_, err := w.Append(t.Context(), small.m, small)
				check(t, err)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner := mem.New()
			faulty := storefault.New(inner, nil)
			s := count(faulty)
			o := logwriter.Options{Owner: owner(1), PackSize: perPack*manifest.ChunkSize - 1000, Inline: -1, Jobs: 1}
			var kept []byte
			o.Keep = func(pages func() []byte) { kept = pages() }
			w := logwriter.New(s, s, testName, o)
			data := random(packs*perPack*manifest.ChunkSize, 1)
			// Requests of before the first pack are few, and their number does not matter.
			var put atomic.Int32
			faulty.SetPlan(func(call storefault.Call) storefault.Fault {
				if call.Verb == store.VerbPut {
					put.Add(1)
				}
				return storefault.Fault{Fail: put.Load() > packs/2+1}
			})
			snap := take(data, 2)
			if _, err := w.Append(t.Context(), snap.m, snap); err == nil {
				t.Fatal("no failure")
			}
			there := len(keys(t, inner, remotelog.PackPrefix(testName)))
			if there < packs/2-1 {
				t.Fatalf("%d packs were uploaded", there)
			}
			faulty.SetPlan(nil)
			if c.between != nil {
				c.between(t, inner)
			}
			if c.again {
				pages := w.Pages()
				if c.killed {
					pages = kept
				}
				w = logwriter.New(s, s, testName, o)
				if !c.forgets {
					check(t, w.Recall(pages))
				}
			}
			for i := range c.change {
				copy(data[i*perPack*manifest.ChunkSize:], random(manifest.ChunkSize, uint64(100+i)))
			}
			s.reset()
			snap = take(data, 3)
			res, err := w.Append(t.Context(), snap.m, snap)
			check(t, err)
			if !bytes.Equal(restore(t, inner, res.Entry), data) {
				t.Error("it restores to something else")
			}
			most := int64((packs-there+c.lost)*perPack+c.change+2) * manifest.ChunkSize
			if least := most - 4*perPack*manifest.ChunkSize; s.bytes > most || s.bytes < least {
				t.Errorf("%d bytes were sent, want %d to %d; %d packs were there", s.bytes, least, most, there)
			}
			if n := s.verbs[store.VerbList]; n > 2 {
				t.Errorf("%d lists", n)
			}
			// It is over: nothing of it is used again.
			copy(data, random(len(data), 7))
			snap = take(data, 4)
			if res, err = w.Append(t.Context(), snap.m, snap); err != nil || !bytes.Equal(restore(t, inner, res.Entry), data) {
				t.Errorf("the next: %v, or something else", err)
			}
		})
	}
}
