package logwriter_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

// TestAdoption lets somebody else append to a replica that nobody has appended to for long: only if it may be of the same database.
func TestAdoption(t *testing.T) {
	const page = 4096
	large := random(5*manifest.ChunkSize+9*page, 1)
	changed := func(data []byte, pages ...int) []byte {
		data = bytes.Clone(data)
		for _, p := range pages {
			copy(data[p*page:], random(page, uint64(p)))
		}
		return data
	}
	var every []int // one page of each chunk
	for p := 3; p < len(large)/page; p += 16 {
		every = append(every, p)
	}
	emptyTables := func(seed uint64, tables int) []byte { // one schema, no rows
		data := make([]byte, (1+tables)*page)
		copy(data, random(page, 1))
		for i := range tables {
			copy(data[(1+i)*page:], "\x0d\x00\x00\x00\x00\x10")
		}
		copy(data[2*page:], random(page, seed))
		return data
	}
	for _, c := range []struct {
		name        string
		theirs, our []byte
		want        bool
	}{
		{"the same", large, large, true},
		{"one page has changed", large, changed(large, 7), true},
		{"every chunk has changed", large, changed(large, every...), true},
		{"grown", large, append(bytes.Clone(large), random(9*manifest.ChunkSize, 3)...), true},
		{"cut off", large, large[:2*manifest.ChunkSize], true},
		{"another one", large, random(len(large), 9), false},
		{"another one with the same first page", large, append(bytes.Clone(large[:page]), random(len(large)-page, 9)...), false},
		{"a new one", large, random(2*page, 9), false},
		{"a new one of a schema with empty tables", append(emptyTables(1, 9), large...), emptyTables(2, 9), false},
		{"a larger one", large[:8*page], random(9*manifest.ChunkSize, 9), false},
		{
			"zeros in both", append(random(manifest.ChunkSize, 1), make([]byte, 3*manifest.ChunkSize)...),
			append(random(manifest.ChunkSize, 9), make([]byte, 3*manifest.ChunkSize)...), false,
		},
		{"too small to tell", large[:2*page], random(2*page, 9), true},
		{"nothing there", nil, large, true},
		{"nothing left", large, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := count(mem.New())
			var now clock
			first := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(1), Now: now.Now})
			second := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(2), Now: now.Now})
			sn := takeSnap(c.theirs, 5)
			_, err := first.Append(t.Context(), sn.m, sn)
			check(t, err)
			sn = takeSnap(c.our, 3)
			_, err = second.Append(t.Context(), sn.m, sn)
			var fenced *logwriter.FencedError
			if !errors.As(err, &fenced) || fenced.Stranger {
				t.Fatalf("at once: got %v", err)
			}
			now.set(time.Now().Add(time.Hour))
			s.reset()
			res, err := second.Append(t.Context(), sn.m, sn)
			if c.want {
				check(t, err)
				if !bytes.Equal(restore(t, s.Store, res.Entry), c.our) {
					t.Error("it restores to something else")
				}
				return
			}
			if !errors.As(err, &fenced) || !fenced.Stranger || fenced.Entry != 1 {
				t.Fatalf("got %+v, %v", res, err)
			}
			if s.verbs[store.VerbPut] > 0 {
				t.Errorf("it sent something: %v", s.verbs)
			}
			// Again that costs no more than to find the newest entry.
			s.reset()
			_, err = second.Append(t.Context(), sn.m, sn)
			if !errors.Is(err, logwriter.ErrFenced) || s.requests() > 2 {
				t.Errorf("again: got %v after %v", err, s.verbs)
			}
			// The first one goes on.
			sn = takeSnap(changed(c.theirs, 1), 6)
			_, err = first.Append(t.Context(), sn.m, sn)
			check(t, err)
			// Unless the second restores what the first had, or people say so.
			now.set(time.Now().Add(2 * time.Hour))
			restored := takeSnap(changed(c.theirs, 2), 1)
			if _, err = second.Append(t.Context(), restored.m, restored); err != nil {
				t.Errorf("after it was restored: %v", err)
			}
			third := logwriter.New(s, s, testName, logwriter.Options{Owner: owner(3), Now: now.Now})
			sn = takeSnap(c.our, 7)
			_, err = third.Takeover(t.Context(), sn.m, sn)
			check(t, err)
		})
	}
}
