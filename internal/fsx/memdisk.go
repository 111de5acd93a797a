//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"
)

// memDisk is what all handles of a [Mem] share.
type memDisk struct {
	opts MemOptions
	boot int

	mu      sync.Mutex
	root    *memNode
	nextIno uint64
	free    []uint64  // inode numbers below nextIno that nobody has
	seq     int       // of the last change
	names   []*change // of directories, that are not durable, in order
}

// memNode is a file or a directory.
type memNode struct {
	content
	ino          uint64
	mtime, ctime time.Time
	nlink        int // 0 or 1 for a directory
	open         int // handles
	locked       bool

	// pending is what happened since the last sync, in order, and synced what
	// there was then. Without pending, synced is not used.
	pending []*change
	synced  content

	// Of a directory:
	entries map[string]*memNode
	durable map[string]*memNode // the entries that a power loss leaves, before any change in names
	up      *memNode            // where it is; nil for the root
	placed  *change             // what put it there
}

type content struct {
	mode fs.FileMode
	data []byte
}

// A change is something that a power loss may undo.
type change struct {
	seq  int
	op   Op
	name string // for people

	// Of a file:
	off  int64 // or size
	data []byte
	mode fs.FileMode

	// Of names: each gets a new node, or none.
	sets    [2]entry
	needs   []*change // of other names, that must have happened
	durable bool
}

// A place is a name in a directory.
type place struct {
	dir  *memNode
	name string
}

type entry struct {
	place
	node *memNode
}

const maxName = 255

func (n *memNode) isDir() bool { return n.mode.IsDir() }

// child returns what has a name in a directory.
func (n *memNode) child(name string) (*memNode, error) {
	c := n.entries[name]
	switch {
	case n.nlink > 0 && len(name) > maxName:
		return nil, syscall.ENAMETOOLONG
	case c == nil:
		return nil, syscall.ENOENT
	}
	return c, nil
}

func (n *memNode) names() []string { return slices.Sorted(maps.Keys(n.entries)) }

// within says whether n is dir or below it.
func (n *memNode) within(dir *memNode) bool {
	for ; n != nil; n = n.up {
		if n == dir {
			return true
		}
	}
	return false
}

// perm returns the mode of something new.
func (d *memDisk) perm(perm fs.FileMode) fs.FileMode {
	return fileMode(modeBits(perm)) &^ fs.ModeIrregular &^ (d.opts.Umask & fs.ModePerm)
}

func (d *memDisk) newNode(mode fs.FileMode) *memNode {
	now := d.opts.Now()
	n := &memNode{content: content{mode: mode}, mtime: now, ctime: now}
	if mode.IsDir() {
		n.entries, n.durable = map[string]*memNode{}, map[string]*memNode{}
	}
	if len(d.free) > 0 {
		i := slices.Index(d.free, slices.Min(d.free))
		n.ino = d.free[i]
		d.free = slices.Delete(d.free, i, i+1)
	} else {
		n.ino = d.nextIno
		d.nextIno++
	}
	return n
}

// reclaim frees the inode number of what nobody can reach any more.
func (d *memDisk) reclaim(n *memNode) {
	if n.nlink == 0 && n.open == 0 {
		d.free = append(d.free, n.ino)
	}
}

func (d *memDisk) infoOf(base string, n *memNode) Info {
	size := int64(len(n.data))
	if n.isDir() {
		size = 4096
	}
	return Info{
		Name: base, Size: size, Mode: n.mode,
		ModTime: n.mtime, ChangeTime: n.ctime, Dev: d.opts.Dev, Ino: n.ino,
	}
}

// alter changes a file or the permissions of a directory.
func (d *memDisk) alter(n *memNode, c *change) {
	if len(n.pending) == 0 {
		n.synced = content{n.mode, slices.Clone(n.data)}
	}
	d.seq++
	c.seq = d.seq
	n.pending = append(n.pending, c)
	n.apply(c, Kept)
	n.ctime = d.opts.Now()
	if c.op != OpChmod {
		n.mtime = n.ctime
	}
}

// settle makes durable what a file holds.
func (n *memNode) settle() { n.pending, n.synced = nil, content{} }

