package manifest_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
)

// TestAnyHistory does to blocks what a writer may do, and to a plain list beside them, and
// reads both.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const most = 2*manifest.BlockChunks + 50
		n := rapid.SampledFrom([]int{1, 2, 40, 4095, 4096, 4097, 8192, 8200}).Draw(rt, "chunks")
		m, s := large(n, 0), shelf{}
		flat := slices.Clone(m.Chunks)
		m.Chunks = nil
		next := 1 << 30
		fresh := func() manifest.Fingerprint { next++; return sum(next) }
		// change gives the blocks the fingerprints of flat at places from..to, and the right
		// digest to all blocks from the first of these on.
		change := func(places ...int) {
			blocks := make([]manifest.Block, manifest.BlockCount(len(flat)))
			copy(blocks, m.Blocks)
			m.Size = int64(len(flat)) * manifest.ChunkSize
			for b := range blocks {
				n := manifest.BlockLen(len(flat), b)
				overrides := map[int]manifest.Fingerprint{}
				for _, o := range blocks[b].Overrides {
					if o.Place < n {
						overrides[o.Place] = o.Sum
					}
				}
				for _, place := range places {
					if place > 0 && place/manifest.BlockChunks == b && place < len(flat) {
						overrides[place%manifest.BlockChunks] = flat[place]
					}
				}
				block := &blocks[b]
				block.Overrides = nil
				for place, f := range overrides {
					block.Overrides = append(block.Overrides, manifest.Override{Place: place, Sum: f})
				}
				slices.SortFunc(block.Overrides, func(x, y manifest.Override) int { return x.Place - y.Place })
				block.Digest = manifest.Sum(manifest.AppendList(nil, flat[b*manifest.BlockChunks:][:n]))
				if block.Digest == block.Stored {
					block.Overrides = nil
				}
			}
			m.Blocks = blocks
		}
		steps := rapid.IntRange(1, 30).Draw(rt, "steps")
		for range steps {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0, 1: // a commit that changes chunks
				places := rapid.SliceOfN(rapid.IntRange(0, len(flat)-1), 1, 5).Draw(rt, "places")
				for _, place := range places {
					if place > 0 {
						flat[place] = fresh()
					}
				}
				m.First = content(manifest.ChunkSize)
				m.First[0] = rapid.Byte().Draw(rt, "first")
				m.Header = manifest.HeaderSum(m.First)
				flat[0] = manifest.Sum(m.First)
				change(places...)
			case 2: // one that makes the database longer
				var places []int
				for range rapid.SampledFrom([]int{1, 2, 20, 4096}).Draw(rt, "more") {
					if len(flat) < most {
						places = append(places, len(flat))
						flat = append(flat, fresh())
					}
				}
				change(places...)
			case 3: // or shorter
				flat = flat[:max(1, len(flat)-rapid.SampledFrom([]int{1, 2, 20, 4096}).Draw(rt, "less"))]
				change()
			case 4: // a fold
				s.fold(t, m, rapid.IntRange(0, len(m.Blocks)-1).Draw(rt, "fold"))
			case 5: // a restart
				m = again(t, m)
				m.Chunks = nil
			}
			got, err := again(t, m).List(s.read)
			if err != nil {
				rt.Fatal(err)
			}
			if !slices.Equal(got, flat) {
				rt.Fatalf("got another list of %d, want %d", len(got), len(flat))
			}
			plain := &manifest.Manifest{Chunks: flat}
			if got, want := m.Contents(), plain.Contents(); got != want {
				rt.Fatalf("got contents %v, want %v", got, want)
			}
		}
	})
}
