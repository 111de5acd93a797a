//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"cmp"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
)

// A Fate says what a power loss makes of a change that was not synced.
type Fate int

// The fates. Torn writes differ in which of their sectors arrived; for anything
// but a write of several sectors, torn is kept.
const (
	Lost     Fate = iota
	Kept          // all of it
	TornHead      // the first half
	TornTail      // the second half
	TornComb      // every other sector
	numFates
)

// A Change is something that happened to a [Mem] and is not durable: OpCreate,
// OpMkdir, OpLink, OpRename, OpRenameNew, OpRenameDir or OpRemove of a name, or
// OpWrite, OpTruncate or OpChmod of a file.
type Change struct {
	Op   Op
	Name string // the one that the operation was told, below the outermost Mem
	Off  int64  // where OpWrite wrote, or the size that OpTruncate set
	Len  int    // of OpWrite
}

func (c Change) String() string {
	switch c.Op {
	case OpWrite:
		return fmt.Sprintf("%s %s %d+%d", c.Op, c.Name, c.Off, c.Len)
	case OpTruncate:
		return fmt.Sprintf("%s %s %d", c.Op, c.Name, c.Off)
	}
	return fmt.Sprintf("%s %s", c.Op, c.Name)
}

// sector is what a disk writes as a whole.
const sector = 512

// Unsynced returns the changes that a power loss may undo, in order.
func (m *Mem) Unsynced() []Change {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	var all []Change
	for _, p := range m.disk.unsynced() {
		all = append(all, p.public())
	}
	return all
}

// Crash returns the root of what a power loss leaves whose random choices are
// those of rng. Some losses lose almost nothing, some almost all.
func (m *Mem) Crash(rng *rand.Rand) *Mem {
	kept, torn := rng.Float64(), rng.Float64()/2
	return m.CrashKeeping(func(Change) Fate {
		switch {
		case rng.Float64() >= kept:
			return Lost
		case rng.Float64() < torn:
			return TornHead + Fate(rng.IntN(int(numFates-TornHead)))
		}
		return Kept
	})
}

// CrashKeeping returns the root of what the power loss leaves in which every
// change has the fate that is told, called in the order of the changes. A change
// of names that must have happened before what is kept is kept, too.
func (m *Mem) CrashKeeping(fate func(Change) Fate) *Mem {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	d := m.disk.clone()
	d.boot++
	pending := d.unsynced()
	keep := map[*change]bool{}
	alter := map[*memNode][]func(){}
	truncated := 0 // the last truncation that is kept
	for _, p := range pending {
		f := fate(p.public())
		if f != Lost && p.op == OpTruncate {
			truncated = p.seq
		}
		switch {
		case f == Lost:
		case p.node == nil:
			keep[p.change] = true
		default:
			alter[p.node] = append(alter[p.node], func() { p.node.apply(p.change, f) })
		}
	}
	d.settleNames(func(c *change) bool { return keep[c] || c.seq < truncated })
	d.reboot()
	for n := range d.reachable() {
		if len(n.pending) > 0 {
			n.content = n.synced
		}
		for _, f := range alter[n] {
			f()
		}
		n.settle()
	}
	return d.rootHandle()
}

// Images returns up to limit images of a power loss, each with a name: the one
// where all is kept, the one where nothing is, those where all the names and none of the
// writes are and the other way round, then either all subsets of the changes, if
// they are few, or else random ones.
func (m *Mem) Images(limit int, rng *rand.Rand) iter.Seq2[string, *Mem] {
	return func(yield func(string, *Mem) bool) {
		n := len(m.Unsynced())
		left := limit
		try := func(name string, img func() *Mem) bool {
			left--
			return left >= 0 && yield(name, img())
		}
		only := func(f func(Change) bool) func() *Mem {
			return func() *Mem {
				return m.CrashKeeping(func(c Change) Fate {
					if f(c) {
						return Kept
					}
					return Lost
				})
			}
		}
		if !try("all kept", only(func(Change) bool { return true })) || n == 0 ||
			!try("all lost", only(func(Change) bool { return false })) || n == 1 ||
			!try("names kept", only(func(c Change) bool { return !c.ofFile() })) ||
			!try("writes kept", only(Change.ofFile)) {
			return
		}
		if n < 30 && 1<<n <= left {
			for set := range 1 << n {
				i := -1
				if !try(fmt.Sprintf("subset %0*b", n, set), only(func(Change) bool { i++; return set>>i&1 != 0 })) {
					return
				}
			}
		}
		for {
			seed := rng.Uint64()
			if !try(fmt.Sprintf("random %#x", seed), func() *Mem { return m.Crash(rand.New(rand.NewPCG(seed, 0))) }) {
				return
			}
		}
	}
}

// Kill returns the root of what is left when all processes are killed: everything,
// unlocked, and no more durable than before.
func (m *Mem) Kill() *Mem {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	d := m.disk.clone()
	d.recount()
	return d.rootHandle()
}

func (d *memDisk) rootHandle() *Mem {
	d.root.open++
	return &Mem{disk: d, dir: d.root}
}

// ofFile says whether the change is one of a file or of permissions, not of names.
func (c Change) ofFile() bool { return c.Op == OpWrite || c.Op == OpTruncate || c.Op == OpChmod }

// unsyncedChange is a change with the file that it changed, nil for a change of names.
type unsyncedChange struct {
	*change
	node *memNode
}

func (c *change) public() Change { return Change{c.op, c.name, c.off, len(c.data)} }

// unsynced returns all pending changes in order. Those of files that no image can
// have any more are not among them.
func (d *memDisk) unsynced() []unsyncedChange {
	var all []unsyncedChange
	for _, c := range d.names {
		all = append(all, unsyncedChange{c, nil})
	}
	for n := range d.possible() {
		for _, c := range n.pending {
			all = append(all, unsyncedChange{c, n})
		}
	}
	slices.SortFunc(all, func(a, b unsyncedChange) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// apply makes a change of a file.
func (n *memNode) apply(c *change, f Fate) {
	switch c.op {
	case OpChmod:
		n.mode = n.mode&fs.ModeType | c.mode
	case OpTruncate:
		n.resize(c.off)
	case OpWrite:
		n.patch(c, f)
	}
}

func (n *memNode) resize(size int64) {
	if have := int64(len(n.data)); size > have {
		n.data = append(n.data, make([]byte, size-have)...)
	}
	n.data = n.data[:size]
}

func (n *memNode) patch(c *change, f Fate) {
	first, last := c.off/sector, (c.off+int64(len(c.data))-1)/sector
	half := first + (last-first+1)/2
	for s := first; s <= last; s++ {
		arrived := true
		switch f {
		case TornHead:
			arrived = s < half
		case TornTail:
			arrived = s >= half
		case TornComb:
			arrived = (s-first)%2 == 0
		}
		if !arrived && first != last {
			continue
		}
		from, to := max(c.off, s*sector), min(c.off+int64(len(c.data)), (s+1)*sector)
		if to > int64(len(n.data)) {
			n.resize(to)
		}
		copy(n.data[from:to], c.data[from-c.off:to-c.off])
	}
}
