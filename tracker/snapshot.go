package tracker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// journalMagic starts a rollback journal that is in force.
var journalMagic = [8]byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7}

// A view is the database as a snapshot sees it.
type view struct {
	size    int64
	header  manifest.Fingerprint
	id      []byte // empty if it cannot be had
	changed time.Time
}

// evaluate is Snapshot without its safety net.
func (t *Tracker) evaluate(held Held) {
	if t.leaveToOthers(held) {
		return
	}
	// One at a time: a second one finds that the first has done its work.
	t.claim()
	defer t.Unclaim()
	defer t.m.warm(t.db)
	written := t.state == dirty
	due, waiting := t.db.due(time.Now(), t.eager, written)
	if len(due) == 0 {
		t.full = written
		return
	}
	began := time.Now()
	v, err := t.look(held)
	t.m.opts.Observe("look", time.Since(began))
	if wal := errors.Is(err, ErrWAL); wal || err == nil {
		t.db.setWAL(wal)
	}
	switch {
	case errors.Is(err, ErrHotJournal):
		// Whoever rolls it back writes. Until then the file is not to be trusted.
		t.state, t.full = dirty, true
		t.db.unsettled(err)
		return
	case errors.Is(err, ErrWAL):
		// The file changes without a transaction of ours from now on.
		t.full, t.eager = written, false
		t.db.settled()
		return
	case errors.Is(err, ErrEmpty):
		t.db.vacant()
		t.finish(held, v, true)
		return
	case err != nil:
		for _, ts := range due {
			if written {
				t.db.distrust(ts)
			}
			t.db.fail(ts, err)
		}
		t.full, t.eager = written, false
		if !written {
			t.state = unknown
		}
		return
	}
	t.resume(v)
	t.resumeDeferred(v)
	forced := t.forced(v)
	if forced {
		t.token = 0
	}
	if written && len(waiting) == 0 && t.putOff(held, v, forced) {
		return
	}
	plans := t.planAll(v, due, forced)
	if t.deferSnapshot(held, v, plans, forced) {
		if forced {
			t.distrust(waiting)
		}
		return
	}
	gave := t.stageAll(v, plans, forced)
	if gave != nil {
		t.giveWay(v, plans, gave)
		return
	}
	done := len(waiting) == 0
	for _, p := range plans {
		if p.err == nil && p.current && p.ts.producer.Unfinished() {
			p.err = p.goOn(t.db.name)
		}
		done = t.conclude(p, v, forced) && done
	}
	if forced {
		t.distrust(waiting)
	}
	t.finish(held, v, done)
}

func (t *Tracker) distrust(targets []*target) {
	for _, ts := range targets {
		t.db.distrust(ts)
	}
}

// forced says that equal ids mean nothing now: this connection wrote, and either cannot say what
// and since when, or the id may not tell.
func (t *Tracker) forced(v view) bool {
	if t.state != dirty {
		return false
	}
	if t.adopted { // the record says what and since when, and that nobody wrote after
		return len(v.id) == 0
	}
	if t.full || t.stuck || t.dirty.empty() || len(t.prev) == 0 || len(v.id) == 0 || sameID(t.prev, v.id) {
		return true
	}
	return !t.noAttr && !bytes.HasPrefix(v.id, t.uuid) // somebody wrote after us
}

// finish forgets what was staged. If something failed, the next evaluation compares ids.
func (t *Tracker) finish(held Held, v view, done bool) {
	t.state = unknown
	if t.db.race.laps > 0 {
		t.db.racedAt = time.Now()
	}
	t.db.deferred, t.db.race = nil, race{}
	if done {
		t.db.losses = 0
		t.state = clean
		t.endBurst()
	}
	t.db.settled()
	t.db.lookForRest()
	t.eager, t.full, t.renewed = false, false, false
	t.forget()
	if held == Exclusive {
		t.prev = v.id
	}
}

// forget drops what was noted of transactions.
func (t *Tracker) forget() {
	t.dirty.reset()
	t.prev, t.base, t.adopted, t.token = nil, nil, false, 0
}

// look reads what a snapshot starts from, or says why there can be none.
func (t *Tracker) look(held Held) (view, error) {
	if hot, err := t.hot(held); err != nil {
		return view{}, err
	} else if hot {
		return view{}, ErrHotJournal
	}
	v, wal, err := t.measure()
	switch {
	case err != nil:
		return view{}, err
	case v.size == 0:
		return v, ErrEmpty
	case wal:
		return v, ErrWAL
	}
	v.id = t.versionID(v.header)
	if len(v.id) == 0 {
		// First sight. Nobody writes now, so the id given here is that of the next transaction.
		if err := setAttr(t.file.Fd(), attrName, newUUID()); err == nil {
			v.id = t.versionID(v.header)
		}
	}
	info, err := statFile(t.file.Fd())
	if info.changed.Unix() >= 0 { // else the clock is wrong
		v.changed = info.changed
	}
	return v, err
}

