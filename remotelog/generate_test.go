package remotelog_test

import (
	"math"
	"math/bits"
	"time"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// objects returns a few objects that an entry of the number may name, as they are drawn.
func objects(number uint64) *rapid.Generator[remotelog.ObjectID] {
	return rapid.Custom(func(t *rapid.T) remotelog.ObjectID {
		id := remotelog.ObjectID{Entry: number - min(number-1, rapid.Uint64Range(0, 3).Draw(t, "back"))}
		if rapid.Bool().Draw(t, "far") {
			id.Entry = rapid.Uint64Range(1, number).Draw(t, "entry")
		}
		if rapid.Bool().Draw(t, "pack") {
			id.Part = rapid.Uint32Range(1, 3).Draw(t, "part")
			id.Nonce = rapid.Uint64Range(0, 2).Draw(t, "nonce")
			if rapid.Bool().Draw(t, "any") {
				id.Part = rapid.Uint32Range(1, math.MaxUint32).Draw(t, "any part")
				id.Nonce = rapid.Uint64().Draw(t, "any nonce")
			}
		}
		return id
	})
}

// places returns places that an entry of the number may name, some one behind the other and some the same again.
func places(number uint64, limit int64) *rapid.Generator[remotelog.Place] {
	var last []remotelog.Place
	return rapid.Custom(func(t *rapid.T) remotelog.Place {
		how := rapid.IntRange(0, 3).Draw(t, "how")
		if len(last) == 0 {
			how = 0
		}
		p := remotelog.Place{Length: remotelog.FrameHead + rapid.Int64Range(1, limit).Draw(t, "length")}
		switch how {
		case 0:
			p.Object = objects(number).Draw(t, "object")
			p.Offset = rapid.Int64Range(0, remotelog.MaxOffset-p.Length).Draw(t, "offset")
		case 1:
			return rapid.SampledFrom(last).Draw(t, "again")
		default:
			before := rapid.SampledFrom(last).Draw(t, "before")
			p.Object, p.Offset = before.Object, min(before.End(), remotelog.MaxOffset-p.Length)
		}
		if len(last) < 8 {
			last = append(last, p)
		} else {
			last[rapid.IntRange(0, 7).Draw(t, "forget")] = p
		}
		return p
	})
}

// chunks returns chunks of n bytes.
func chunks(n int, places *rapid.Generator[remotelog.Place]) *rapid.Generator[remotelog.Chunk] {
	return rapid.Custom(func(t *rapid.T) remotelog.Chunk {
		if n == manifest.ChunkSize && rapid.IntRange(0, 4).Draw(t, "zeros") == 0 {
			return remotelog.Chunk{Sum: manifest.ZeroChunk}
		}
		c := remotelog.Chunk{Sum: sum(rapid.IntRange(0, 1000).Draw(t, "sum"))}
		all := remotelog.AllPages(n)
		for left := all; left != 0; {
			pages := left
			if rapid.Bool().Draw(t, "some") {
				pages &= rapid.Uint16().Draw(t, "pages")
			}
			if pages == 0 {
				pages = 1 << bits.TrailingZeros16(left)
			}
			left &^= pages
			c.Layers = append(c.Layers, remotelog.Layer{Frame: places.Draw(t, "place"), Pages: pages})
		}
		return c
	})
}

func times(t *rapid.T, label string) time.Time {
	return time.Unix(rapid.Int64Range(0, 253402300799).Draw(t, label+" s"), rapid.Int64Range(0, 999999999).Draw(t, label+" ns")).UTC()
}

// entries returns entries of databases of up to three blocks.
func entries() *rapid.Generator[*remotelog.Entry] {
	return rapid.Custom(func(t *rapid.T) *remotelog.Entry {
		e := describe(rapid.Int64Range(0, 3*manifest.ChunkSize).Draw(t, "behind blocks"), rapid.Uint64Range(1, remotelog.MaxNumber).Draw(t, "number"))
		whole := rapid.Int64Range(0, 2).Draw(t, "blocks")
		e.Size += whole * manifest.BlockChunks * manifest.ChunkSize
		e.Appended = times(t, "appended")
		e.SourceTime = time.Time{}
		if rapid.Bool().Draw(t, "has time") {
			e.SourceTime = times(t, "source")
		}
		e.Takeover = rapid.Bool().Draw(t, "takeover")
		if rapid.Bool().Draw(t, "unknown") {
			e.Owner.Database = [16]byte{}
		}
		e.VersionID = append([]byte(nil), rapid.SliceOfN(rapid.Byte(), 0, manifest.MaxVersionID).Draw(t, "id")...)
		e.Sequence = rapid.Uint64Range(0, manifest.MaxSequence).Draw(t, "sequence")
		e.Generator = rapid.StringN(-1, -1, manifest.MaxString).Draw(t, "generator")
		e.Writer = rapid.StringN(-1, -1, manifest.MaxString).Draw(t, "writer")
		if e.Number > 1 && rapid.Bool().Draw(t, "has bundles") {
			e.Bundled = rapid.Uint64Range(0, e.Number-1).Draw(t, "bundled")
			e.Bundles = bundles(e.Number).Draw(t, "bundles")
		}
		if rapid.Bool().Draw(t, "has seals") {
			e.Sealed = rapid.Uint64Range(1, e.Number+1).Draw(t, "sealed")
			e.Inline = rapid.Int64Range(0, remotelog.MaxOffset).Draw(t, "inline")
		}
		frames := places(e.Number, remotelog.MaxDelta)
		count := manifest.Count(e.Size)
		for b := range manifest.BlockCount(count) {
			block := remotelog.Block{Digest: sum(b)}
			n := manifest.BlockLen(count, b)
			every := n < 10 && rapid.Bool().Draw(t, "not stored")
			if !every {
				block.Stored = places(e.Number, remotelog.MaxIndex).Draw(t, "stored")
				if rapid.Bool().Draw(t, "patched") {
					block.Patch = places(e.Number, remotelog.MaxIndex).Draw(t, "patch")
				}
			}
			for place := 0; place < n; place++ {
				if !every {
					if place += rapid.IntRange(0, n/2).Draw(t, "step"); place >= n {
						break
					}
				}
				size := manifest.ChunkLen(e.Size, b*manifest.BlockChunks+place)
				block.Overrides = append(block.Overrides, remotelog.Override{Place: place, Chunk: chunks(size, frames).Draw(t, "chunk")})
			}
			e.Blocks = append(e.Blocks, block)
		}
		return e
	})
}

// bundles returns what an entry of the number, which is not 1, may name.
func bundles(number uint64) *rapid.Generator[[]remotelog.Bundle] {
	return rapid.Custom(func(t *rapid.T) (list []remotelog.Bundle) {
		next := uint64(1)
		for len(list) < 3 && next < number {
			b := remotelog.Bundle{
				Sum: sum(rapid.IntRange(0, 100).Draw(t, "sum")), First: rapid.Uint64Range(next, number-1).Draw(t, "first"),
				Lengths: rapid.SliceOfN(rapid.Int64Range(0, 1<<21), 1, int(min(20, number-next))).Draw(t, "lengths"),
			}
			b.Lengths = b.Lengths[:min(uint64(len(b.Lengths)), number-b.First)]
			b.Lengths[0]++
			b.Pack = remotelog.ObjectID{
				Entry: rapid.Uint64Range(b.End(), number).Draw(t, "made for"), Part: rapid.Uint32Range(1, math.MaxUint32).Draw(t, "part"),
				Nonce: rapid.Uint64Range(0, 2).Draw(t, "nonce"),
			}
			list = append(list, b)
			next = b.End()
		}
		return list
	})
}

// indexes returns index blocks.
func indexes() *rapid.Generator[[]remotelog.Chunk] {
	return rapid.Custom(func(t *rapid.T) []remotelog.Chunk {
		frames := places(rapid.Uint64Range(1, remotelog.MaxNumber).Draw(t, "number"), remotelog.MaxDelta)
		list := rapid.SliceOfN(chunks(manifest.ChunkSize, frames), 0, 20).Draw(t, "chunks")
		size := rapid.IntRange(1, manifest.ChunkSize).Draw(t, "last")
		return append(list, chunks(size, frames).Draw(t, "last chunk"))
	})
}

// patches returns patches of index blocks.
func patches() *rapid.Generator[[]remotelog.Override] {
	return rapid.Custom(func(t *rapid.T) []remotelog.Override {
		list := indexes().Draw(t, "chunks")
		patch, next := make([]remotelog.Override, len(list)), 0
		for i := range list {
			place := next + rapid.IntRange(0, 200).Draw(t, "skipped")
			patch[i], next = remotelog.Override{Place: place, Chunk: list[i]}, place+1
		}
		return patch
	})
}

// deltas returns what a frame may have.
func deltas() *rapid.Generator[[]remotelog.Delta] {
	return rapid.Custom(func(t *rapid.T) []remotelog.Delta {
		n := rapid.IntRange(1, 8).Draw(t, "deltas")
		list := make([]remotelog.Delta, n)
		next := int64(0)
		for i := range list {
			chunk := next + rapid.Int64Range(0, 1<<20).Draw(t, "skipped")
			next = chunk + 1
			pages := rapid.Uint16Range(1, math.MaxUint16).Draw(t, "pages")
			size := bits.OnesCount16(pages) * remotelog.PageSize
			if i == n-1 {
				size -= rapid.IntRange(0, remotelog.PageSize-1).Draw(t, "missing")
			}
			list[i] = remotelog.Delta{Chunk: chunk, Pages: pages, Data: content(size, byte(chunk))}
		}
		return list
	})
}
