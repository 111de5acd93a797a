package remotelog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxOffset bounds where in an object a frame may end.
const MaxOffset = 1 << 40

// An ObjectID names an object that has frames: an entry, or a pack.
type ObjectID struct {
	Entry uint64 // number of the entry; a pack was made for the entry of that number
	Part  uint32 // 0 is the entry itself, packs count from 1
	// Nonce is random, in the key of a pack, so that two writers, or two attempts of one, never write the same; 0 for
	// an entry. The packs of one attempt have the same, which makes what names them shorter.
	Nonce uint64
}

// String returns the numbers as they are in the key of a pack.
func (id ObjectID) String() string {
	return fmt.Sprintf("%016x-%08x-%016x", id.Entry, id.Part, id.Nonce)
}

// Compare orders objects by their entries, of which each comes before the packs that were made for it.
func (id ObjectID) Compare(other ObjectID) int {
	return cmp.Or(cmp.Compare(id.Entry, other.Entry), cmp.Compare(id.Part, other.Part), cmp.Compare(id.Nonce, other.Nonce))
}

// A Place is where a frame is.
type Place struct {
	Object         ObjectID
	Offset, Length int64 // Offset in an entry (Part 0) counts from the first byte behind its header
}

// IsZero says that there is no frame.
func (p Place) IsZero() bool { return p == Place{} }

// End is the offset behind the frame.
func (p Place) End() int64 { return p.Offset + p.Length }

// String is for people to read.
func (p Place) String() string { return fmt.Sprintf("%v@%d+%d", p.Object, p.Offset, p.Length) }

// check fails unless an entry of that number may name the place, of a frame that holds up to limit bytes.
func (p Place) check(number uint64, limit int64) error {
	switch id := p.Object; {
	case id.Entry == 0 || id.Entry > number:
		return corrupt("a frame in object %v, but the entry is %d", id, number)
	case id.Part == 0 && id.Nonce != 0:
		return corrupt("a frame in object %v, which is neither entry nor pack", id)
	case p.Length <= FrameHead || p.Length > FrameHead+limit || p.Offset < 0 || p.Offset > MaxOffset-p.Length:
		return corrupt("a frame of %d bytes at offset %d", p.Length, p.Offset)
	}
	return nil
}

// appendPlaces appends places column by column, since what is alike compresses well side by side: references, objects,
// offsets, lengths. What is near in the list is mostly near in the store too, and then costs a byte per column.
func appendPlaces(b []byte, base uint64, places []Place) []byte {
	numbers := map[ObjectID]int{}
	var last []Place // of every object
	var objects, offsets, lengths []byte
	before := -1 // number of the object of the place before
	nonce := uint64(0)
	for _, p := range places {
		i, known := numbers[p.Object]
		if !known {
			i = len(last)
			numbers[p.Object] = i
			last = append(last, Place{Object: p.Object})
			objects = appendObject(objects, base, p.Object, &nonce)
		}
		again := p == last[i]
		switch {
		case !known:
			b = appendRef(b, refNew, false)
		case i == before:
			b = appendRef(b, refSame, again)
		default:
			b = appendRef(b, refFirst+i, again)
		}
		if !again {
			offsets = protowire.AppendVarint(offsets, protowire.EncodeZigZag(p.Offset-last[i].End()))
			lengths = protowire.AppendVarint(lengths, uint64(p.Length))
		}
		before, last[i] = i, p
	}
	b = append(b, objects...)
	b = append(b, offsets...)
	return append(b, lengths...)
}

// What a reference says of the object of a place, times two; plus one if the frame is the same as the last
// one in that object.
const (
	refSame  = 0 // it is that of the place before
	refNew   = 1 // it is the next one that the objects column defines
	refFirst = 2 // this and what follows: it is the one so many behind the first that was defined
)

func appendRef(b []byte, object int, again bool) []byte {
	v := uint64(object) << 1
	if again {
		v |= 1
	}
	return protowire.AppendVarint(b, v)
}

// appendObject appends how far the entry of an object is before base; its part times two, plus one if a nonce follows, which
// is that of the pack before otherwise.
func appendObject(b []byte, base uint64, id ObjectID, nonce *uint64) []byte {
	b = protowire.AppendVarint(b, base-id.Entry)
	part := uint64(id.Part) << 1
	if id.Part == 0 || id.Nonce == *nonce {
		return protowire.AppendVarint(b, part)
	}
	*nonce = id.Nonce
	b = protowire.AppendVarint(b, part|1)
	return binary.BigEndian.AppendUint64(b, id.Nonce)
}

// places undoes appendPlaces. It allocates in proportion to the bytes that there are. Whether the places are in
// any range is for the caller to check.
func (c *cursor) places(base uint64, n int) []Place {
	refs := c.uints(n, 2*(refFirst+math.MaxInt32))
	objects, fresh := 0, 0
	for _, ref := range refs {
		if ref>>1 == refNew {
			objects++
		}
		if ref&1 == 0 {
			fresh++
		}
	}
	if c.failed || objects > len(c.rest) {
		c.fail()
		return nil
	}
	last := make([]Place, objects)
	nonce := uint64(0)
	for i := range last {
		last[i].Object = c.object(base, &nonce)
	}
	offsets := c.uints(fresh, math.MaxUint64)
	lengths := c.uints(fresh, MaxFrame)
	if c.failed {
		return nil
	}
	places := make([]Place, n)
	known, before := 0, -1
	for k, ref := range refs {
		i := before
		switch object := int(ref >> 1); object {
		case refSame:
		case refNew:
			i = known
			known++
		default:
			i = object - refFirst
		}
		if i < 0 || i >= known {
			c.fail()
			return nil
		}
		if ref&1 == 0 {
			// It wraps around at worst, and then is out of range.
			last[i].Offset = last[i].End() + protowire.DecodeZigZag(offsets[0])
			last[i].Length = int64(lengths[0])
			offsets, lengths = offsets[1:], lengths[1:]
			if last[i].Offset < 0 || last[i].Offset > MaxOffset {
				c.fail()
				return nil
			}
		}
		places[k], before = last[i], i
	}
	return places
}

// object undoes appendObject.
func (c *cursor) object(base uint64, nonce *uint64) ObjectID {
	id := ObjectID{Entry: base - c.uint(base)}
	part := c.uint(math.MaxUint32<<1 | 1)
	if part&1 != 0 {
		if b := c.bytes(8); b != nil {
			*nonce = binary.BigEndian.Uint64(b)
		}
	}
	if id.Part = uint32(part >> 1); id.Part > 0 {
		id.Nonce = *nonce
	}
	return id
}