// measure reads size and header of the database.
func (t *Tracker) measure() (v view, wal bool, err error) {
	if v.size, err = t.file.Size(); err != nil {
		return view{}, false, fmt.Errorf("read database size: %w", err)
	}
	var header [manifest.HeaderSize]byte
	n, err := readAt(t.file, header[:], 0)
	if err != nil {
		return view{}, false, err
	}
	v.header = manifest.HeaderSum(header[:n])
	return v, n > 19 && (header[18] == 2 || header[19] == 2), nil
}

// hot says whether the journal shows that a transaction failed.
func (t *Tracker) hot(held Held) (bool, error) {
	magic, err := t.journalStarts()
	if held == Exclusive {
		return magic, err
	}
	for range 2 {
		// One that another user has just made can't be read before it has the permissions of the database.
		if !magic && !errors.Is(err, fs.ErrPermission) {
			return false, err
		}
		// With synchronous=OFF a transaction in progress, which has written nothing to the database
		// as long as we hold SHARED, has a journal that looks the same.
		reserved, rerr := t.file.Reserved()
		if rerr != nil {
			return false, fmt.Errorf("check reserved lock: %w", rerr)
		}
		if reserved {
			return false, nil
		}
		// It may have ended meanwhile.
		magic, err = t.journalStarts()
	}
	return magic, err
}

func (t *Tracker) journalStarts() (bool, error) {
	var start [len(journalMagic)]byte
	_, err := readStart(t.path+"-journal", start[:])
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, io.EOF):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for a hot journal: %w", err)
	}
	return start == journalMagic, nil
}

// readAt reads what there is of p.
func readAt(r io.ReaderAt, p []byte, off int64) (int, error) {
	n, err := r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read database: %w", err)
	}
	return n, nil
}

// planAll plans what is to be done for all targets that are due, each on its own account.
func (t *Tracker) planAll(v view, due []*target, forced bool) []*plan {
	began := time.Now()
	plans := make([]*plan, 0, len(due))
	for _, ts := range due {
		plans = append(plans, t.plan(ts, v, forced))
	}
	t.m.opts.Observe("plan", time.Since(began))
	return plans
}

// stageAll carries out the plans. A spool that vanishes meanwhile, and one whose index turns out to be
// of no use, gets a second attempt. It returns the builder that gave way, if one did.
func (t *Tracker) stageAll(v view, plans []*plan, forced bool) (gave *builder) {
	gave = t.stage(v, plans)
	var again []*plan
	for i, p := range plans {
		switch {
		case errors.Is(p.err, spool.ErrVanished):
		case errors.Is(p.err, errIndex):
			t.log.Warn("staged snapshot is not usable; the next is full", "target", p.ts.key.Target, "err", p.err)
			if err := p.ts.producer.DropStaged(t.db.name); err != nil {
				continue
			}
		default:
			continue
		}
		plans[i] = t.plan(p.ts, v, forced)
		again = append(again, plans[i])
	}
	if len(again) > 0 && gave == nil {
		gave = t.stage(v, again)
	}
	return gave
}

// stage takes one snapshot for all plans that need one. It returns the builder if that gave way.
func (t *Tracker) stage(v view, plans []*plan) (gave *builder) {
	began := time.Now()
	b := &builder{file: t.file, view: v, dirty: &t.dirty, room: t.m.opts.maxAhead}
	if y, ok := t.file.(Yielder); ok && t.eager {
		b.yielder, b.until = y, began.Add(t.db.patience())
	}
	defer func() {
		if gave == nil {
			b.ahead.release()
		}
	}()
	sequence := uint64(1)
	for _, p := range plans {
		if p.err == nil && !p.current {
			b.plans = append(b.plans, p)
			if p.base != nil {
				sequence = max(sequence, p.base.Sequence+1)
			} else {
				sequence = max(sequence, t.uploaded(p.ts)+1)
			}
		}
	}
	if len(b.plans) == 0 {
		return nil
	}
	if t.eager && slices.ContainsFunc(b.plans, func(p *plan) bool { return !p.incremental }) {
		t.db.fullAt = began
	}
	err := b.run()
	t.m.opts.Observe("chunks", time.Since(began))
	if b.mismatches > 0 {
		t.scrubbed(b.mismatches)
	}
	if err == nil {
		var now view
		if now, _, err = t.measure(); err == nil && (now.size != v.size || now.header != v.header) {
			err = ErrChanged
		}
	}
	for _, p := range b.plans {
		if p.err == nil {
			p.err = err
		}
		p.doomed = p.doomed && err == nil
		switch {
		case p.err == nil:
			m := &manifest.Manifest{
				Header: v.header, VersionID: v.id, Sequence: sequence, Size: v.size, SourceTime: v.changed,
				Generator: t.m.opts.Generator, Writer: t.m.writer, First: b.first,
			}
			p.err = p.publish(t.db.name, m)
		case !p.yielded():
			p.abandon()
		}
	}
	if slices.ContainsFunc(b.plans, (*plan).yielded) {
		return b
	}
	return nil
}

