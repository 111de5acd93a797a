package logwriter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/store"
)

// copyLists adds the entries that are no recovery points in the source to those that are none in the copy, and its garbage to that of the copy. The lists of the
// source are read last, for they have what was pruned meanwhile. The copy may be pruned at the same time.
func (c *copying) copyLists(ctx context.Context) error {
	m := merging{c: c}
	if err := m.look(ctx); err != nil {
		return err
	}
	if c.there == 0 { // the copy is begun
		if err := clearLists(ctx, c.to.Entries, c.name, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
	}
	for try := 0; ; try++ {
		err := m.merge(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrPrecondition) || try == latestTries {
			return err
		}
	}
	for _, item := range c.entries {
		if !m.all.Has(item.Number) {
			c.report.Points++
		}
	}
	return nil
}

// A merging adds the lists of the source to those of the copy.
type merging struct {
	c      *copying
	pruned remotelog.Pruned          // of the source
	listed bool                      // the source was pruned once, so the copy is to have a list of garbage
	waste  []remotelog.GarbageObject // of the source, as far as it is garbage in the copy, if it is there

	garbage                  // the list of the copy, as it was read
	damaged bool             // so that only a prune can make a new one
	all     remotelog.Pruned // what is pruned in the copy from now on
}

// look reads the lists of the source. Without a sound one of garbage, that of the copy gets nothing from it.
func (m *merging) look(ctx context.Context) (err error) {
	c := m.c
	if m.pruned, err = c.source.Pruned(ctx); err != nil {
		return fmt.Errorf("list of pruned entries: %w", err)
	}
	if m.listed = m.pruned.Garbage || m.pruned.Last() > 0; !m.pruned.Garbage {
		return nil
	}
	list, _, err := c.source.Garbage(ctx)
	if f := (*logrep.Fault)(nil); errors.As(err, &f) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list of garbage: %w", err)
	}
	if !m.pruned.Contains(list.Pruned) { // it was pruned meanwhile, or the list of pruned entries was lost
		if m.pruned, err = c.source.Pruned(ctx); err != nil {
			return fmt.Errorf("list of pruned entries: %w", err)
		}
		if !m.pruned.Contains(list.Pruned) {
			return nil
		}
	}
	// All recovery points of the copy are some of the source, too, but for the newest one, if that was pruned in the source since.
	needed := map[remotelog.ObjectID]bool{}
	if list.Pruned.Has(c.newest.Number) {
		p := pruning{log: c.copied, newest: &logrep.Head{Entry: c.newest}, named: needed}
		switch err := p.markEntry(ctx, c.newest); {
		case store.IsNotExist(err), isUnreadable(err):
			return nil // as whoever checks the copy sees
		case err != nil:
			return err
		}
		for _, u := range c.newest.Own() {
			needed[u.Pack] = true
		}
	}
	for _, b := range list.Batches {
		for _, o := range b.Objects {
			if o.Entry <= c.newest.Number && !needed[o.ObjectID] {
				m.waste = append(m.waste, o)
			}
		}
	}
	return nil
}

// merge writes the lists of the copy, in the order in which Prune does, if they change. It fails with store.ErrPrecondition if somebody else has written them meanwhile.
func (m *merging) merge(ctx context.Context) error {
	c := m.c
	if m.listed {
		if err := m.readGarbage(ctx); err != nil {
			return err
		}
	}
	key := remotelog.PrunedKey(c.name)
	old, info, err := readList(ctx, c.to.Entries, key, remotelog.MaxPruned, func(b []byte) (remotelog.Pruned, error) {
		return remotelog.DecodePruned(c.name, b)
	})
	if err != nil {
		return err
	}
	m.all = old.Clone()
	m.all.Merge(m.pruned.Before(c.newest.Number)) // others may have come since, and so the newest one have been pruned
	if m.listed {
		m.all.Garbage = true
		if err := m.begin(ctx, &old); err != nil {
			return err
		}
	}
	if !reflect.DeepEqual(m.all, old) {
		if _, err = putList(ctx, c.to.Entries, key, remotelog.EncodePruned(c.name, m.all), info); err != nil {
			return fmt.Errorf("put the list of pruned entries: %w", err)
		}
	}
	if !m.listed || m.damaged || !m.all.Contains(m.list.Pruned) {
		return nil // only a prune can tell what is garbage, and until then somebody has to see that a list was lost
	}
	next, changed, err := m.next(ctx)
	if err == nil && changed {
		err = m.writeGarbage(ctx, next)
	}
	return err
}

