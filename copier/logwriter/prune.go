package logwriter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// DefaultGrace is how long Prune leaves garbage alone if nothing else is said: less than a day, so that of daily prunes each removes what
// the one before has found.
const DefaultGrace = 22 * time.Hour

// The clocks of the store and of writers may drift apart, by a tenth of the time that passes, but not by more than maxDrift. If it seems to be more, objects were
// copied, and only the entries themselves say when they were appended; or a clock was wrong, and only the objects do.
const (
	minDrift = 2 * time.Second
	maxDrift = 15 * time.Minute
)

// PruneOptions configures [Prune].
type PruneOptions struct {
	// DryRun only finds out what would be done.
	DryRun bool
	// Grace: an object is removed only when a Prune has found and written down, so long before, that no recovery point needs it. So
	// whoever reads a state then, be it one that is pruned, has that long to end. By the clock of the store.
	// DefaultGrace if zero; it is never less than two minutes.
	Grace time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Jobs is how many requests are under way at a time; 8.
	Jobs int
	// Logger gets what nobody has to know at once. Nil discards it.
	Logger *slog.Logger
}

// A PruneReport says what Prune did, or would do.
type PruneReport struct {
	Done    bool // what was pruned is written down; it may be that not everything was removed which could be
	Newest  uint64
	Kept    []Kept   // by the policy, the newest first
	Pruned  []uint64 // entries that are no recovery points any more, from now on
	Carried int      // of all that were ever pruned, how many objects are still needed, for frames in them

	RemovedEntries, RemovedPacks int
	RemovedBytes                 int64
	LeftEntries, LeftPacks       int // objects that are still there
	LeftBytes                    int64

	Waiting      int // objects of those that are left which nothing needs: they are removed by a Prune after the grace
	WaitingBytes int64
	Next         time.Time // when the grace of the first of these ends
}

