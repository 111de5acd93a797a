package tracker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/boule-db/boule/manifest"
)

// burstAttr is the extended attribute that holds the record of a burst.
const burstAttr = "user.boule.burst"

const (
	burstVersion = 1
	// maxBurst bounds the chunks that a snapshot put off has to read, and with that the record. Whether the commit
	// that ends the burst reads them is up to Options.CommitChunks.
	maxBurst = 128
	// maxQuiet bounds the chunks that may have changed for a snapshot to be put off further than Options.Coalesce: one that
	// has to read more at once would make writers wait.
	maxQuiet = 16
	// maxWindows is how many times Options.Coalesce it is put off at most.
	maxWindows = 10
	// maxBurstRecord is more than the longest record: ids of 90 bytes at most, and 128 chunks.
	maxBurstRecord = 2048
)

// errBurst reports a record that no version of this package wrote, or a later one did.
var errBurst = errors.New("tracker: malformed record of a burst")

// A burst is a run of transactions without a snapshot in between, as the last of them left it.
// The record stays with the database, so that whoever takes the snapshot, in whatever process,
// knows what it has to read. It holds only as long as the database has the id that it says.
type burst struct {
	base  []byte // id before the first transaction
	id    []byte // id after the last
	tail  int64  // all chunks from here on changed; noTail if none did
	dirty []int  // the others that did, in order
}

const noTail = -1

// encode returns the record; FORMAT.md has the table.
func (b *burst) encode() []byte {
	rec := []byte{burstVersion}
	for _, id := range [][]byte{b.base, b.id} {
		rec = append(rec, byte(len(id)))
		rec = append(rec, id...)
	}
	rec = binary.AppendUvarint(rec, uint64(b.tail+1))
	rec = binary.AppendUvarint(rec, uint64(len(b.dirty)))
	last := -1
	for _, i := range b.dirty {
		rec = binary.AppendUvarint(rec, uint64(i-last))
		last = i
	}
	return binary.LittleEndian.AppendUint64(rec, manifest.Sum(rec).Lo)
}

// parseBurst undoes encode.
func parseBurst(rec []byte) (*burst, error) {
	fail := func(what string) (*burst, error) { return nil, fmt.Errorf("%w: %s", errBurst, what) }
	n := len(rec) - 8
	if n < 1 || rec[0] != burstVersion {
		return fail("version")
	}
	if binary.LittleEndian.Uint64(rec[n:]) != manifest.Sum(rec[:n]).Lo {
		return fail("fingerprint")
	}
	rec = rec[1:n]
	b := &burst{}
	for _, id := range []*[]byte{&b.base, &b.id} {
		if len(rec) < 1 || len(rec) < 1+int(rec[0]) || rec[0] == 0 {
			return fail("id")
		}
		*id, rec = rec[1:1+rec[0]], rec[1+rec[0]:]
	}
	number := func(limit uint64) (uint64, bool) {
		v, n := binary.Uvarint(rec)
		if n <= 0 || v > limit {
			return 0, false
		}
		rec = rec[n:]
		return v, true
	}
	tail, ok := number(1 << 62)
	if !ok {
		return fail("tail")
	}
	b.tail = int64(tail) - 1
	count, ok := number(uint64(len(rec))) // one byte each at least
	if !ok {
		return fail("number of chunks")
	}
	last := -1
	for range count {
		step, ok := number(maxListed)
		if !ok || step == 0 || last+int(step) >= maxListed {
			return fail("chunk")
		}
		last += int(step)
		b.dirty = append(b.dirty, last)
	}
	if len(rec) > 0 {
		return fail("length")
	}
	return b, nil
}

// addTo adds what changed in the burst to a set.
func (b *burst) addTo(d *dirtySet) {
	for _, i := range b.dirty {
		d.add(int64(i))
	}
	if b.tail != noTail {
		d.tail = min(d.tail, b.tail)
	}
}

// readBurst returns the record of the database; nil if it has none that can be used.
func (t *Tracker) readBurst() *burst {
	if t.noAttr {
		return nil
	}
	rec, err := getAttr(t.file.Fd(), burstAttr, maxBurstRecord)
	if err != nil || len(rec) == 0 {
		return nil
	}
	b, err := parseBurst(rec)
	if err != nil {
		t.log.Debug("record of a burst not used", "err", err)
		return nil
	}
	return b
}

// resume makes what an unfinished burst changed part of what this evaluation has to stage, if
// the burst leads right up to what this connection wrote or, if it wrote nothing, to the
// present state of the database.
func (t *Tracker) resume(v view) {
	b := t.readBurst()
	t.recorded = b != nil
	if b == nil {
		return
	}
	switch {
	case t.state == dirty:
		if !t.full && sameID(b.id, t.prev) {
			t.base = slices.Clone(b.base)
			b.addTo(&t.dirty)
		}
	case sameID(b.id, v.id):
		t.dirty.reset()
		b.addTo(&t.dirty)
		if !t.dirty.empty() {
			t.state, t.adopted, t.full = dirty, true, false
			t.base = slices.Clone(b.base)
			t.prev = t.base
		}
	}
}