// place gives a node a name, and takes another name from it unless from is nil.
func (d *memDisk) place(op Op, name string, from *place, to place, n *memNode) {
	c := &change{op: op, name: name}
	c.sets[0] = entry{to, n}
	if from != nil {
		c.sets[1] = entry{*from, nil}
		for dir := to.dir; dir != nil; dir = dir.up {
			if dir.placed != nil {
				c.needs = append(c.needs, dir.placed)
			}
		}
	} else {
		n.nlink++
	}
	d.changeNames(c)
	if n.isDir() {
		n.up, n.placed = to.dir, c
	}
	n.ctime = d.opts.Now()
}

// unplace takes a name away.
func (d *memDisk) unplace(name string, at place) {
	c := &change{op: OpRemove, name: name}
	c.sets[0] = entry{at, nil}
	d.changeNames(c)
}

// changeNames makes a change of names, and notes it for a power loss.
func (d *memDisk) changeNames(c *change) {
	d.seq++
	c.seq = d.seq
	d.names = append(d.names, c)
	now := d.opts.Now()
	moved := c.sets[0].node
	for _, e := range c.sets {
		if e.dir == nil {
			continue
		}
		if old := e.dir.entries[e.name]; old != nil && old != moved {
			if old.isDir() {
				c.needs = append(c.needs, d.changesIn(old)...)
			}
			old.nlink--
			old.ctime = now
			d.reclaim(old)
		}
		set(e.dir.entries, e.name, e.node)
		e.dir.mtime, e.dir.ctime = now, now
	}
}

// changesIn returns what happened in a directory and is not durable.
func (d *memDisk) changesIn(dir *memNode) (all []*change) {
	for _, c := range d.names {
		if c.sets[0].dir == dir || c.sets[1].dir == dir {
			all = append(all, c)
		}
	}
	return all
}

func set(m map[string]*memNode, name string, n *memNode) {
	if n == nil {
		delete(m, name)
	} else {
		m[name] = n
	}
}

func (d *memDisk) mkdir(dir *memNode, base string, perm fs.FileMode, name string) error {
	if err := newName(dir, base); err != nil {
		return err
	}
	d.place(OpMkdir, name, nil, place{dir, base}, d.newNode(fs.ModeDir|d.perm(perm)))
	return nil
}

// newName reports whether a name may be made.
func newName(dir *memNode, base string) error {
	_, err := dir.child(base)
	switch {
	case err == nil:
		return syscall.EEXIST
	case !errors.Is(err, syscall.ENOENT):
		return err
	case dir.nlink == 0:
		return syscall.ENOENT
	}
	return nil
}

func (d *memDisk) link(from, to place, name string) error {
	n, err := from.dir.child(from.name)
	if err != nil {
		return err
	}
	if err := newName(to.dir, to.name); err != nil {
		return err
	}
	if n.isDir() {
		return syscall.EPERM
	}
	d.place(OpLink, name, nil, to, n)
	return nil
}

func (d *memDisk) rename(op Op, from, to place, name string) error {
	n, err := from.dir.child(from.name)
	if err != nil {
		return err
	}
	target, err := to.dir.child(to.name)
	switch {
	case errors.Is(err, syscall.ENAMETOOLONG):
		return err
	case target != nil && op == OpRenameNew:
		return syscall.EEXIST
	case op == OpRenameDir && !n.isDir():
		return syscall.ENOTDIR
	case n.isDir() && to.dir.within(n):
		return syscall.EINVAL
	case target != nil && from.dir.within(target):
		return syscall.ENOTEMPTY
	case target == n:
		return nil
	case to.dir.nlink == 0:
		return syscall.ENOENT
	case target == nil:
	case n.isDir() && !target.isDir():
		return syscall.ENOTDIR
	case !n.isDir() && target.isDir():
		return syscall.EISDIR
	case len(target.entries) > 0:
		return syscall.ENOTEMPTY
	}
	d.place(op, name, &from, to, n)
	return nil
}

func (d *memDisk) remove(dir *memNode, base, name string) error {
	n, err := dir.child(base)
	if err != nil {
		return err
	}
	if len(n.entries) > 0 {
		return syscall.ENOTEMPTY
	}
	d.unplace(name, place{dir, base})
	return nil
}

func (d *memDisk) removeAll(dir *memNode, base, name string) error {
	n, err := dir.child(base)
	if err != nil {
		return err
	}
	for _, below := range n.names() {
		if err := d.removeAll(n, below, name+"/"+below); err != nil {
			return err
		}
	}
	return d.remove(dir, base, name)
}
