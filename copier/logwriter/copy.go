package logwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// ErrNotContinued reports that the log which a copy found is another one than that of the source, or newer, or that the source was
// pruned right behind it.
var ErrNotContinued = errors.New("logwriter: the log that is there can't be continued")

// Stores are where a replica has its packs and its entries; they may be the same.
type Stores struct{ Packs, Entries store.Store }

// CopyOptions configures [Copy].
type CopyOptions struct {
	// Jobs is how many objects are copied, and in memory, at a time; 8.
	Jobs int
	// Progress is called as objects are copied, with the bytes of these and of all. It may be nil.
	Progress func(done, total int64)
}

// A CopyReport says what [Copy] did.
type CopyReport struct {
	Head           *logrep.Head // the newest entry now
	Entries, Packs int          // that were copied
	Points         int          // of these entries, those that are recovery points
	Bytes          int64        // that these have
}

// Copy copies the log of a replica object by object, with all its entries, and so who owns it: a writer that is given the other stores goes
// on there. Each frame is verified on the way; at the end the copy is looked through for objects that are missing or too short. Bundles that
// are damaged or missing are made anew. What waits in the source to be removed does so in the copy, where its grace begins anew. What was copied before, by a call that was interrupted or from an older state, is continued; any other
// log there is left alone, with ErrNotContinued. Nobody may append to the copy meanwhile, nor read it before it was complete once; the source
// may be appended to and pruned. After an error what is there is a whole log of older entries, or none; if the error says that the source is
// damaged, newer entries lack what the source lacks, and once that is mended the next call goes on.
func Copy(ctx context.Context, from, to Stores, name string, o CopyOptions) (CopyReport, error) {
	if o.Jobs <= 0 {
		o.Jobs = 8
	}
	c := &copying{
		from: from, to: to, name: name, o: o,
		source: logrep.New(from.Packs, from.Entries, name), copied: logrep.New(to.Packs, to.Entries, name),
	}
	if err := c.run(ctx); err != nil {
		return c.report, fmt.Errorf("copy the log of %s: %w", name, err)
	}
	return c.report, nil
}

type copying struct {
	from, to       Stores
	name           string
	o              CopyOptions
	source, copied *logrep.Log

	there   uint64           // the newest entry of the copy, before
	whole   uint64           // the entry with which it was complete, before
	gaps    bool             // nobody reads the copy yet, so entries may be missing that were pruned
	newest  *remotelog.Entry // of the source
	entries []logrep.Item
	packs   []store.Info
	sums    packSums

	mu          sync.Mutex // guards report and what follows, and is held while reporting
	report      CopyReport
	done, total int64
}

func (c *copying) run(ctx context.Context) error {
	head, err := c.source.Head(ctx, nil)
	if err != nil {
		return err
	}
	switch _, err := c.source.Entry(ctx, head.Entry.Number); { // only its copy was read, perhaps
	case store.IsNotExist(err):
		return fmt.Errorf("the source is damaged: its newest entry, %s, is gone", remotelog.EntryKey(c.name, head.Entry.Number))
	case err != nil:
		return fmt.Errorf("the source is damaged: %w", err)
	}
	c.newest = head.Entry
	if err := c.compare(ctx, head); err != nil {
		return err
	}
	// The packs are listed after the newest entry was seen: all that it needs were there before it.
	if err := c.list(ctx, head.Entry.Number); err != nil {
		return err
	}
	if err := c.copyPacks(ctx); err != nil {
		return err
	}
	if err := c.copyEntries(ctx); err != nil {
		return err
	}
	if err := c.copyLists(ctx); err != nil {
		return err
	}
	if err := c.check(ctx); err != nil {
		return err
	}
	c.report.Head = head
	if _, err := c.to.Entries.Put(ctx, remotelog.LatestKey(c.name), head.Encoded, store.Condition{}); err != nil {
		return fmt.Errorf("put the copy of the newest header: %w", err)
	}
	return nil
}

