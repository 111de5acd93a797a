package logrep_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
)

// TestRanges divides random frames: each is in one range, the ranges have little between the frames, and are not too long.
func TestRanges(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var frames []remotelog.Place
		total := int64(0)
		for object := range 1 + rng.IntN(4) {
			id := remotelog.ObjectID{Entry: 1 + uint64(object/2), Part: uint32(object % 2)}
			at, most := int64(0), int64(1)<<rng.IntN(20)
			for range rng.IntN(300) {
				if rng.IntN(3) == 0 {
					at += rng.Int64N(most)
				}
				p := remotelog.Place{Object: id, Offset: at, Length: 1 + rng.Int64N(60000)}
				at = p.End()
				total += p.Length
				frames = append(frames, p)
			}
		}
		want := slices.Clone(frames)
		rng.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		var got []remotelog.Place
		fetched := int64(0)
		for _, r := range logrep.Ranges(frames) {
			length := r[len(r)-1].End() - r[0].Offset
			if length > logrep.MaxRange {
				t.Errorf("seed %d: a range of %d bytes", seed, length)
			}
			fetched += length
			got = append(got, r...)
		}
		slices.SortFunc(want, func(a, b remotelog.Place) int { return slices.Index(got, a) - slices.Index(got, b) })
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: other frames", seed)
		}
		if fetched > total+total/20 {
			t.Errorf("seed %d: %d bytes for %d", seed, fetched, total)
		}
	}
}

// TestRangesOfOverlaps has frames that lie within each other, as no writer makes them.
func TestRangesOfOverlaps(t *testing.T) {
	id := remotelog.ObjectID{Entry: 1, Part: 1}
	var frames []remotelog.Place
	for _, at := range [][2]int64{{0, 100}, {50, 100}, {50, 50}, {150, 10}} {
		frames = append(frames, remotelog.Place{Object: id, Offset: at[0], Length: at[1]})
	}
	for _, r := range logrep.Ranges(frames) {
		for i := 1; i < len(r); i++ {
			if r[i].Offset < r[i-1].End() {
				t.Errorf("%v are fetched at once", r)
			}
		}
	}
}
