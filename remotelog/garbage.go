package remotelog

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// garbageMagic is what the list of garbage begins with; the last byte is its version.
const garbageMagic = "boulewst\x01"

// Bounds of a list of garbage.
const (
	MaxGarbageObjects = 1 << 20
	MaxGarbage        = 32 << 20 // bytes
)

// maxMillis is the last millisecond of the year 9999.
const maxMillis = maxSeconds*1000 + 999

// Garbage says which objects of a log are there, though no recovery point needs them, and since when: they wait to be removed, for the
// sake of those who began to read when something needed them. The zero value is of a log without any.
type Garbage struct {
	// Pruned has the runs of the list of pruned entries that this one was written with. If that does not have all of them any more, what is
	// garbage may have been needed meanwhile.
	Pruned Pruned
	// Batches are in the order in which they were found.
	Batches []GarbageBatch
}

// A GarbageBatch is what was found to be garbage at the same time.
type GarbageBatch struct {
	// Found is when, in whole milliseconds. Zero means that it is when the list was put into its store.
	Found time.Time
	// Removing says that somebody has begun to remove them, so that some, or all, may be gone.
	Removing bool
	// Objects ascend. There is at least one.
	Objects []GarbageObject
}

// A GarbageObject is an object of a log, and how many bytes it has.
type GarbageObject struct {
	ObjectID
	Size int64
}

// EncodeGarbage returns the object that lists the garbage of the replica with that name.
func EncodeGarbage(name string, g Garbage) []byte {
	b := appendRuns(nil, g.Pruned.runs)
	b = protowire.AppendVarint(b, uint64(len(g.Batches)))
	for _, batch := range g.Batches {
		b = protowire.AppendVarint(b, millis(batch.Found))
		b = protowire.AppendVarint(b, protowire.EncodeBool(batch.Removing))
		b = protowire.AppendVarint(b, uint64(len(batch.Objects)))
		before := uint64(0)
		for _, o := range batch.Objects {
			b = protowire.AppendVarint(b, o.Entry-before)
			b = protowire.AppendVarint(b, uint64(o.Part))
			if o.Part > 0 {
				b = binary.BigEndian.AppendUint64(b, o.Nonce)
			}
			b = protowire.AppendVarint(b, uint64(o.Size))
			before = o.Entry
		}
	}
	return sealList(garbageMagic, name, b)
}

func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(min(max(t.UnixMilli(), 1), maxMillis))
}

// DecodeGarbage is the reverse of EncodeGarbage. It fails with [ErrCorrupt] and [ErrVersion].
func DecodeGarbage(name string, b []byte) (Garbage, error) {
	c, _, err := openList(garbageMagic, name, b)
	var g Garbage
	if err == nil {
		g = c.garbage()
		err = c.end()
	}
	if err != nil {
		return Garbage{}, fmt.Errorf("decode list of garbage: %w", err)
	}
	return g, nil
}

func (c *cursor) garbage() (g Garbage) {
	g.Pruned.runs = c.runs()
	room := uint64(MaxGarbageObjects)
	for range c.uint(room) {
		var batch GarbageBatch
		if ms := c.uint(maxMillis); ms > 0 {
			batch.Found = time.UnixMilli(int64(ms)).UTC()
		}
		batch.Removing = protowire.DecodeBool(c.uint(1))
		n := c.uint(room)
		if n == 0 {
			c.fail()
			return g
		}
		room -= n
		var last ObjectID
		for range n {
			id := ObjectID{Entry: last.Entry + c.uint(MaxNumber), Part: uint32(c.uint(math.MaxUint32))}
			if id.Part > 0 {
				if b := c.bytes(8); b != nil {
					id.Nonce = binary.BigEndian.Uint64(b)
				}
			}
			if id.Entry == 0 || id.Entry > MaxNumber || id.Compare(last) <= 0 {
				c.fail()
				return g
			}
			batch.Objects = append(batch.Objects, GarbageObject{id, int64(c.uint(MaxOffset))})
			last = id
		}
		g.Batches = append(g.Batches, batch)
	}
	return g
}