// Prune removes what a policy does not keep: recovery points at once, and those objects that nothing needs which is kept when the grace has
// passed since a Prune found that (so it takes two of them). Objects of entries that others need stay, but are no recovery points any more. It may
// run beside a writer and beside readers; a second Prune at the same time fails with store.ErrPrecondition, if the store knows conditions. After an error
// all recovery points that it keeps are whole, and it is safe to try again; if the report is Done, only some objects were not removed, and it says how many were.
func Prune(ctx context.Context, packs, entries store.Store, name string, policy Policy, o PruneOptions) (PruneReport, error) {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	o.Grace = max(o.Grace, 2*logrep.Contiguous)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Jobs <= 0 {
		o.Jobs = 8
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &pruning{
		packs: packs, entries: entries, name: name, policy: policy, o: o,
		log: logrep.New(packs, entries, name), named: make(map[remotelog.ObjectID]bool),
		waste: garbage{now: o.Now(), cutoff: o.Now().Add(-o.Grace), found: make(map[remotelog.ObjectID]time.Time)},
	}
	if err := p.run(ctx); err != nil {
		return p.report, fmt.Errorf("prune %s: %w", name, err)
	}
	return p.report, nil
}

type pruning struct {
	packs, entries store.Store
	name           string
	policy         Policy
	o              PruneOptions
	log            *logrep.Log

	newest *logrep.Head
	items  []logrep.Item    // all entries
	list   remotelog.Pruned // what was pruned before
	info   store.Info       // of the object that says so; without a Key if there is none
	pruned remotelog.Pruned // what is from now on
	named  map[remotelog.ObjectID]bool
	blocks []remotelog.Block // of the entry that was looked at last
	waste  garbage
	report PruneReport
}

func (p *pruning) run(ctx context.Context) error {
	if err := p.look(ctx); err != nil {
		return err
	}
	points, err := p.points(ctx)
	if err != nil {
		return err
	}
	p.decide(points)
	if err := p.mark(ctx); err != nil {
		return err
	}
	p.sweepEntries()
	if err := p.sweepPacks(ctx); err != nil {
		return err
	}
	if p.o.DryRun {
		p.count(nil)
		for i := range p.waste.ripe {
			p.removed(&p.waste.ripe[i])
		}
		return nil
	}
	if err := p.again(ctx); err != nil {
		return err
	}
	if err := p.writeLists(ctx); err != nil {
		return err
	}
	p.report.Done = true
	if err := p.ripen(ctx); err != nil {
		p.count(p.waste.ripe)
		return err
	}
	left, err := p.remove(ctx)
	p.count(left)
	return err
}

// look finds out what there is. The lists come first: of what another prune lists later, this one knows nothing, and then it can't replace them.
func (p *pruning) look(ctx context.Context) (err error) {
	if err := p.lookPruned(ctx); err != nil {
		return err
	}
	if err := p.waste.look(ctx, p); err != nil {
		return err
	}
	if p.newest, err = p.log.Head(ctx, nil); err != nil {
		return err
	}
	p.report.Newest = p.newest.Entry.Number
	for item, err := range p.log.List(ctx, 0) {
		if err != nil {
			return fmt.Errorf("list entries: %w", err)
		}
		if item.Number > p.newest.Entry.Number {
			break // appended meanwhile
		}
		p.items = append(p.items, item)
	}
	if n := len(p.items); n == 0 || p.items[n-1].Number != p.newest.Entry.Number {
		return fmt.Errorf("entry %d is not in the list of %s", p.newest.Entry.Number, p.entries)
	}
	return nil
}

// lookPruned reads the list of pruned entries. A damaged one is begun anew.
func (p *pruning) lookPruned(ctx context.Context) (err error) {
	p.list, p.info, err = readList(ctx, p.entries, remotelog.PrunedKey(p.name), remotelog.MaxPruned, func(b []byte) (remotelog.Pruned, error) {
		return remotelog.DecodePruned(p.name, b)
	})
	if errors.Is(err, remotelog.ErrCorrupt) {
		p.o.Logger.Warn("the list of pruned entries is damaged, and begins anew: states that were pruned are recovery points again, though they may not be whole",
			"name", p.name, "error", err)
		p.list = remotelog.Pruned{Unlisted: remotelog.MaxNumber}
		return nil
	}
	return err
}

// readList reads a list that is beside the log. If there is none, it returns the zero value, and an Info without a Key.
func readList[T any](ctx context.Context, s store.Store, key string, limit int64, decode func([]byte) (T, error)) (list T, info store.Info, err error) {
	b, info, err := store.ReadAll(ctx, s, key, limit)
	switch {
	case store.IsNotExist(err):
		return list, store.Info{}, nil
	case errors.Is(err, store.ErrTooLarge):
		return list, store.Info{Key: key}, fmt.Errorf("%s: %w: %w", key, remotelog.ErrCorrupt, err)
	case err != nil:
		return list, info, err
	}
	info.Key = key
	if list, err = decode(b); err != nil {
		return list, info, fmt.Errorf("%s: %w", key, err)
	}
	return list, info, nil
}

// points returns the recovery points that there are, with the times of their objects; or, if they were copied, with those that the entries say; or with both, if
// it is not sure which are right.
func (p *pruning) points(ctx context.Context) (all [][]Point, err error) {
	var points []Point
	for _, item := range p.items {
		if !p.list.Has(item.Number) {
			points = append(points, Point{item.Number, item.Info.ModTime})
		}
	}
	if len(points) == 0 || points[len(points)-1].Entry != p.newest.Entry.Number {
		return nil, fmt.Errorf("%w: %s lists the newest entry, %d: is it left of a log that was removed? Then remove it, and %s, too",
			remotelog.ErrCorrupt, remotelog.PrunedKey(p.name), p.newest.Entry.Number, remotelog.GarbageKey(p.name))
	}
	var few []Point
	for i := range timeSamples {
		few = append(few, points[i*(len(points)-1)/(timeSamples-1)])
	}
	appended, err := p.appended(ctx, few)
	if err != nil {
		return nil, err
	}
	differ, copied := compareTimes(few, appended)
	if !differ {
		return [][]Point{points}, nil
	}
	p.o.Logger.Warn("the objects are not as old as the entries, so all of these are read", "name", p.name, "copied", copied)
	if appended, err = p.appended(ctx, points); copied {
		return [][]Point{appended}, err
	}
	return [][]Point{points, appended}, err
}

// timeSamples is how many entries are read to see whether the objects are as old.
const timeSamples = 16

// appended returns points with the times that the entries say.
func (p *pruning) appended(ctx context.Context, points []Point) ([]Point, error) {
	points = slices.Clone(points)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.o.Jobs)
	for i := range points {
		g.Go(func() error {
			h, err := p.log.Entry(ctx, points[i].Entry)
			switch put := points[i].Time; {
			case store.IsNotExist(err), errors.Is(err, remotelog.ErrCorrupt): // whoever keeps it will see
				return nil
			case err != nil:
				return err
			case put.IsZero(), h.Entry.Appended.Before(put.Add(maxDrift)):
				points[i].Time = h.Entry.Appended
			}
			// Otherwise its clock was wrong: nothing is put before it is appended.
			return nil
		})
	}
	return points, g.Wait()
}

