package logrep

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// CheckOptions configure [Log.Check]. Nil is the same as the zero value.
type CheckOptions struct {
	// Percent is how many of the chunks are fetched, put together and compared with their fingerprints: 0 is
	// none, 100 and more is all. Each is, once, in each version that any entry has. As much of what no entry needs, but objects
	// still have, is fetched, too, and must be whole frames.
	Percent int
	// Shift turns the choice of those that are fetched, so that checks with different ones fetch others.
	Shift uint32
	// Jobs is how many requests are under way at a time; 0 means 16.
	Jobs int
	// After is the number of the last entry that is not checked; 0 means that all are.
	After uint64
	// Incomplete says that it is no fault if remotelog.LatestKey is not there, or of an entry before some that were pruned; and the list of garbage is not looked at.
	Incomplete bool
	// Known is a state that somebody knows to have appended. If the newest entry is of the same spool, and of an older state,
	// it is a fault. The zero value is not known.
	Known KnownState
	// Progress is called as entries are done. Data are fetched for many of them at a time.
	Progress func(done, total int)
}

// A KnownState is what tells one state of a database from older ones: the Sequence of an entry whose Owner has that Spool.
type KnownState struct {
	Spool    [16]byte
	Sequence uint64
}

// Lost returns what is wrong if newest is the newest entry of the log of that name, though it is of an older state of the same spool. It returns nil
// otherwise.
func (k KnownState) Lost(name string, newest *remotelog.Entry) *Fault {
	if newest.Owner.Spool != k.Spool || newest.Sequence >= k.Sequence {
		return nil
	}
	next := newest.Number + 1
	return &Fault{Object: remotelog.EntryKey(name, next), Err: fmt.Errorf("entry %d, or one behind it, is gone: this machine has uploaded state %d, and the newest one is %d: %w",
		next, k.Sequence, newest.Sequence, store.ErrNotExist)}
}

// CheckStats are what [Log.Check] saw.
type CheckStats struct {
	Entries     int   // that were kept
	EntryBytes  int64 // of their objects
	Packs       int
	PackBytes   int64
	Unused      int   // packs that no entry needs
	UnusedBytes int64 // that they have
	Versions    int   // of chunks, in all entries
	Read        int   // of those, how many were put together and are sound
	Faults      int
}

// Check looks whether everything is there that the entries which were kept need: every header and every index block
// is read and verified, and all frames that they name lie within objects of the list; CheckOptions say which data are read too. Whoever
// needs them, entries are as long as they say, and the last bytes of each pack are its seal: one that was cut, or is another, is found without its data.
// fault is called with everything that is wrong, by one goroutine at a time; what is wrong with an object as a whole
// is told once. The error is about something else, which ended the check.
//
// It remembers some bytes for every version of a chunk, and every pack. If it takes longer than the grace of who prunes the log meanwhile,
// it may find that missing which is removed then.
func (l *Log) Check(ctx context.Context, opts *CheckOptions, fault func(*Fault)) (CheckStats, error) {
	c := &checker{
		l: l, fault: fault,
		sizes:  map[remotelog.ObjectID]int64{},
		used:   map[remotelog.ObjectID]bool{},
		lost:   map[remotelog.ObjectID]bool{},
		seen:   map[manifest.Fingerprint]bool{},
		told:   map[remotelog.Place]bool{},
		needed: map[remotelog.ObjectID]*spans{},

		unsealed: map[remotelog.ObjectID]bool{},
	}
	if opts != nil {
		c.opts = *opts
	}
	c.g = newGatherer(l, jobsOrDefault(c.opts.Jobs), c.read)
	c.g.bad = c.bad
	c.stopped = ctx.Err
	if err := c.run(ctx); err != nil {
		return c.stats, fmt.Errorf("check %s: %w", l.name, err)
	}
	return c.stats, nil
}

type checker struct {
	l     *Log
	opts  CheckOptions
	g     *gatherer
	fault func(*Fault)
	// stopped is not nil if errors mean nothing any more.
	stopped func() error

	entries []entrySize
	pruned  remotelog.Pruned              // those that need be neither there nor whole
	garbage remotelog.Garbage             // objects that need not be whole, but are there
	gone    remotelog.Pruned              // those that were told to be missing
	sizes   map[remotelog.ObjectID]int64  // bytes of frames that an object has at most
	used    map[remotelog.ObjectID]bool   // objects that are named
	lost    map[remotelog.ObjectID]bool   // objects that were told to be missing or too short
	seen    map[manifest.Fingerprint]bool // versions of chunks
	needed  map[remotelog.ObjectID]*spans // where frames that are needed lie, if data are read
	last    *Head                         // the entry before, if it is sound
	newest  *remotelog.Entry              // nil if it is damaged
	sound   *remotelog.Entry              // the newest that is not; nil if there is none

	mu         sync.Mutex // guards the following, and is held while fault is called
	told       map[remotelog.Place]bool
	unsealed   map[remotelog.ObjectID]bool // packs that were told to lack their seal
	toldPruned bool                        // that the list of pruned entries is damaged or gone
	stats      CheckStats
}

