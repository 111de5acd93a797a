package tracker

import (
	"math"
	"slices"

	"github.com/boule-db/boule/manifest"
)

// maxListed is the first chunk (at 4 TiB) that is not listed by itself.
const maxListed = 1 << 26

const maxTail = math.MaxInt64 // no tail

// A dirtySet is the set of chunks that may differ from the last snapshot. Adding to it costs
// nothing but the growth of its bitmap.
type dirtySet struct {
	bits []uint64
	list []int // the bits that are set
	tail int64 // all chunks from here on are in the set
	last int64 // added last
}

func (d *dirtySet) reset() {
	for _, i := range d.list {
		d.bits[i>>6] = 0
	}
	d.list = d.list[:0]
	d.tail, d.last = maxTail, -1
	if cap(d.bits) > 1<<14 { // 64 GiB: do not hold on to that
		d.bits, d.list = nil, nil
	}
}

func (d *dirtySet) empty() bool { return len(d.list) == 0 && d.tail == maxTail }

// write adds the chunks that n bytes at off touch.
func (d *dirtySet) write(off int64, n int) {
	if n <= 0 || off < 0 {
		return
	}
	first, last := off/manifest.ChunkSize, (off+int64(n)-1)/manifest.ChunkSize
	if first == d.last && last == d.last {
		return
	}
	for i := first; i <= last; i++ {
		d.add(i)
	}
	d.last = last
}

func (d *dirtySet) add(i int64) {
	if i >= d.tail {
		return
	}
	if i >= maxListed {
		d.tail = i
		return
	}
	w := int(i >> 6)
	if w >= len(d.bits) {
		d.bits = slices.Grow(d.bits, w+1-len(d.bits))
		d.bits = append(d.bits, make([]uint64, w+1-len(d.bits))...)
	}
	if bit := uint64(1) << (i & 63); d.bits[w]&bit == 0 {
		d.bits[w] |= bit
		d.list = append(d.list, int(i))
	}
}

// from adds everything from the chunk on that off is in.
func (d *dirtySet) from(off int64) {
	d.tail = min(d.tail, max(off, 0)/manifest.ChunkSize)
}

func (d *dirtySet) has(i int) bool {
	return int64(i) >= d.tail || i>>6 < len(d.bits) && d.bits[i>>6]&(1<<(i&63)) != 0
}

// listed returns the chunks before n that are in the set, in order.
func (d *dirtySet) listed(n int) []int {
	slices.Sort(d.list)
	i, _ := slices.BinarySearch(d.list, n)
	return d.list[:i]
}

// merge adds what is in another set.
func (d *dirtySet) merge(o *dirtySet) {
	for _, i := range o.list {
		d.add(int64(i))
	}
	d.tail = min(d.tail, o.tail)
	d.last = -1
}
