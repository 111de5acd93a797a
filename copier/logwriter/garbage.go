package logwriter

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// Garbage is what no recovery point needs. It can never be needed again: entries name what the one before them does, or what was made for them.

// garbageMost bounds the list of it.
var garbageMost = remotelog.MaxGarbageObjects

// A garbage is what there is of it in a log.
type garbage struct {
	now, cutoff time.Time
	list        remotelog.Garbage // what was known before
	info        store.Info        // of the object that says so; without a Key if there is none
	anew        bool              // the list cannot be relied on
	stamped     bool              // the store does not say when it was put
	found       map[remotelog.ObjectID]time.Time

	ripe    []garbageObject // found before the cutoff: it can be removed
	waiting []garbageObject // the rest
}

// A garbageObject is an object that is garbage.
type garbageObject struct {
	store.Info
	id    remotelog.ObjectID
	found time.Time
	fresh bool // it was not known before
}

// look reads what is known. The grace of all of it begins anew if the list is damaged, or was written with more pruned entries than there are
// now: then their list was lost, or is an older one, and what was garbage may have been needed again.
func (g *garbage) look(ctx context.Context, p *pruning) (err error) {
	g.list, g.info, err = readList(ctx, p.entries, remotelog.GarbageKey(p.name), remotelog.MaxGarbage, func(b []byte) (remotelog.Garbage, error) {
		return remotelog.DecodeGarbage(p.name, b)
	})
	switch {
	case errors.Is(err, remotelog.ErrCorrupt):
		p.o.Logger.Warn("the list of garbage is damaged, so the grace begins anew", "name", p.name, "error", err)
		g.anew = true
		return nil
	case err != nil:
		return err
	}
	if g.info.Key != "" && !g.goesWith(&p.list) {
		// Another prune may have written both meanwhile.
		if err := p.lookPruned(ctx); err != nil {
			return err
		}
		if g.anew = !g.goesWith(&p.list); g.anew {
			if p.list.Unlisted < remotelog.MaxNumber {
				p.o.Logger.Warn("the list of pruned entries is gone, or an older one: states that were pruned are recovery points again, though they may not be whole", "name", p.name)
			}
			p.list.Unlisted = remotelog.MaxNumber // nobody knows what was pruned, and what was lost
			return nil
		}
	}
	for i := range g.list.Batches {
		b := &g.list.Batches[i]
		if b.Found.IsZero() {
			b.Found = g.info.ModTime.Truncate(time.Millisecond)
		}
		if b.Found.IsZero() {
			b.Found, g.stamped = g.now, true
		}
		for _, o := range b.Objects {
			g.found[o.ObjectID] = b.Found
		}
	}
	return nil
}

// goesWith says whether all that was pruned when the list was written still is.
func (g *garbage) goesWith(pruned *remotelog.Pruned) bool {
	return (len(g.list.Batches) == 0 || pruned.Garbage) && pruned.Contains(g.list.Pruned)
}

// add adds an object that is garbage.
func (g *garbage) add(info store.Info, id remotelog.ObjectID) {
	found, known := g.found[id]
	if !known {
		found = g.now
	}
	o := garbageObject{info, id, found, !known}
	if known && !found.After(g.cutoff) {
		g.ripe = append(g.ripe, o)
	} else {
		g.waiting = append(g.waiting, o)
	}
}

// next returns the list as it will be beside one of pruned entries, and whether it has to be written. What is being removed stays in it
// until somebody sees that it is gone, so that nobody who looks meanwhile takes it for something new.
func (g *garbage) next(pruned *remotelog.Pruned) (next remotelog.Garbage, changed bool) {
	next = remotelog.Garbage{Pruned: pruned.Alone()}
	waiting, ripe := make(map[remotelog.ObjectID]bool, len(g.waiting)), make(map[remotelog.ObjectID]bool, len(g.ripe))
	for _, o := range g.ripe {
		ripe[o.id] = true
	}
	var fresh remotelog.GarbageBatch // found when it is put
	for _, o := range g.waiting {
		waiting[o.id] = true
		if o.fresh {
			fresh.Objects = append(fresh.Objects, remotelog.GarbageObject{ObjectID: o.id, Size: o.Size})
		}
	}
	slices.SortFunc(fresh.Objects, func(x, y remotelog.GarbageObject) int { return x.Compare(y.ObjectID) })
	// What there is no room for is found again, later.
	room := max(0, garbageMost-(len(g.ripe)+len(g.waiting)-len(fresh.Objects)))
	fresh.Objects = fresh.Objects[:min(len(fresh.Objects), room)]
	before := g.list
	if g.anew {
		before = remotelog.Garbage{}
	}
	for _, b := range before.Batches {
		left, removing := remotelog.GarbageBatch{Found: b.Found}, remotelog.GarbageBatch{Found: b.Found, Removing: true}
		for _, o := range b.Objects {
			switch {
			case ripe[o.ObjectID], b.Removing && waiting[o.ObjectID]: // by one who has a shorter grace, maybe
				removing.Objects = append(removing.Objects, o)
			case waiting[o.ObjectID]:
				left.Objects = append(left.Objects, o)
			}
		}
		next.Batches = append(next.Batches, removing, left)
	}
	next.Batches = slices.DeleteFunc(append(next.Batches, fresh), func(b remotelog.GarbageBatch) bool { return len(b.Objects) == 0 })
	same := next.Pruned.Contains(before.Pruned) && before.Pruned.Contains(next.Pruned) && slices.EqualFunc(next.Batches, before.Batches, func(x, y remotelog.GarbageBatch) bool { return reflect.DeepEqual(x, y) })
	// If anything is removed, the list is written in any case, for the time that it is.
	return next, !same || g.anew || g.stamped || len(g.ripe) > 0
}

// written notes when the list was written, which is when what is new in it was found.
func (g *garbage) written(now time.Time) {
	for i := range g.waiting {
		if g.waiting[i].fresh {
			g.waiting[i].found = now
		}
	}
}

// ripen lets what was found after the cutoff wait: by the clock of the store, of which this machine's may be ahead.
func (g *garbage) ripen(cutoff time.Time) {
	g.ripe = slices.DeleteFunc(g.ripe, func(o garbageObject) bool {
		if o.found.After(cutoff) {
			g.waiting = append(g.waiting, o)
			return true
		}
		return false
	})
}