// An entrySize is what is remembered of every entry.
type entrySize struct {
	number uint64
	size   int64
}

// bad reports an error if it is a fault, and returns it otherwise.
func (c *checker) bad(err error) error {
	if !isFault(err) || c.stopped() != nil {
		return err
	}
	var f *Fault
	if !errors.As(err, &f) {
		f = &Fault{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Object == remotelog.PrunedKey(c.l.name) { // which is read again now and then
		if c.toldPruned {
			return nil
		}
		c.toldPruned = true
	}
	if !f.frame.IsZero() {
		if c.told[f.frame] {
			return nil
		}
		c.told[f.frame] = true
	}
	c.stats.Faults++
	c.fault(&Fault{Object: f.Object, Err: err})
	return nil
}

// read counts a chunk that is sound.
func (c *checker) read(int, []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Read++
	return nil
}

func (c *checker) run(ctx context.Context) error {
	if err := c.list(ctx); err != nil {
		return err
	}
	if err := c.missing(ctx); err != nil {
		return err
	}
	done := 0
	for item, f := range c.l.heads(ctx, c.items) {
		if err := c.entry(ctx, item, f); err != nil {
			return err
		}
		if done++; c.opts.Progress != nil {
			c.opts.Progress(done, len(c.entries))
		}
	}
	if err := c.g.flush(ctx); err != nil {
		return err
	}
	for id, size := range c.sizes {
		if id.Part > 0 && !c.used[id] {
			c.stats.Unused++
			c.stats.UnusedBytes += size
		}
	}
	if err := c.seals(ctx, c.damaged()); err != nil {
		return err
	}
	if err := c.unneeded(ctx); err != nil {
		return err
	}
	if err := c.latest(ctx); err != nil {
		return err
	}
	if c.newest == nil {
		return nil
	}
	if f := c.opts.Known.Lost(c.l.name, c.newest); f != nil {
		return c.bad(f)
	}
	return nil
}

// list lists all objects. Entries are listed before packs, for they are put after them, and read after both, for
// those that are pruned meanwhile are not there then.
func (c *checker) list(ctx context.Context) (err error) {
	if c.pruned, err = c.l.Pruned(ctx); err != nil {
		if err = c.bad(err); err != nil {
			return err
		}
		c.pruned.Unlisted = remotelog.MaxNumber // nobody knows which were
	} else if !c.opts.Incomplete {
		if err := c.lists(ctx); err != nil {
			return err
		}
	}
	for item, err := range c.l.List(ctx, 0) {
		if err != nil {
			return err
		}
		c.entries = append(c.entries, entrySize{item.Number, item.Info.Size})
		c.sizes[remotelog.ObjectID{Entry: item.Number}] = item.Info.Size
		c.stats.Entries++
		c.stats.EntryBytes += item.Info.Size
	}
	for info, err := range c.l.packs.List(ctx, remotelog.PackPrefix(c.l.name)) {
		if err != nil {
			return err
		}
		if id, ok := remotelog.ParsePackKey(c.l.name, info.Key); ok {
			c.sizes[id] = info.Size
			c.stats.Packs++
			c.stats.PackBytes += info.Size
		}
	}
	return nil
}

// missing reports entries that are neither there nor pruned.
func (c *checker) missing(ctx context.Context) (err error) {
	if len(c.entries) == 0 && c.stats.Packs > 0 {
		return c.bad(&Fault{Object: remotelog.EntryKey(c.l.name, 1), Err: fmt.Errorf("there is no entry, though there are packs (%d): all are lost, or the first upload has not ended: %w", c.stats.Packs, store.ErrNotExist)})
	}
	missing := c.gaps()
	if last := c.pruned.Last(); len(c.entries) > 0 && last >= c.entries[len(c.entries)-1].number {
		// The newest one is never pruned.
		err := fmt.Errorf("entry %d, or one behind it, is gone: all that are left were pruned: %w", last+1, store.ErrNotExist)
		if err := c.bad(&Fault{Object: remotelog.EntryKey(c.l.name, last+1), Err: err}); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		// They may have been pruned meanwhile.
		if c.pruned, err = c.l.Pruned(ctx); err != nil {
			return c.bad(err)
		}
		missing = c.gaps()
	}
	if err := c.waiting(ctx); err != nil {
		return err
	}
	for _, r := range missing {
		c.gone.Add(r)
		what := fmt.Sprintf("entry %d is gone", r.First)
		if r.Last > r.First {
			what = fmt.Sprintf("entries %d to %d are gone", r.First, r.Last)
		}
		err := fmt.Errorf("%s, and not for being pruned: %w", what, store.ErrNotExist)
		if err := c.bad(&Fault{Object: remotelog.EntryKey(c.l.name, r.First), Err: err}); err != nil {
			return err
		}
	}
	return nil
}

// gaps returns the entries before the newest one that are not in the list, though not pruned.
func (c *checker) gaps() (missing []remotelog.Run) {
	next := c.opts.After + 1
	for _, e := range c.entries {
		if e.number > next {
			missing = append(missing, c.pruned.Missing(next, e.number-1)...)
		}
		next = max(next, e.number+1)
	}
	return missing
}

// items yields the entries of the list that are checked.
func (c *checker) items(yield func(Item, error) bool) {
	for _, e := range c.entries {
		if e.number > c.opts.After && !yield(Item{Number: e.number, Info: store.Info{Size: e.size}}, nil) {
			return
		}
	}
}

// entry checks an entry, and what none before it had.
func (c *checker) entry(ctx context.Context, item Item, f found) error {
	last := c.last
	c.last = nil
	switch {
	case errors.Is(f.err, store.ErrNotExist):
		delete(c.sizes, remotelog.ObjectID{Entry: item.Number}) // pruned meanwhile
		return nil
	case f.err != nil:
		c.newest = nil
		return c.bad(f.err)
	}
	e := f.head.Entry
	c.last, c.newest, c.sound = f.head, e, e
	if err := c.inline(e, item.Info.Size-int64(f.head.HeaderLen)); err != nil {
		return err
	}
	if c.pruned.Has(e.Number) {
		c.last = nil
		return nil
	}
	if last != nil && last.Entry.Number == e.Number-1 && last.Sum() != e.Previous {
		err := c.l.inHeader(e, corrupt("the entry before it has the fingerprint %v, not %v", last.Sum(), e.Previous))
		if err := c.bad(err); err != nil {
			return err
		}
	}
	for _, u := range e.Own() {
		if !c.anyKept(u.First, u.End()) {
			continue
		}
		if err := c.bundle(ctx, e, &u); err != nil {
			return err
		}
	}
	for b := range e.Blocks {
		if last != nil && b < len(last.Entry.Blocks) && reflect.DeepEqual(e.Blocks[b], last.Entry.Blocks[b]) {
			continue
		}
		if err := c.block(ctx, e, b); err != nil {
			return err
		}
	}
	return nil
}

// inline notes how many bytes the object of e has behind its header, and looks whether it should.
func (c *checker) inline(e *remotelog.Entry, n int64) error {
	id := remotelog.ObjectID{Entry: e.Number}
	c.sizes[id] = n
	err := e.CheckInline(n)
	if err == nil || c.lost[id] {
		return nil
	}
	c.lost[id] = true
	return c.bad(c.l.inHeader(e, err))
}

// bundle checks a bundle that was made for e. It is a second copy, but the entry says that it is there.
func (c *checker) bundle(ctx context.Context, e *remotelog.Entry, u *remotelog.Bundle) error {
	all := remotelog.Place{Object: u.Pack, Length: u.Size()}
	if _, ok := c.sizes[u.Pack]; !ok {
		// It may have been pruned meanwhile, with the entries that it is of.
		var err error
		if c.pruned, err = c.l.Pruned(ctx); err != nil {
			return c.bad(err)
		}
		if !c.anyKept(u.First, u.End()) {
			return nil
		}
	}
	there, err := c.there(e, all)
	if err != nil || !there || !c.chosen(u.Sum) {
		return err
	}
	s, key := c.l.object(u.Pack)
	b, _, err := getPart(ctx, s, key, 0, all.Length)
	if err == nil && manifest.Sum(b) != u.Sum {
		err = corrupt("it has the fingerprint %v, not %v", manifest.Sum(b), u.Sum)
	}
	if err == nil {
		return nil
	}
	return c.bad(inEntry(e, c.l.inFrame(all, fmt.Errorf("bundle: %w", err))))
}

// anyKept says whether any entry from first on and before end is a recovery point.
func (c *checker) anyKept(first, end uint64) bool {
	at, _ := slices.BinarySearchFunc(c.entries, first, func(e entrySize, n uint64) int { return cmp.Compare(e.number, n) })
	for _, e := range c.entries[at:] {
		if e.number >= end {
			break
		}
		if !c.pruned.Has(e.number) {
			return true
		}
	}
	return false
}

// chosen says whether data that have this fingerprint are read.
func (c *checker) chosen(f manifest.Fingerprint) bool {
	return (f.Lo%100+uint64(c.opts.Shift))%100 < uint64(max(c.opts.Percent, 0))
}

func (c *checker) block(ctx context.Context, e *remotelog.Entry, b int) error {
	for _, p := range []remotelog.Place{e.Blocks[b].Stored, e.Blocks[b].Patch} {
		if p.IsZero() {
			continue
		}
		if there, err := c.there(e, p); !there || err != nil {
			return err
		}
	}
	chunks, err := c.l.Block(ctx, e, b)
	if err != nil {
		return c.bad(err)
	}
	for place := range chunks {
		if err := c.chunk(ctx, e, b*manifest.BlockChunks+place, &chunks[place]); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) chunk(ctx context.Context, e *remotelog.Entry, i int, chunk *remotelog.Chunk) error {
	version := versionOf(i, chunk)
	if len(chunk.Layers) == 0 || c.seen[version] {
		return nil
	}
	c.seen[version] = true
	c.stats.Versions++
	all := true
	for _, layer := range chunk.Layers {
		there, err := c.there(e, layer.Frame)
		if err != nil {
			return err
		}
		all = all && there
	}
	if !all || !c.chosen(version) {
		return nil
	}
	return c.g.add(ctx, e, i, chunk)
}

// versionOf is the fingerprint of a chunk and of where it is.
func versionOf(i int, c *remotelog.Chunk) manifest.Fingerprint {
	b := binary.BigEndian.AppendUint64(nil, uint64(i))
	b = manifest.AppendList(b, []manifest.Fingerprint{c.Sum})
	for _, l := range c.Layers {
		f := l.Frame
		for _, v := range []uint64{f.Object.Entry, uint64(f.Object.Part), f.Object.Nonce, uint64(f.Offset), uint64(f.Length), uint64(l.Pages)} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	return manifest.Sum(b)
}

// there says whether a frame is within an object that was listed, and reports it if not.
func (c *checker) there(e *remotelog.Entry, p remotelog.Place) (bool, error) {
	c.used[p.Object] = true
	size, ok := c.sizes[p.Object]
	if ok && p.End() <= size {
		if c.opts.Percent > 0 {
			if c.needed[p.Object] == nil {
				c.needed[p.Object] = &spans{}
			}
			c.needed[p.Object].add(p.Offset, p.End())
		}
		return true, nil
	}
	if c.lost[p.Object] || p.Object.Part == 0 && c.gone.Has(p.Object.Entry) {
		return false, nil
	}
	c.lost[p.Object] = true
	err := endsBefore
	if !ok {
		err = store.ErrNotExist
	}
	return false, c.bad(inEntry(e, c.l.inFrame(p, err)))
}

// latest checks the copy of the header of a recent entry.
func (c *checker) latest(ctx context.Context) error {
	key := remotelog.LatestKey(c.l.name)
	b, info, err := store.ReadAll(ctx, c.l.entries, key, remotelog.MaxHeader)
	switch {
	case errors.Is(err, store.ErrNotExist) && len(c.entries) > 0 && !c.opts.Incomplete:
		return c.bad(&Fault{Object: key, Err: fmt.Errorf("the copy of the header of a recent entry, %s, is gone, so that readers have to list: %w", key, err)})
	case errors.Is(err, store.ErrNotExist):
		return nil
	case errors.Is(err, store.ErrTooLarge):
		return c.bad(&Fault{Object: key, Err: corrupt("%w", err)})
	case err != nil:
		return err
	}
	e, length, _, err := remotelog.DecodeEntry(b)
	copied, err := c.l.head(e, b, length, info, 0, err)
	if err != nil {
		return c.bad(err)
	}
	if err := remotelog.CheckTail(b, copied.HeaderLen); err != nil {
		return c.bad(&Fault{Object: key, Err: fmt.Errorf("%s: %w", key, err)})
	}
	if copied.Entry.Number <= c.pruned.Last() && !c.opts.Incomplete {
		return c.bad(&Fault{Object: key, Err: corrupt("%s is that of entry %d, behind which others were pruned: readers that rely on it do not find the newest", key, copied.Entry.Number)})
	}
	h, err := c.l.Entry(ctx, copied.Entry.Number)
	switch number := copied.Entry.Number; {
	case errors.Is(err, store.ErrNotExist) && (len(c.entries) == 0 || number > c.entries[len(c.entries)-1].number):
		return c.bad(&Fault{Object: remotelog.EntryKey(c.l.name, number), Err: fmt.Errorf("%w, and %s is a copy of its header", err, key)})
	case errors.Is(err, store.ErrNotExist):
		return nil // pruned
	case isFault(err):
		return nil // told already
	case err != nil:
		return err
	case !bytes.Equal(h.Encoded, copied.Encoded):
		return c.bad(&Fault{Object: key, Err: corrupt("%s is not a copy of the header of entry %d", key, h.Entry.Number)})
	}
	return nil
}
