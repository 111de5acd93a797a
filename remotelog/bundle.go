package remotelog

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

// MaxBundle is how many bytes a bundle has at most; a writer makes bundles of about 10 MiB.
const MaxBundle = 1 << 26

// MaxBundled is of how many entries the bundles of one entry have the frames at most.
const MaxBundled = 1 << 12

// A Bundle is a pack with the frames of successive entries, as they are inline there, one entry behind the other. It is a second copy of
// them: who needs frames of many entries gets them by one request.
type Bundle struct {
	Pack    ObjectID
	Sum     manifest.Fingerprint // of the pack
	First   uint64               // number of the first of the entries
	Lengths []int64              // of the frames of each; 0 if the pack has none of that entry
}

// End is the number behind that of the last entry.
func (b *Bundle) End() uint64 { return b.First + uint64(len(b.Lengths)) }

// Size is the length of the pack.
func (b *Bundle) Size() (n int64) {
	for _, l := range b.Lengths {
		n += l
	}
	return n
}

// Places returns what maps places in entries to those of the same frames in the pack. It fails for any that is not there.
func (b *Bundle) Places() func(Place) (Place, bool) {
	starts := make([]int64, len(b.Lengths)+1)
	for i, l := range b.Lengths {
		starts[i+1] = starts[i] + l
	}
	return func(p Place) (Place, bool) {
		i := p.Object.Entry - b.First // which wraps around if it is before
		if p.Object.Part != 0 || i >= uint64(len(b.Lengths)) || p.Offset < 0 || p.End() > b.Lengths[i] {
			return Place{}, false
		}
		return Place{Object: b.Pack, Offset: starts[i] + p.Offset, Length: p.Length}, true
	}
}

// Own returns those of the bundles of e that were made for it, and are there as long as it is a recovery point. The others are those of
// entries before it, and may be gone with them.
func (e *Entry) Own() (own []Bundle) {
	for i := range e.Bundles {
		if e.Bundles[i].Pack.Entry == e.Number {
			own = append(own, e.Bundles[i])
		}
	}
	return own
}

// validateBundles checks the rules about bundles.
func (e *Entry) validateBundles() error {
	if e.Bundled >= e.Number {
		return corrupt("number %d, and the entry before it with bundles has %d", e.Number, e.Bundled)
	}
	next, count := uint64(1), 0
	for i := range e.Bundles {
		b := &e.Bundles[i]
		count += len(b.Lengths)
		switch {
		case len(b.Lengths) == 0 || count > MaxBundled:
			return corrupt("bundles of %d entries", count)
		case b.First < next || b.First > MaxNumber || b.End() > b.Pack.Entry:
			return corrupt("a bundle of entries from %d to %d, made for entry %d, behind one to %d", b.First, b.End()-1, b.Pack.Entry, next-1)
		case b.Pack.Entry > e.Number || b.Pack.Part == 0:
			return corrupt("a bundle in object %v, but the entry is %d", b.Pack, e.Number)
		case b.Sum == manifest.Fingerprint{}:
			return corrupt("a bundle without fingerprint")
		}
		next = b.End()
		size := int64(0)
		for _, l := range b.Lengths {
			if l < 0 || l > MaxBundle-size {
				return corrupt("a bundle of %d bytes, and %d more", size, l)
			}
			size += l
		}
		if size == 0 {
			return corrupt("a bundle of nothing")
		}
	}
	return nil
}

// appendBundles appends the bundles one after the other: entries from the end of the last to the first, and how many; the object; the
// fingerprint; lengths.
func appendBundles(b []byte, e *Entry) []byte {
	end, nonce := uint64(0), uint64(0)
	for i := range e.Bundles {
		u := &e.Bundles[i]
		b = protowire.AppendVarint(b, u.First-end)
		b = protowire.AppendVarint(b, uint64(len(u.Lengths)))
		b = appendObject(b, e.Number, u.Pack, &nonce)
		b = appendSum(b, u.Sum)
		for _, l := range u.Lengths {
			b = protowire.AppendVarint(b, uint64(l))
		}
		end = u.End()
	}
	return b
}

// parseBundles undoes appendBundles. It allocates in proportion to the bytes that there are.
func parseBundles(b []byte, number uint64) ([]Bundle, error) {
	c := cursor{rest: b}
	var bundles []Bundle
	end, nonce := uint64(0), uint64(0)
	for len(c.rest) > 0 {
		u := Bundle{First: end + c.uint(MaxNumber)}
		n := int(c.uint(MaxBundled))
		u.Pack = c.object(number, &nonce)
		if sum := c.sums(1); sum != nil {
			u.Sum = manifest.At(sum, 0)
		}
		for _, l := range c.uints(n, MaxBundle) {
			u.Lengths = append(u.Lengths, int64(l))
		}
		end = u.End()
		bundles = append(bundles, u)
	}
	if c.failed {
		return nil, corrupt("the bundles are cut short or malformed")
	}
	return bundles, nil
}