// compare finds the newest entry that was copied before, and fails if it is none of the source's.
func (c *copying) compare(ctx context.Context, head *logrep.Head) error {
	latest := latestCopy{s: c.to.Entries, name: c.name}
	complete, info, err := latest.read(ctx)
	if err != nil {
		return fmt.Errorf("look at the copy: %w", err)
	}
	c.gaps = info.ETag == ""
	if complete != nil {
		c.whole = complete.Entry.Number
	}
	there, err := c.copied.Head(ctx, nil)
	switch {
	case store.IsNotExist(err):
		return nil
	case err != nil:
		return fmt.Errorf("look at the copy: %w", err)
	}
	c.there = there.Entry.Number
	if c.there > head.Entry.Number {
		return fmt.Errorf("%w: its newest entry is %d, that of the source %d", ErrNotContinued, c.there, head.Entry.Number)
	}
	same := head
	if c.there < head.Entry.Number {
		same, err = c.source.Entry(ctx, c.there)
		if store.IsNotExist(err) {
			return fmt.Errorf("%w: its newest entry, %d, was pruned in the source", ErrNotContinued, c.there)
		}
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(same.Encoded, there.Encoded) {
		return fmt.Errorf("%w: its entry %d is not that of the source", ErrNotContinued, c.there)
	}
	return nil
}

// list lists what is to be copied, up to an entry.
func (c *copying) list(ctx context.Context, newest uint64) error {
	had := map[uint64]bool{}
	if c.there > 0 {
		for item, err := range c.copied.List(ctx, c.whole) {
			if err != nil {
				return fmt.Errorf("list entries of the copy: %w", err)
			}
			had[item.Number] = true
		}
	}
	next := c.there + 1
	for item, err := range c.source.List(ctx, c.whole) {
		if err != nil {
			return fmt.Errorf("list entries: %w", err)
		}
		if item.Number > newest {
			break
		}
		if had[item.Number] {
			continue
		}
		if item.Number > c.there {
			if !c.gaps && item.Number != next {
				// Who reads the copy counts on, and would take the gap for the end.
				return fmt.Errorf("%w: entry %d was pruned in the source since", ErrNotContinued, next)
			}
			next = item.Number + 1
		}
		c.entries = append(c.entries, item)
		c.total += item.Info.Size
	}
	sizes := map[string]int64{}
	for info, err := range c.to.Packs.List(ctx, remotelog.PackPrefix(c.name)) {
		if err != nil {
			return fmt.Errorf("list packs of the copy: %w", err)
		}
		sizes[info.Key] = info.Size
	}
	for info, err := range c.from.Packs.List(ctx, remotelog.PackPrefix(c.name)) {
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
		id, ok := remotelog.ParsePackKey(c.name, info.Key)
		if !ok || id.Entry <= c.whole || id.Entry > newest {
			continue
		}
		if sizes[info.Key] == info.Size {
			c.sums.add(id, packSum{size: info.Size})
		} else {
			c.packs = append(c.packs, info)
			c.total += info.Size
		}
	}
	return nil
}

// copyPacks copies packs, all of them before any entry.
func (c *copying) copyPacks(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.o.Jobs)
	for _, info := range c.packs {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			body, _, err := store.ReadAll(ctx, c.from.Packs, info.Key, remotelog.MaxOffset)
			if store.IsNotExist(err) {
				return nil // pruned meanwhile
			}
			id, _ := remotelog.ParsePackKey(c.name, info.Key)
			var frames []byte
			if err == nil {
				frames, err = c.verifyPack(id, body)
			}
			switch {
			case err == nil:
				c.sums.add(id, packSum{int64(len(body)), manifest.Sum(frames)})
				return c.putPack(ctx, info.Key, body)
			case isUnreadable(err) && c.isBundle(ctx, id):
				return nil // it is made anew
			}
			return fmt.Errorf("pack %s: %w", info.Key, err)
		})
	}
	return g.Wait()
}

func (c *copying) putPack(ctx context.Context, key string, body []byte) error {
	if _, err := c.to.Packs.Put(ctx, key, body, store.Condition{}); err != nil {
		return fmt.Errorf("pack %s: %w", key, err)
	}
	c.count(0, 1, len(body))
	return nil
}

// verifyPack checks a pack, and returns it without its seal.
func (c *copying) verifyPack(id remotelog.ObjectID, body []byte) ([]byte, error) {
	frames := body[:max(0, len(body)-remotelog.SealSize)]
	if err := remotelog.CheckSeal(body[len(frames):], c.name, id, int64(len(body))); err != nil {
		if c.newest.HasSeal(id) {
			return nil, fmt.Errorf("it was cut, or is another one: %w", err)
		}
		frames = body // an older program made it
	}
	return frames, verifyFrames(frames)
}

