package logrep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

const (
	// fewEntries is up to how many entries are read one by one, rather than to look for bundles.
	fewEntries = 8
	// fewInBundle is of how many entries a bundle must have frames to be used.
	fewInBundle = 3
	// bundleAhead is within how many entries behind a state the frames of the entries before it are in bundles, if entries come at a steady pace.
	bundleAhead = 384
	// mostTables is how many entries are read at most to find bundles.
	mostTables = 6
)

// A bundler finds frames of the entries up to one in bundles. A bundle is a second copy: if it is not found, or damaged, the entries
// themselves are there.
type bundler struct {
	l       *Log
	e       *remotelog.Entry
	used    bool
	damaged []error // what is wrong with bundles that do not have what they should, once for each
	begun   bool
	next    uint64 // entry with more bundles, before those in list; 0 if there are none
	read    int    // entries
	bundles []*bundle
}

type bundle struct {
	*remotelog.Bundle
	place func(remotelog.Place) (remotelog.Place, bool)
	used  map[uint64]bool // entries whose frames are wanted now
	bad   bool            // it did not have what it should
}

// locate says for frames where they are in bundles, if that saves requests. It is for one caller at a time.
func (b *bundler) locate(ctx context.Context, frames []remotelog.Place) map[remotelog.Place]remotelog.Place {
	wanted := map[uint64]bool{}
	oldest := b.e.Number
	for _, p := range frames {
		if p.Object.Part == 0 {
			wanted[p.Object.Entry] = true
			oldest = min(oldest, p.Object.Entry)
		}
	}
	if len(wanted) <= fewEntries {
		return nil
	}
	b.find(ctx, oldest)
	for _, u := range b.bundles {
		u.used = map[uint64]bool{}
	}
	found := map[remotelog.Place]*bundle{}
	for _, p := range frames {
		if u := b.bundleOf(p); u != nil && !u.bad {
			u.used[p.Object.Entry] = true
			found[p] = u
		}
	}
	places := map[remotelog.Place]remotelog.Place{}
	for p, u := range found {
		if len(u.used) >= fewInBundle {
			places[p], _ = u.place(p)
			b.used = true
		}
	}
	return places
}

// find finds bundles of the entries from the oldest on.
func (b *bundler) find(ctx context.Context, oldest uint64) {
	if !b.begun {
		b.begun = true
		b.begin(ctx)
	}
	for b.next > 0 && b.read < mostTables && (len(b.bundles) == 0 || b.bundles[0].First > oldest) {
		b.add(b.entry(ctx, b.next))
	}
}

// entry reads an entry, or returns nil: what is wrong with it is no matter of this state.
func (b *bundler) entry(ctx context.Context, number uint64) *remotelog.Entry {
	b.read++
	h, err := b.l.entry(ctx, number)
	if err != nil {
		return nil
	}
	return h.Entry
}

// begin looks for the entry behind e that has the bundles with its frames, from the newest one or one not far behind e.
func (b *bundler) begin(ctx context.Context) {
	h, err := b.l.seen(), error(nil)
	if h == nil {
		h, err = b.l.Head(ctx, nil)
	}
	if err != nil || h.Entry.Number < b.e.Number {
		b.add(b.e)
		return
	}
	from := h.Entry
	if from.Number > b.e.Number+bundleAhead {
		if near := b.entry(ctx, b.e.Number+bundleAhead); near != nil {
			from = near
		}
	}
	b.add(from)
}

// add adds the bundles that an entry names, before those that are known, and says where there are more.
func (b *bundler) add(e *remotelog.Entry) {
	b.next = 0
	if e == nil {
		return
	}
	first := b.e.Number + 1
	if len(b.bundles) > 0 {
		first = b.bundles[0].First
	}
	var more []*bundle
	for i := range e.Bundles {
		if u := &e.Bundles[i]; u.First < first {
			more = append(more, &bundle{Bundle: u, place: u.Places()})
		}
	}
	b.bundles = slices.Concat(more, b.bundles)
	b.next = e.Bundled
}

// bundleOf returns the bundle that has a frame, or nil.
func (b *bundler) bundleOf(p remotelog.Place) *bundle {
	at, ok := slices.BinarySearchFunc(b.bundles, p.Object.Entry, func(u *bundle, number uint64) int { return cmp.Compare(u.First, number) })
	if !ok {
		at--
	}
	if at < 0 {
		return nil
	}
	if _, ok := b.bundles[at].place(p); !ok {
		return nil
	}
	return b.bundles[at]
}

// damage notes that a bundle does not have the frame at p. It may well be gone.
func (b *bundler) damage(p remotelog.Place, err error) {
	for _, u := range b.bundles {
		if u.Pack != p.Object || u.bad {
			continue
		}
		u.bad = true
		if isFault(err) && !errors.Is(err, store.ErrNotExist) {
			b.damaged = append(b.damaged, fmt.Errorf("%w; read from the entry itself", b.l.inFrame(p, err)))
		}
	}
}

// suspect says whether an error may be the fault of bundles, though each frame that they gave was sound.
func (b *bundler) suspect(err error) bool {
	var f *Fault
	if !b.used || !isFault(err) {
		return false
	}
	return !errors.As(err, &f) || f.frame.IsZero() || b.bundleOf(f.frame) != nil
}

// doubt notes that what was put together of bundles is wrong.
func (b *bundler) doubt(err error) {
	var keys []string
	for _, u := range b.bundles {
		_, key := b.l.object(u.Pack)
		keys = append(keys, key)
	}
	b.damaged = append(b.damaged, fmt.Errorf("one of %s may have other frames than the entries: %w; read from the entries", strings.Join(keys, ", "), err))
}
