package manifest_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/boule-db/boule/manifest"
)

// A writer simulates one that keeps to a bound on overrides: while there are more,
// it stores the block that has the most. It keeps places, not fingerprints.
type writer struct {
	m      *manifest.Manifest
	chunks int
	bound  int
	total  int
	blocks int   // how many were stored
	bytes  int64 // and their lengths
}

// newWriter starts with all blocks stored as they are.
func newWriter(size int64, bound int) *writer {
	w := &writer{m: describe(content(manifest.ChunkSize)), chunks: manifest.Count(size), bound: bound}
	w.m.Chunks, w.m.Blocks = nil, nil
	w.grow()
	return w
}

// grow gives the manifest as many blocks as its chunks need.
func (w *writer) grow() {
	w.m.Size = int64(w.chunks) * manifest.ChunkSize
	for len(w.m.Blocks) < manifest.BlockCount(w.chunks) {
		w.m.Blocks = append(w.m.Blocks, manifest.Block{Stored: sum(0), Digest: sum(0)})
	}
}

// change gives a chunk, which may be new, another fingerprint.
func (w *writer) change(chunk int) {
	if chunk >= w.chunks {
		w.chunks = chunk + 1
		w.grow()
	}
	block, place := &w.m.Blocks[chunk/manifest.BlockChunks], chunk%manifest.BlockChunks
	i, found := slices.BinarySearchFunc(block.Overrides, place, func(o manifest.Override, place int) int { return o.Place - place })
	if !found && chunk > 0 {
		block.Overrides = slices.Insert(block.Overrides, i, manifest.Override{Place: place, Sum: sum(1)})
		w.total++
	}
	block.Digest = sum(2)
}

// commit ends a commit, which changes the first chunk too.
func (w *writer) commit() {
	w.m.Blocks[0].Digest = sum(2)
	for w.total > w.bound {
		most := 0
		for b := range w.m.Blocks {
			if len(w.m.Blocks[b].Overrides) > len(w.m.Blocks[most].Overrides) {
				most = b
			}
		}
		fold := &w.m.Blocks[most]
		w.total -= len(fold.Overrides)
		fold.Overrides, fold.Digest = fold.Overrides[:0], fold.Stored
		w.blocks++
		w.bytes += int64(16 * manifest.BlockLen(w.chunks, most))
	}
}

// BenchmarkBounds counts the bytes that keeping the index costs a commit, by the bound on overrides:
// those of the manifest but for the first chunk, by encoding it, and those of
// stored index blocks. It measures no time; what it reports is the same at every run. The
// last lines say how much more a bound costs than the best one for the same workload and size, in
// the worst case, in percent of the bytes of the chunks that the commit changes.
func BenchmarkBounds(b *testing.B) {
	const commits, sample = 10000, 50
	sizes := []struct {
		name  string
		bytes int64
	}{{"10MB", 1e7}, {"1GB", 1e9}, {"16GB", 16e9}, {"256GB", 256e9}, {"1TB", 1e12}}
	random := func(rng *rand.Rand, chunks int) int { return 1 + rng.IntN(chunks-1) }
	workloads := []struct {
		name string
		each int // chunks of every commit, beside the first
		next func(rng *rand.Rand, chunks int) int
	}{
		{"random", 1, random},
		{"random10", 10, random},
		{"append", 1, func(_ *rand.Rand, chunks int) int { return chunks }},
		{"hot", 1, func(rng *rand.Rand, chunks int) int {
			// 100 chunks, anywhere in the database.
			return 1 + int(uint64(rng.IntN(100))*0x9e3779b97f4a7c15>>11%uint64(chunks-1))
		}},
	}
	bounds := []int{128, 256, 512, 1024, 2048, 4096}
	worst, worstTo256GB := map[int]float64{}, map[int]float64{}
	for _, load := range workloads {
		for _, size := range sizes {
			total := map[int]float64{}
			for _, bound := range bounds {
				b.Run(fmt.Sprintf("%s/%s/%d", load.name, size.name, bound), func(b *testing.B) {
					var w *writer
					var encoded int64
					for range b.N {
						rng := rand.New(rand.NewPCG(1, 2))
						w, encoded = newWriter(size.bytes, bound), 0
						commit := func() {
							for range load.each {
								w.change(load.next(rng, w.chunks))
							}
							w.commit()
						}
						for range commits { // until it is as it will be
							commit()
						}
						w.blocks, w.bytes = 0, 0
						for i := range commits {
							commit()
							if i%sample == 0 {
								raw, err := manifest.Encode(w.m)
								check(b, err)
								encoded += int64(len(raw) - manifest.ChunkSize)
							}
						}
					}
					perManifest := float64(encoded) / (commits / sample)
					perBlock := float64(w.bytes) / commits
					total[bound] = perManifest + perBlock
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(perManifest, "manifest-B/commit")
					b.ReportMetric(perBlock, "blocks-B/commit")
					b.ReportMetric(perManifest+perBlock, "B/commit")
					b.ReportMetric(float64(w.blocks)/commits*1000, "blocks/1000-commits")
				})
			}
			for bound, bytes := range total {
				more := bytes - slices.Min(slices.Collect(maps.Values(total)))
				share := 100 * more / float64(manifest.ChunkSize*(1+load.each))
				worst[bound] = max(worst[bound], share)
				if size.bytes <= 256e9 {
					worstTo256GB[bound] = max(worstTo256GB[bound], share)
				}
			}
		}
	}
	for _, bound := range bounds {
		b.Run(fmt.Sprintf("worst/%d", bound), func(b *testing.B) {
			for range b.N {
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(worstTo256GB[bound], "%-to-256GB")
			b.ReportMetric(worst[bound], "%-to-1TB")
		})
	}
}