// compareTimes says whether another time passes between points by when they were put than by when they were appended, and whether that is since
// they were copied, most of them: then less time does.
func compareTimes(put, appended []Point) (differ, copied bool) {
	pairs, fewer := 0, 0
	for i := range put[1:] {
		if put[i].Entry != put[i+1].Entry {
			pairs++
		}
		x, y := put[i+1].Time.Sub(put[i].Time), appended[i+1].Time.Sub(appended[i].Time)
		if (x - y).Abs() > min(max(x.Abs()/10, y.Abs()/10, minDrift), maxDrift) {
			differ = true
			if x < y {
				fewer++
			}
		}
	}
	return differ, fewer > pairs/2
}

// decide finds out which entries are recovery points no longer: those that the policy keeps by none of their times.
func (p *pruning) decide(all [][]Point) {
	var others []Point
	p.report.Kept, others = p.policy.Apply(all[0])
	for _, points := range all[1:] {
		isKept := make(map[uint64]bool, len(points))
		for _, k := range p.report.Kept {
			isKept[k.Entry] = true
		}
		kept, _ := p.policy.Apply(points)
		for _, k := range kept {
			if !isKept[k.Entry] {
				p.report.Kept = append(p.report.Kept, k)
				isKept[k.Entry] = true
			}
		}
		others = slices.DeleteFunc(others, func(o Point) bool { return isKept[o.Entry] })
	}
	slices.SortFunc(p.report.Kept, func(x, y Kept) int { return cmp.Compare(y.Entry, x.Entry) })
	p.pruned = p.list.Clone()
	for _, point := range slices.Backward(others) {
		p.prune(point.Entry)
	}
	p.lost(&p.pruned)
	p.pruned.Unlisted = min(p.pruned.Unlisted, p.newest.Entry.Number) // what goes from now on is listed
}

func (p *pruning) prune(entry uint64) {
	p.pruned.Add(remotelog.Run{First: entry, Last: entry})
	p.report.Pruned = append(p.report.Pruned, entry)
}

// lost adds to what is pruned those entries that are gone already, if so are those on both sides: they would not be kept, either. Others
// that are gone, and not for being pruned, are left to those who check the log.
func (p *pruning) lost(pruned *remotelog.Pruned) {
	next, before := uint64(1), true
	for _, item := range p.items {
		now := pruned.Has(item.Number)
		if item.Number > next {
			for _, r := range pruned.Missing(next, item.Number-1) {
				p.o.Logger.Warn("entries are gone, and not for being pruned", "name", p.name, "from", r.First, "to", r.Last)
				if before && now {
					pruned.Add(r)
				}
			}
		}
		next, before = item.Number+1, now
	}
}

