package remotelog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"github.com/boule-db/boule/remotelog"
)

// numbersOf returns the numbers that a list has, up to a limit.
func numbersOf(p remotelog.Pruned, limit uint64) (numbers []uint64) {
	for n := range limit + 1 {
		if p.Has(n) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func TestPruned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := remotelog.Pruned{Unlisted: rapid.Uint64Range(0, remotelog.MaxNumber).Draw(t, "unlisted"), Garbage: rapid.Bool().Draw(t, "garbage")}
		for range rapid.IntRange(0, 20).Draw(t, "runs") {
			first := rapid.Uint64Range(1, remotelog.MaxNumber).Draw(t, "first")
			p.Add(remotelog.Run{First: first, Last: min(first+rapid.Uint64Range(0, 1000).Draw(t, "more"), remotelog.MaxNumber)})
		}
		b := remotelog.EncodePruned(name, p)
		got, err := remotelog.DecodePruned(name, b)
		if err != nil || got.Unlisted != p.Unlisted || got.Garbage != p.Garbage || !slices.Equal(got.Runs(), p.Runs()) {
			t.Fatalf("got %v, %v, want %v", got, err, p)
		}
		spoiled(t, b, func(b []byte) error {
			_, err := remotelog.DecodePruned(name, b)
			return err
		})
	})
	if _, err := remotelog.DecodePruned("other", remotelog.EncodePruned(name, remotelog.Pruned{})); !errors.Is(err, remotelog.ErrCorrupt) {
		t.Errorf("of another replica: got %v, want %v", err, remotelog.ErrCorrupt)
	}
	if got := remotelog.PrunedKey("n"); got != "pruned/n" {
		t.Errorf("got %q", got)
	}
}

// spoiled checks that no part of a list, and nothing that has one bit altered, is taken for one.
func spoiled(t *rapid.T, b []byte, decode func([]byte) error) {
	if err := decode(b[:rapid.IntRange(0, len(b)-1).Draw(t, "length")]); !errors.Is(err, remotelog.ErrCorrupt) {
		t.Fatalf("cut short: got %v, want %v", err, remotelog.ErrCorrupt)
	}
	at := rapid.IntRange(0, 8*len(b)-1).Draw(t, "bit")
	version := b[8]
	b[at/8] ^= 1 << (at % 8)
	want := remotelog.ErrCorrupt
	if b[8] > version {
		want = remotelog.ErrVersion
	}
	if err := decode(b); !errors.Is(err, want) {
		t.Fatalf("bit %d altered: got %v, want %v", at, err, want)
	}
}

