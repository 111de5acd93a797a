package remotelog_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/remotelog"
)

func TestPruned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfDistinct(rapid.Uint64Range(1, remotelog.MaxNumber), rapid.ID[uint64]).Draw(t, "numbers")
		slices.Sort(numbers)
		b := remotelog.EncodePruned(name, numbers)
		got, err := remotelog.DecodePruned(name, b)
		if err != nil || !slices.Equal(got, numbers) {
			t.Fatalf("got %v, %v, want %v", got, err, numbers)
		}
		// No part of it, and nothing that has one bit altered, is taken for a list.
		if _, err := remotelog.DecodePruned(name, b[:rapid.IntRange(0, len(b)-1).Draw(t, "length")]); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Fatalf("cut short: got %v, want %v", err, remotelog.ErrCorrupt)
		}
		at := rapid.IntRange(0, 8*len(b)-1).Draw(t, "bit")
		b[at/8] ^= 1 << (at % 8)
		want := remotelog.ErrCorrupt
		if at/8 == 8 && b[8] != 0 {
			want = remotelog.ErrVersion
		}
		if _, err := remotelog.DecodePruned(name, b); !errors.Is(err, want) {
			t.Fatalf("bit %d altered: got %v, want %v", at, err, want)
		}
	})
	if _, err := remotelog.DecodePruned("other", remotelog.EncodePruned(name, []uint64{1})); !errors.Is(err, remotelog.ErrCorrupt) {
		t.Errorf("of another replica: got %v, want %v", err, remotelog.ErrCorrupt)
	}
	if got := remotelog.PrunedKey("n"); got != "pruned/n" {
		t.Errorf("got %q", got)
	}
}

func FuzzDecodePruned(f *testing.F) {
	f.Add(remotelog.EncodePruned(name, nil))
	f.Add(remotelog.EncodePruned(name, []uint64{1, 2, 1000, remotelog.MaxNumber}))
	f.Fuzz(func(t *testing.T, b []byte) {
		numbers, err := remotelog.DecodePruned(name, b)
		if err == nil && !slices.Equal(remotelog.EncodePruned(name, numbers), b) {
			t.Errorf("%x has another form: %x", b, remotelog.EncodePruned(name, numbers))
		}
	})
}