// mark notes what the entries need that are kept. What one names is named by the one before it or was made for it, so those
// that come after the newest one name nothing else that is older than they are.
func (p *pruning) mark(ctx context.Context) error {
	var broken []uint64
	for _, k := range slices.Backward(p.report.Kept) {
		h, err := p.log.Entry(ctx, k.Entry)
		if err == nil {
			err = p.markEntry(ctx, h.Entry)
		}
		if k.Entry < p.pruned.Unlisted && (store.IsNotExist(err) || errors.Is(err, remotelog.ErrCorrupt)) {
			// It was pruned once, and nothing says so any more.
			p.o.Logger.Warn("a state is not whole, and is pruned: the list of pruned entries was lost", "name", p.name, "entry", k.Entry, "error", err)
			broken = append(broken, k.Entry)
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, n := range broken {
		p.prune(n)
	}
	p.report.Kept = slices.DeleteFunc(p.report.Kept, func(k Kept) bool { return slices.Contains(broken, k.Entry) })
	slices.Sort(p.report.Pruned)
	return nil
}

func (p *pruning) markEntry(ctx context.Context, e *remotelog.Entry) error {
	p.named[remotelog.ObjectID{Entry: e.Number}] = true
	for _, u := range e.Own() {
		if p.keeps(u.First, u.End()) {
			p.named[u.Pack] = true
		}
	}
	for b := range e.Blocks {
		if b < len(p.blocks) && reflect.DeepEqual(e.Blocks[b], p.blocks[b]) {
			continue
		}
		p.named[e.Blocks[b].Stored.Object] = true // or of no object
		p.named[e.Blocks[b].Patch.Object] = true
		chunks, err := p.log.Block(ctx, e, b)
		if err != nil {
			return err
		}
		for i := range chunks {
			for _, l := range chunks[i].Layers {
				p.named[l.Frame.Object] = true
			}
		}
	}
	p.blocks = e.Blocks
	return nil
}

// keeps says whether any entry from first on and before end stays a recovery point.
func (p *pruning) keeps(first, end uint64) bool {
	return end > p.newest.Entry.Number || slices.ContainsFunc(p.report.Kept, func(k Kept) bool { return k.Entry >= first && k.Entry < end })
}

// sweepEntries finds the entries that are garbage.
func (p *pruning) sweepEntries() {
	for _, item := range p.items {
		id := remotelog.ObjectID{Entry: item.Number}
		if p.pruned.Has(item.Number) {
			if !p.named[id] {
				p.waste.add(item.Info, id)
				continue
			}
			p.report.Carried++
		}
		p.report.LeftEntries++
		p.report.LeftBytes += item.Info.Size
	}
}

// sweepPacks finds the packs that are garbage. Those made for an entry that is not there yet are not.
func (p *pruning) sweepPacks(ctx context.Context) error {
	for info, err := range p.packs.List(ctx, remotelog.PackPrefix(p.name)) {
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
		id, ok := remotelog.ParsePackKey(p.name, info.Key)
		if !ok {
			continue
		}
		if !p.named[id] && id.Entry <= p.newest.Entry.Number {
			p.waste.add(info, id)
			continue
		}
		p.report.LeftPacks++
		p.report.LeftBytes += info.Size
	}
	return nil
}

// again looks at the newest entry once more: if anything needs what is to be removed, it is left alone.
func (p *pruning) again(ctx context.Context) error {
	h, err := p.log.Head(ctx, p.newest)
	if err != nil {
		return err
	}
	before := maps.Clone(p.named)
	if err := p.markEntry(ctx, h.Entry); err != nil {
		return err
	}
	for _, d := range p.waste.ripe {
		if p.named[d.id] && !before[d.id] {
			return fmt.Errorf("entry %d names %s, which no entry before it does", h.Entry.Number, d.Key)
		}
	}
	// A reader that begins at an old entry goes on until one is missing, so it must not begin before the gaps.
	latest := latestCopy{s: p.entries, name: p.name}
	return latest.put(ctx, h, false)
}

// writeLists writes down which entries are no recovery points any more, and which objects are garbage, before anything is removed. The first has
// also those that are removed themselves: they don't go all at once, and who misses one sees that it was not lost. The second
// comes after it, so that it has nothing but what nobody begins to read any more; but an empty one comes before, for the first says that it is there.
func (p *pruning) writeLists(ctx context.Context) error {
	if p.pruned.Last() == 0 && len(p.waste.waiting) == 0 && p.info.Key == "" && p.waste.info.Key == "" {
		return nil
	}
	p.pruned.Garbage = true
	if p.waste.info.Key == "" {
		if err := p.writeGarbage(ctx, remotelog.Garbage{}); err != nil {
			return err
		}
	}
	if !reflect.DeepEqual(p.pruned, p.list) {
		if _, err := p.put(ctx, remotelog.PrunedKey(p.name), remotelog.EncodePruned(p.name, p.pruned), p.info); err != nil {
			return fmt.Errorf("write the list of pruned entries: %w", err)
		}
	}
	if waste, changed := p.waste.next(&p.pruned); changed {
		if err := p.writeGarbage(ctx, waste); err != nil {
			return err
		}
		p.waste.written(p.o.Now())
	}
	return nil
}

// ripen looks at the clock of the store, which the list of garbage has just been put into, before anything is removed.
func (p *pruning) ripen(ctx context.Context) error {
	if len(p.waste.ripe) == 0 {
		return nil
	}
	info, err := p.entries.Head(ctx, remotelog.GarbageKey(p.name))
	if err != nil {
		return fmt.Errorf("look when the list of garbage was written: %w", err)
	}
	if now := info.ModTime; !now.IsZero() {
		p.waste.ripen(now.Add(-p.o.Grace))
	}
	return nil
}

func (p *pruning) writeGarbage(ctx context.Context, g remotelog.Garbage) error {
	info, err := p.put(ctx, remotelog.GarbageKey(p.name), remotelog.EncodeGarbage(p.name, g), p.waste.info)
	if err != nil {
		return fmt.Errorf("write the list of garbage: %w", err)
	}
	p.waste.info = info
	return nil
}

// put replaces a list if it is still what was read.
func (p *pruning) put(ctx context.Context, key string, body []byte, old store.Info) (store.Info, error) {
	info, err := putList(ctx, p.entries, key, body, old)
	if errors.Is(err, store.ErrPrecondition) {
		err = fmt.Errorf("%w: does another prune run, too? Begin anew when it has ended", err)
	}
	return info, err
}

// putList replaces a list if it is still what readList returned with old, where the store can tell.
func putList(ctx context.Context, s store.Store, key string, body []byte, old store.Info) (store.Info, error) {
	info, err := s.Put(ctx, key, body, store.Condition{IfAbsent: old.Key == "", IfMatch: old.ETag})
	if errors.Is(err, store.ErrPrecondition) && old.ETag != "" {
		// Some servers refuse whatever they are given.
		if now, herr := s.Head(ctx, key); herr == nil && now.ETag == old.ETag {
			info, err = s.Put(ctx, key, body, store.Condition{})
		}
	}
	if errors.Is(err, errors.ErrUnsupported) {
		info, err = s.Put(ctx, key, body, store.Condition{})
	}
	info.Key = key
	return info, err
}

// removed counts what was removed, or would be.
func (p *pruning) removed(d *garbageObject) {
	if d.id.Part == 0 {
		p.report.RemovedEntries++
	} else {
		p.report.RemovedPacks++
	}
	p.report.RemovedBytes += d.Size
}

// count counts what stays, and what waits of that. left could be removed, but was not.
func (p *pruning) count(left []garbageObject) {
	for _, d := range slices.Concat(p.waste.waiting, left) {
		if d.id.Part == 0 {
			p.report.LeftEntries++
		} else {
			p.report.LeftPacks++
		}
		p.report.Waiting++
		p.report.LeftBytes += d.Size
		p.report.WaitingBytes += d.Size
		if end := d.found.Add(p.o.Grace); p.report.Next.IsZero() || end.Before(p.report.Next) {
			p.report.Next = end
		}
	}
}

// mostFailures is after how many failures to remove something nothing else is tried: then the store is to blame, not an object.
const mostFailures = 16

// remove removes the garbage whose grace has passed: entries, and when that is done, packs. What can't be removed, as for a lock, stays in the list, and is tried again
// the next time.
func (p *pruning) remove(ctx context.Context) (left []garbageObject, err error) {
	var mu sync.Mutex // guards the following, and the report
	var failed []error
	for _, entries := range []bool{true, false} {
		var g errgroup.Group
		g.SetLimit(p.o.Jobs)
		for _, d := range p.waste.ripe {
			mu.Lock()
			enough := len(failed) >= mostFailures
			mu.Unlock()
			switch {
			case (d.id.Part == 0) != entries:
				continue
			case enough || ctx.Err() != nil:
				mu.Lock()
				left = append(left, d)
				mu.Unlock()
				continue
			}
			g.Go(func() error {
				s := p.packs
				if entries {
					s = p.entries
				}
				err := s.Delete(ctx, d.Key)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					p.removed(&d)
					return nil
				}
				failed, left = append(failed, err), append(left, d)
				return nil
			})
		}
		_ = g.Wait() // errors are in failed
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case len(left) > 1:
		err = fmt.Errorf("%w, and %d more could not be", failed[0], len(left)-1)
	case len(left) > 0:
		err = failed[0]
	}
	if err != nil {
		err = fmt.Errorf("remove: %w", err)
	}
	return left, err
}
