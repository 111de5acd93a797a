package logwriter

import (
	"context"
	"errors"
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
	damaged     bool              // it is
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

// look reads what is known. A list that is damaged is begun anew, and so is the grace of all that it had.
func (g *garbage) look(ctx context.Context, p *pruning) (err error) {
	g.list, g.info, err = readList(ctx, p.entries, remotelog.GarbageKey(p.name), remotelog.MaxGarbage, func(b []byte) (remotelog.Garbage, error) {
		return remotelog.DecodeGarbage(p.name, b)
	})
	switch {
	case errors.Is(err, remotelog.ErrCorrupt):
		p.o.Logger.Warn("the list of garbage is damaged, so the grace begins anew", "name", p.name, "error", err)
		g.damaged = true
		return nil
	case err != nil:
		return err
	}
	for i := range g.list.Batches {
		b := &g.list.Batches[i]
		if b.Found.IsZero() {
			b.Found = g.info.ModTime.Truncate(time.Millisecond)
		}
		if b.Found.IsZero() { // the store does not say when
			b.Found = g.now
		}
		for _, o := range b.Objects {
			g.found[o.ObjectID] = b.Found
		}
	}
	return nil
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

// next returns the list as it will be beside one of pruned entries. What can be removed is not in it any more: if it is not removed, it
// is found again.
func (g *garbage) next(pruned *remotelog.Pruned) remotelog.Garbage {
	next := remotelog.Garbage{Pruned: pruned.Last()}
	waiting := make(map[remotelog.ObjectID]bool, len(g.waiting))
	var fresh remotelog.GarbageBatch // found when it is put
	for _, o := range g.waiting {
		waiting[o.id] = true
		if o.fresh {
			fresh.Objects = append(fresh.Objects, remotelog.GarbageObject{ObjectID: o.id, Size: o.Size})
		}
	}
	slices.SortFunc(fresh.Objects, func(x, y remotelog.GarbageObject) int { return x.Compare(y.ObjectID) })
	// What there is no room for is found again, later.
	fresh.Objects = fresh.Objects[:min(len(fresh.Objects), max(0, garbageMost-(len(g.waiting)-len(fresh.Objects))))]
	for _, b := range slices.Concat(g.list.Batches, []remotelog.GarbageBatch{fresh}) {
		left := remotelog.GarbageBatch{Found: b.Found}
		for _, o := range b.Objects {
			if waiting[o.ObjectID] {
				left.Objects = append(left.Objects, o)
			}
		}
		if len(left.Objects) > 0 {
			next.Batches = append(next.Batches, left)
		}
	}
	return next
}

// changed says whether the list has to be written anew.
func (g *garbage) changed(next *remotelog.Garbage) bool {
	n := 0
	for _, b := range next.Batches {
		n += len(b.Objects)
		if b.Found.IsZero() {
			return true
		}
	}
	return g.damaged || n != len(g.found) || next.Pruned != g.list.Pruned
}
