//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"iter"
	"maps"
	"slices"
)

// syncDir makes the names in a directory durable, and its permissions.
func (d *memDisk) syncDir(dir *memNode) {
	dir.settle()
	d.settleNames(func(c *change) bool { return c.sets[0].dir == dir || c.sets[1].dir == dir })
}

// syncAll makes everything durable.
func (d *memDisk) syncAll() {
	d.settleNames(func(*change) bool { return true })
	for n := range d.reachable() {
		n.settle()
	}
}

// settleNames makes durable the changes of names that are chosen, with those that
// must have happened before.
func (d *memDisk) settleNames(chosen func(*change) bool) {
	settle := map[*change]bool{}
	touched := map[place]bool{}
	for _, c := range slices.Backward(d.names) {
		if !settle[c] && !chosen(c) && !touched[c.sets[0].place] && !touched[c.sets[1].place] {
			continue
		}
		settle[c] = true
		for _, e := range c.sets {
			if e.dir != nil {
				touched[e.place] = true
			}
		}
		for _, need := range c.needs {
			settle[need] = true // it is an earlier one
		}
	}
	left := d.names[:0:0]
	for _, c := range d.names {
		if !settle[c] {
			left = append(left, c)
			continue
		}
		c.durable, c.needs = true, nil
		for _, e := range c.sets {
			if e.dir != nil {
				set(e.dir.durable, e.name, e.node)
			}
		}
	}
	d.names = left
}

// reboot makes what is durable all that there is.
func (d *memDisk) reboot() {
	d.names = nil
	durable := func(n *memNode) []map[string]*memNode { return []map[string]*memNode{n.durable} }
	for n := range walkNodes([]*memNode{d.root}, durable) {
		n.entries = maps.Clone(n.durable)
		n.placed = nil
	}
	d.recount()
}

// recount works out links, parents and free inode numbers of a disk that nobody
// has open.
func (d *memDisk) recount() {
	all := slices.Collect(d.reachable())
	for n := range d.possible() {
		n.nlink, n.open, n.locked = 0, 0, false
	}
	d.root.nlink = 1
	used := map[uint64]bool{}
	var twice []*memNode
	for _, n := range all {
		if used[n.ino] {
			twice = append(twice, n)
		}
		used[n.ino] = true
		for _, c := range n.entries {
			c.nlink++
			if c.isDir() {
				c.up = n
			}
		}
	}
	// A file that has not gone after all, and one that got its number.
	for _, n := range twice {
		n.ino = d.nextIno
		d.nextIno++
		used[n.ino] = true
	}
	d.free = nil
	for ino := uint64(2); ino < d.nextIno; ino++ {
		if !used[ino] {
			d.free = append(d.free, ino)
		}
	}
}

// walkNodes yields the roots and all below them once, in a fixed order.
func walkNodes(roots []*memNode, below func(*memNode) []map[string]*memNode) iter.Seq[*memNode] {
	return func(yield func(*memNode) bool) {
		seen := map[*memNode]bool{}
		todo := roots
		for len(todo) > 0 {
			n := todo[0]
			todo = todo[1:]
			if seen[n] {
				continue
			}
			seen[n] = true
			if !yield(n) {
				return
			}
			for _, m := range below(n) {
				for _, name := range slices.Sorted(maps.Keys(m)) {
					todo = append(todo, m[name])
				}
			}
		}
	}
}

// reachable yields all that has a name now.
func (d *memDisk) reachable() iter.Seq[*memNode] {
	return walkNodes([]*memNode{d.root}, func(n *memNode) []map[string]*memNode {
		return []map[string]*memNode{n.entries}
	})
}

// possible yields all that has a name now or may have one after a power loss, once.
func (d *memDisk) possible() iter.Seq[*memNode] {
	roots := []*memNode{d.root}
	for _, c := range d.names {
		for _, e := range c.sets {
			if e.node != nil {
				roots = append(roots, e.node)
			}
		}
	}
	return walkNodes(roots, func(n *memNode) []map[string]*memNode {
		return []map[string]*memNode{n.entries, n.durable}
	})
}

// clone returns a copy of a disk with all that is possible. Handles stay with the
// original.
func (d *memDisk) clone() *memDisk {
	c := &memDisk{opts: d.opts, boot: d.boot, nextIno: d.nextIno, free: slices.Clone(d.free), seq: d.seq}
	nodes := map[*memNode]*memNode{nil: nil}
	for n := range d.possible() {
		nodes[n] = n.clone()
	}
	changes := map[*change]*change{nil: nil}
	for _, old := range d.names {
		n := *old
		n.needs = nil
		for _, need := range old.needs {
			if !need.durable {
				n.needs = append(n.needs, changes[need])
			}
		}
		for i := range n.sets {
			n.sets[i].dir, n.sets[i].node = nodes[n.sets[i].dir], nodes[n.sets[i].node]
		}
		changes[old] = &n
		c.names = append(c.names, &n)
	}
	for _, n := range nodes {
		if n == nil {
			continue
		}
		n.up, n.placed = nodes[n.up], changes[n.placed]
		for _, m := range []map[string]*memNode{n.entries, n.durable} {
			for name, child := range m {
				m[name] = nodes[child]
			}
		}
	}
	c.root = nodes[d.root]
	return c
}

func (n *memNode) clone() *memNode {
	c := *n
	c.data, c.synced.data = slices.Clone(n.data), slices.Clone(n.synced.data)
	c.pending = slices.Clone(n.pending)
	c.entries, c.durable = maps.Clone(n.entries), maps.Clone(n.durable)
	return &c
}