// TestPrunedSet compares a list with a set of numbers.
func TestPrunedSet(t *testing.T) {
	const limit = 40
	rapid.Check(t, func(t *rapid.T) {
		draw := func() (p remotelog.Pruned, set map[uint64]bool) {
			set = map[uint64]bool{}
			for range rapid.IntRange(0, 8).Draw(t, "runs") {
				r := remotelog.Run{First: rapid.Uint64Range(1, limit).Draw(t, "first")}
				r.Last = rapid.Uint64Range(r.First, limit).Draw(t, "last")
				if rapid.Bool().Draw(t, "short") {
					r.Last = min(r.Last, r.First+2)
				}
				p.Add(r)
				for n := r.First; n <= r.Last; n++ {
					set[n] = true
				}
			}
			return p, set
		}
		p, set := draw()
		if got, want := numbersOf(p, limit+1), slices.Sorted(maps.Keys(set)); !slices.Equal(got, want) {
			t.Fatalf("%v has %v, want %v", p, got, want)
		}
		for i, r := range p.Runs() {
			if r.Last < r.First || i > 0 && r.First <= p.Runs()[i-1].Last+1 {
				t.Fatalf("runs are %v", p.Runs())
			}
		}
		p.Unlisted = rapid.Uint64Range(0, limit).Draw(t, "unlisted")
		first, last := rapid.Uint64Range(1, limit).Draw(t, "from"), rapid.Uint64Range(0, limit).Draw(t, "to")
		var got, want []uint64
		for _, r := range p.Missing(first, last) {
			for n := r.First; n <= r.Last; n++ {
				got = append(got, n)
			}
		}
		for n := first; n <= last; n++ {
			if !set[n] && n >= p.Unlisted {
				want = append(want, n)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v: of %d to %d miss %v, want %v", p, first, last, got, want)
		}
		before := p.Before(last)
		maps.DeleteFunc(set, func(n uint64, _ bool) bool { return n >= last })
		if got, want := numbersOf(before, limit), slices.Sorted(maps.Keys(set)); !slices.Equal(got, want) || before.Unlisted > last {
			t.Fatalf("%v before %d has %v, want %v", p, last, got, want)
		}
		q, more := draw()
		contained := true
		for n := range more {
			contained = contained && set[n]
		}
		if before.Contains(q) != contained {
			t.Fatalf("%v contains %v: %t", before, q, !contained)
		}
		maps.Copy(set, more)
		before.Merge(q)
		if got, want := numbersOf(before, limit), slices.Sorted(maps.Keys(set)); !slices.Equal(got, want) {
			t.Fatalf("with %v: %v, want %v", q, got, want)
		}
	})
}

// TestPrunedNumbers reads a list of the first version, which has those that were still there.
func TestPrunedNumbers(t *testing.T) {
	b, _ := remotelog.NameSum(name).AppendBinary([]byte("boulegon\x01"))
	b = append(b, 3, 5, 1, 3) // how many, and by how much each is greater than the one before
	b = binary.BigEndian.AppendUint64(b, xxh3.Hash(b))
	p, err := remotelog.DecodePruned(name, b)
	if err != nil {
		t.Fatal(err)
	}
	if got := numbersOf(p, 100); !slices.Equal(got, []uint64{5, 6, 9}) || len(p.Missing(1, 100)) > 0 {
		t.Errorf("got %v, missing %v", got, p.Missing(1, 100))
	}
	// What goes from then on is listed.
	p.Unlisted = 20
	if got := p.Missing(1, 100); !slices.Equal(got, []remotelog.Run{{First: 20, Last: 100}}) {
		t.Errorf("missing %v", got)
	}
}

// TestPrunedAlone reads a list of the second version, which has no list of garbage beside it.
func TestPrunedAlone(t *testing.T) {
	b, _ := remotelog.NameSum(name).AppendBinary([]byte("boulegon\x02"))
	b = append(b, 7, 2, 5, 1, 3, 2) // before which others need not be listed, how many runs; each: how far from the one before, how many
	b = binary.BigEndian.AppendUint64(b, xxh3.Hash(b))
	p, err := remotelog.DecodePruned(name, b)
	if err != nil {
		t.Fatal(err)
	}
	if got := numbersOf(p, 100); !slices.Equal(got, []uint64{5, 9, 10}) || p.Unlisted != 7 || p.Garbage {
		t.Errorf("got %v: %+v", got, p)
	}
}

func FuzzDecodePruned(f *testing.F) {
	f.Add(remotelog.EncodePruned(name, remotelog.Pruned{}))
	f.Add(remotelog.EncodePruned(name, pruned()))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = resealed(b)
		p, err := remotelog.DecodePruned(name, b)
		if err == nil && b[8] == 3 && !bytes.Equal(remotelog.EncodePruned(name, p), b) {
			t.Errorf("%x has another form: %x", b, remotelog.EncodePruned(name, p))
		}
	})
}

// resealed returns a list with the right check, so that what is wrong with it is found by its decoder.
func resealed(b []byte) []byte {
	if len(b) < 8 {
		return b
	}
	body := b[:len(b)-8]
	return binary.BigEndian.AppendUint64(slices.Clone(body), xxh3.Hash(body))
}

// pruned returns a list with runs of all kinds.
func pruned() remotelog.Pruned {
	p := remotelog.Pruned{Unlisted: 77, Garbage: true}
	for _, r := range []remotelog.Run{{First: 1, Last: 2}, {First: 4, Last: 4}, {First: 1000, Last: 70000}, {First: remotelog.MaxNumber, Last: remotelog.MaxNumber}} {
		p.Add(r)
	}
	return p
}