// uploaded returns the sequence of the manifest that the target is known to hold, or zero. A
// snapshot without a base must come after it, even if the clock has been set back.
func (t *Tracker) uploaded(ts *target) uint64 {
	data, _, err := t.m.opts.Root.Tap(ts.spec.ID, t.db.name)
	if err != nil {
		return 0
	}
	m, err := manifest.Decode(data)
	if err != nil {
		return 0
	}
	return m.Sequence
}

func (t *Tracker) scrubbed(n int) {
	t.db.mu.Lock()
	t.db.scrubs += n
	t.db.mu.Unlock()
	t.log.Error("database changed without a notice; the snapshot is full", "chunks", n)
}

// plan opens the spool of a target and judges what is staged there.
func (t *Tracker) plan(ts *target, v view, forced bool) *plan {
	p := &plan{ts: ts, opts: &t.m.opts}
	t.db.mu.Lock()
	rescan, restage := ts.rescan, ts.restage != nil
	p.demands = ts.demands
	t.db.mu.Unlock()
	if ts.hot != nil && ts.hot.token != 0 && ts.hot.token != t.token {
		ts.hot = nil // its index is ahead of what is staged, and nobody knows any more where to
	}
	if p.err = t.prepare(p, restage); p.err != nil {
		return p
	}
	resumed := t.token != 0 && p.hot.token == t.token
	p.base = p.hot.base
	switch {
	case resumed:
		p.incremental = true
	case p.base == nil, forced, rescan:
	case t.state != dirty, t.adopted && sameID(p.base.VersionID, v.id):
		p.current = sameID(p.base.VersionID, v.id) && p.base.Size == v.size
	default:
		p.incremental = sameID(p.base.VersionID, t.prev) || sameID(p.base.VersionID, t.base) ||
			sameID(p.base.VersionID, v.id)
	}
	return p
}

// prepare opens the spool of a target, and finds out what is staged there. With drop that is
// forgotten, unless it was already, and only this process has staged anything since.
func (t *Tracker) prepare(p *plan, drop bool) error {
	ts := p.ts
	if ts.producer == nil {
		var err error
		if ts.producer, err = t.m.opts.Root.Producer(t.db.db, ts.spec); err != nil {
			ts.producer = nil
			return err
		}
	}
	t.db.mu.Lock()
	ts.opened = true
	t.db.mu.Unlock()
	// It is put back when all went well.
	p.hot, ts.hot = ts.hot, nil
	known := p.hot != nil && ts.producer.Unchanged(t.db.name)
	if drop = drop && (!known || p.hot.demands != p.demands); drop {
		if err := ts.producer.DropStaged(t.db.name); err != nil {
			return err
		}
	}
	if known && !drop {
		return nil
	}
	err := t.cool(p)
	if drop && err == nil {
		p.hot.demands = p.demands
	}
	return err
}

// cool reads what is staged.
func (t *Tracker) cool(p *plan) error {
	producer := p.ts.producer
	p.hot = nil
	p.ts.folded = true // somebody may have left something
	var base *manifest.Manifest
	data, err := producer.Staged(t.db.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if base, err = manifest.Decode(data); err != nil {
			t.log.Warn("staged manifest is unreadable; the snapshot is full", "target", p.ts.key.Target, "err", err)
			base = nil
		}
	}
	names, err := producer.StagedChunks()
	if err != nil {
		return err
	}
	if p.hot, err = newHot(base, producer.ReadBlock, names); err != nil {
		t.log.Warn("index of the staged manifest is unreadable; the snapshot is full", "target", p.ts.key.Target, "err", err)
		// Nobody knows what it needs, so it must not stay when garbage is collected.
		if producer.Unchanged(t.db.name) {
			if err := producer.DropStaged(t.db.name); err != nil {
				return err
			}
		}
		return t.cool(p)
	}
	return nil
}

// conclude records how it went with a target.
func (t *Tracker) conclude(p *plan, v view, forced bool) bool {
	if p.err == nil {
		sequence := p.sequence
		if p.current {
			sequence = p.base.Sequence
		}
		p.ts.hot = p.hot
		t.db.succeed(p, sequence)
		t.db.keep(p.ts, p.housekeeping)
		t.m.opts.Notify(p.ts.key)
		return true
	}
	// The next evaluation is full by itself, since the id that is staged is not that of the
	// database any more. Where it may be nevertheless, that must not be forgotten.
	if forced {
		t.db.distrust(p.ts)
	}
	if p.base != nil && sameID(p.base.VersionID, v.id) {
		if err := p.ts.producer.DropStaged(t.db.name); err != nil {
			t.db.distrust(p.ts)
		}
	}
	t.db.fail(p.ts, p.err)
	return false
}
