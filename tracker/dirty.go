package tracker

import (
	"math"
	"slices"

	"github.com/boule-db/boule/manifest"
)

// maxListed is the first chunk (at 4 TiB) that is not listed by itself.
const maxListed = 1 << 26

const maxTail = math.MaxInt64 // no tail

// maxKept bounds the memory that a set holds on to when it is emptied.
const maxKept = 4096

// A dirtySet is the set of chunks that may differ from the last snapshot. It takes memory for those
// chunks, wherever in the database they are.
type dirtySet struct {
	set  map[int]struct{}
	list []int // of what is in set
	tail int64 // all chunks from here on are in the set
	last int64 // added last
}

func (d *dirtySet) reset() {
	if len(d.list) > maxKept || d.set == nil {
		d.set, d.list = map[int]struct{}{}, nil
	}
	clear(d.set)
	d.list = d.list[:0]
	d.tail, d.last = maxTail, -1
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
	if _, ok := d.set[int(i)]; !ok {
		d.set[int(i)] = struct{}{}
		d.list = append(d.list, int(i))
	}
}

// from adds everything from the chunk on that off is in.
func (d *dirtySet) from(off int64) {
	d.tail = min(d.tail, max(off, 0)/manifest.ChunkSize)
}

func (d *dirtySet) has(i int) bool {
	if int64(i) >= d.tail {
		return true
	}
	_, ok := d.set[i]
	return ok
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