// begin sees to it that there is a list of garbage before one of pruned entries says so. old is that one as it is in the copy.
func (m *merging) begin(ctx context.Context, old *remotelog.Pruned) error {
	switch {
	case m.info.Key == "":
	case m.c.there == 0 && (m.damaged || len(m.list.Batches) > 0 || m.list.Pruned.Last() > 0): // it is of an older log
		m.list, m.damaged = remotelog.Garbage{}, false
	case m.damaged, m.goesWith(old), len(m.list.Batches) == 0, !m.all.Contains(m.list.Pruned):
		return nil
	default:
		// States were offered again, so the grace has to begin anew, though the list of the source makes up for the one that was lost. Nobody sees
		// that any more once it is put.
		for _, b := range m.list.Batches {
			m.waste = append(m.waste, b.Objects...)
		}
		m.list.Batches = nil
	}
	return m.writeGarbage(ctx, m.list)
}

// readGarbage reads the list of the copy. That is before the one of pruned entries is read, which is written before it, and so has all that this one says.
func (m *merging) readGarbage(ctx context.Context) (err error) {
	c := m.c
	m.list, m.info, err = readList(ctx, c.to.Entries, remotelog.GarbageKey(c.name), remotelog.MaxGarbage, func(b []byte) (remotelog.Garbage, error) {
		return remotelog.DecodeGarbage(c.name, b)
	})
	m.damaged = errors.Is(err, remotelog.ErrCorrupt) || errors.Is(err, remotelog.ErrVersion)
	if err != nil && !m.damaged {
		return err
	}
	for i := range m.list.Batches { // the list is put again, but the grace goes on
		if b := &m.list.Batches[i]; b.Found.IsZero() {
			b.Found = m.info.ModTime.Truncate(time.Millisecond)
		}
	}
	return nil
}

func (m *merging) writeGarbage(ctx context.Context, g remotelog.Garbage) (err error) {
	key := remotelog.GarbageKey(m.c.name)
	if m.info, err = putList(ctx, m.c.to.Entries, key, remotelog.EncodeGarbage(m.c.name, g), m.info); err != nil {
		return fmt.Errorf("put the list of garbage: %w", err)
	}
	return nil
}

// next returns the list of garbage as it will be, and whether it has to be written.
func (m *merging) next(ctx context.Context) (next remotelog.Garbage, changed bool, err error) {
	next = remotelog.Garbage{Pruned: m.all.Alone(), Batches: m.list.Batches}
	known := map[remotelog.ObjectID]bool{}
	for _, b := range m.list.Batches {
		for _, o := range b.Objects {
			known[o.ObjectID] = true
		}
	}
	room := max(0, garbageMost-len(known)) // what there is no room for is found by a prune
	var fresh []remotelog.GarbageObject
	for _, o := range m.waste {
		if !known[o.ObjectID] {
			known[o.ObjectID] = true
			fresh = append(fresh, o)
		}
	}
	if len(fresh) > 0 {
		there, err := m.c.objects(ctx)
		if err != nil {
			return next, false, err
		}
		fresh = slices.DeleteFunc(fresh, func(o remotelog.GarbageObject) bool { return !there[o.ObjectID] })
		slices.SortFunc(fresh, func(x, y remotelog.GarbageObject) int { return x.Compare(y.ObjectID) })
	}
	if fresh = fresh[:min(len(fresh), room)]; len(fresh) > 0 {
		next.Batches = append(slices.Clip(next.Batches), remotelog.GarbageBatch{Objects: fresh}) // found when it is put
	}
	return next, len(fresh) > 0 || !m.list.Pruned.Contains(next.Pruned), nil
}

// objects lists what the copy has by now: some may have been removed from it since it was listed first.
func (c *copying) objects(ctx context.Context) (map[remotelog.ObjectID]bool, error) {
	there := map[remotelog.ObjectID]bool{}
	for item, err := range c.copied.List(ctx, 0) {
		if err != nil {
			return nil, fmt.Errorf("list entries of the copy: %w", err)
		}
		there[remotelog.ObjectID{Entry: item.Number}] = true
	}
	for info, err := range c.to.Packs.List(ctx, remotelog.PackPrefix(c.name)) {
		if err != nil {
			return nil, fmt.Errorf("list packs of the copy: %w", err)
		}
		if id, ok := remotelog.ParsePackKey(c.name, info.Key); ok {
			there[id] = true
		}
	}
	return there, nil
}