// putOff leaves the snapshot of what was written to a later evaluation, if one was taken only a
// moment ago and nothing speaks against it: whoever evaluates next, in whatever process, finds
// the record. It returns false if the snapshot is to be taken now.
//
// Under an EXCLUSIVE lock that stays, nobody could evaluate later.
func (t *Tracker) putOff(held Held, v view, forced bool) bool {
	if forced || held != Shared || t.eager || t.adopted || t.noAttr || t.db.deferred != nil {
		return false
	}
	base := t.base
	if base == nil {
		base = t.prev
	}
	b := burst{base: base, id: v.id, tail: noTail}
	n := chunkCount(v.size)
	from := n
	if t.dirty.tail < int64(n) {
		from = int(t.dirty.tail)
	}
	if t.dirty.tail != maxTail {
		b.tail = t.dirty.tail
	}
	b.dirty = t.dirty.listed(from)
	chunks := len(b.dirty) + n - from
	if chunks > maxBurst {
		return false
	}
	now := time.Now()
	end, ok := t.db.window(now, chunks <= maxQuiet)
	if !ok {
		return false
	}
	if err := setAttr(t.file.Fd(), burstAttr, b.encode()); err != nil {
		t.log.Debug("burst not recorded", "err", err)
		return false
	}
	t.db.postpone(now, end)
	t.state, t.full, t.renewed = clean, false, false
	t.forget()
	return true
}

// endBurst removes the record, whose changes were staged for all targets.
func (t *Tracker) endBurst() {
	if !t.recorded {
		return
	}
	t.recorded = false
	if err := removeAttr(t.file.Fd(), burstAttr); err != nil {
		t.log.Debug("record of a burst not removed", "err", err) // the id tells that it is old
	}
}

// window returns until when a snapshot may be put off, and whether that is later than now. It may not if none was staged for all
// targets, or something went wrong since. A quiet one may until the next upload, if commits come so fast that one will be there to take it:
// for Boule's own connections it would be more work.
func (d *database) window(now time.Time, quiet bool) (end time.Time, ok bool) {
	from, last, ok := d.mayPutOff()
	coalesce := d.m.opts.Coalesce
	if !ok || coalesce <= 0 || now.Before(from) {
		return end, false
	}
	end = from.Add(coalesce)
	if most := from.Add(maxWindows * coalesce); quiet && now.Sub(last) < coalesce && now.Before(most) {
		if next := d.nextUpload().Add(-coalesce); next.After(end) {
			end = next
		}
		if end.After(most) {
			end = most
		}
	}
	return end, now.Before(end)
}

// nextUpload is when something that is staged now will be taken at the earliest. Callers do not hold mu.
func (d *database) nextUpload() (next time.Time) {
	for i, ts := range d.targets {
		if at := d.m.opts.NextUpload(ts.key); i == 0 || at.Before(next) {
			next = at
		}
	}
	return next
}

// mayPutOff returns when a snapshot was last staged, when one was last put off, and whether the first was for all targets and nothing
// went wrong since.
func (d *database) mayPutOff() (staged, putOff time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.stagedAt.IsZero() {
		return staged, putOff, false
	}
	for _, ts := range d.targets {
		if ts.failures > 0 || ts.rescan || ts.restage != nil {
			return staged, putOff, false
		}
	}
	return d.stagedAt, d.putOffAt, true
}

// postpone notes that a snapshot was put off. The next commit takes it when the window has
// ended; only if none comes soon after that, others have to.
func (d *database) postpone(now, end time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.putOffAt = now
	if due := end.Add(d.m.opts.Coalesce / 2); due != d.putOffUntil {
		d.putOffUntil = due
		d.m.rouse()
	}
}

// PutOff returns the paths of the databases of which a snapshot is put off. To take it open the
// database with an Eager tracker and read something.
func (m *Manager) PutOff() []string {
	var paths []string
	for key, d := range m.all() {
		if d.isPutOff() {
			paths = append(paths, key.path)
		}
	}
	return paths
}

func (d *database) isPutOff() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.closed && !d.putOffUntil.IsZero()
}

// PutOffUntil returns when the snapshot of a database that is put off is due, and false if none is.
func (m *Manager) PutOffUntil(path string) (at time.Time, ok bool) {
	d := m.find(path)
	if d == nil {
		return at, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.putOffUntil, !d.closed && !d.putOffUntil.IsZero()
}

// last says whether a snapshot is put off that no connection of the application will take if this
// one ends. Boule's own do not count: they end when the process does.
func (d *database) last(mode Mode) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	others := d.apps
	if mode != Eager {
		others--
	}
	return others == 0 && !d.closed && !d.putOffUntil.IsZero()
}

// LastChance reports whether the connection is about to leave a snapshot that was put off and
// that no other connection of the process would take. Then the caller, if it can, takes SHARED,
// calls [Tracker.Snapshot] and unlocks, before it closes.
func (t *Tracker) LastChance() (yes bool) {
	if t.db == nil {
		return false
	}
	t.guard("last chance", func() {
		if yes = t.state != dirty && t.db.last(t.mode); yes {
			t.eager = true
		}
	}, func(error) { yes = false })
	return yes
}