// verifyFrames checks frames that follow each other, without a seal.
func verifyFrames(b []byte) error {
	for len(b) > 0 {
		kind, n, err := remotelog.FrameLen(b)
		switch {
		case err != nil:
		case n > len(b):
			err = fmt.Errorf("%w: it ends within a frame", remotelog.ErrCorrupt)
		case kind == remotelog.KindSeal:
			err = fmt.Errorf("%w: a seal where none is to be", remotelog.ErrCorrupt)
		case kind > remotelog.KindSeal: // it is of a program to come
			err = remotelog.CheckFrame(b[:n])
		default:
			_, _, err = remotelog.OpenFrame(b[:n])
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// copyEntries reads entries ahead, and puts them one after the other: each names frames in those before it.
func (c *copying) copyEntries(ctx context.Context) error {
	type result struct {
		body []byte
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ahead := make(chan chan result, c.o.Jobs)
	go func() {
		defer close(ahead)
		for _, item := range c.entries {
			ch := make(chan result, 1)
			select {
			case ahead <- ch:
			case <-ctx.Done():
				return
			}
			go func() {
				body, _, err := store.ReadAll(ctx, c.from.Entries, remotelog.EntryKey(c.name, item.Number), remotelog.MaxOffset)
				ch <- result{body, err}
			}()
		}
	}()
	var last *remotelog.Entry
	var sum manifest.Fingerprint // of the header of last
	for i, item := range c.entries {
		ch, ok := <-ahead
		if !ok {
			return context.Cause(ctx)
		}
		res := <-ch
		if store.IsNotExist(res.err) && i < len(c.entries)-1 && c.gaps {
			continue // pruned meanwhile
		}
		err := res.err
		var e *remotelog.Entry
		var n int
		if err == nil {
			e, n, _, err = remotelog.DecodeEntry(res.body)
		}
		if errors.Is(err, remotelog.ErrShort) {
			err = fmt.Errorf("%w: it ends within the header", remotelog.ErrCorrupt)
		}
		if err == nil {
			err = e.Check(c.name, item.Number)
		}
		if err == nil && last != nil && last.Number == e.Number-1 && sum != e.Previous {
			err = fmt.Errorf("%w: the entry before it is another one", remotelog.ErrCorrupt)
		}
		if err == nil {
			err = e.CheckInline(int64(len(res.body) - n))
		}
		if err == nil {
			err = verifyFrames(res.body[n:])
		}
		if err == nil {
			err = c.copyBundles(ctx, e)
		}
		if err == nil {
			err = c.putEntry(ctx, e.Number, res.body)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", item.Number, err)
		}
		last, sum = e, manifest.Sum(res.body[:n])
		c.count(1, 0, len(res.body))
	}
	return nil
}

// putEntry puts an entry of which there is none.
func (c *copying) putEntry(ctx context.Context, number uint64, body []byte) error {
	key := remotelog.EntryKey(c.name, number)
	_, err := c.to.Entries.Put(ctx, key, body, store.Condition{IfAbsent: true})
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		_, err = c.to.Entries.Put(ctx, key, body, store.Condition{})
		return err
	case err == nil, !errors.Is(err, store.ErrPrecondition) && !errors.Is(err, store.ErrUnknownOutcome):
		return err
	}
	// It may be ours, of a put whose reply was lost.
	there, _, rerr := store.ReadAll(ctx, c.to.Entries, key, remotelog.MaxOffset)
	switch {
	case rerr != nil:
		return errors.Join(err, rerr)
	case !bytes.Equal(there, body):
		return fmt.Errorf("%w: somebody else appends to it", ErrNotContinued)
	}
	return nil
}

// check looks whether the copy has all that its entries need, as far as it was not complete before.
func (c *copying) check(ctx context.Context) error {
	faults := 0
	var first *logrep.Fault
	_, err := c.copied.Check(ctx, &logrep.CheckOptions{After: c.whole, Incomplete: true, Jobs: c.o.Jobs}, func(f *logrep.Fault) {
		if faults++; first == nil {
			first = f
		}
	})
	switch {
	case err != nil:
		return err
	case faults > 1:
		return fmt.Errorf("the source is damaged: %w, and %d more", first, faults-1)
	case faults > 0:
		return fmt.Errorf("the source is damaged: %w", first)
	}
	return nil
}

// count counts what was copied.
func (c *copying) count(entries, packs, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Entries += entries
	c.report.Packs += packs
	c.report.Bytes += int64(n)
	if c.done += int64(n); c.o.Progress != nil {
		c.o.Progress(c.done, c.total)
	}
}
