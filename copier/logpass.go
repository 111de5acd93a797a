package copier

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/zeebo/xxh3"
	"golang.org/x/time/rate"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/internal/instance"
	"github.com/boule-db/boule/internal/tuning"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica/logrep"
	"github.com/boule-db/boule/spool"
	"github.com/boule-db/boule/store"
)

// A logState is the writer of one replica in the log layout.
type logState struct {
	client *client // whose stores it has
	owner  remotelog.Owner
	w      *logwriter.Writer
	budget logwriter.Budget // of a compaction; zero if not known
	failed time.Time        // when one failed last; zero if it did not
	saved  time.Time        // when its pages were saved; zero if that is to be done soon
	fresh  bool             // something was appended since
}

// savePages is how long what is known of pages may be lost with the process.
const savePages = 10 * time.Minute

// keepEvery is how long what was uploaded of an append may be lost with the process.
const keepEvery = 10 * time.Second

// A compaction keeps snapshots waiting, so it does what takes about compactTime, as far as that is within the bounds.
const (
	compactTime  = time.Second
	compactFirst = 8 << 20 // bytes, as long as it is not known
	compactLeast = 1 << 20
	compactMost  = 32 << 20

	compactFirstRequests = 64
	compactLeastRequests = 16
	compactMostRequests  = 256

	compactRetry    = time.Minute     // after a failure
	compactLastTime = 3 * time.Second // of all when the copier is closed
)

// writer returns the writer of the replica called name. What it knows of the store is kept as long as the client is, and
// the spool: when that was deleted, all who fill it again have to appear as one owner.
func (p *pass) writer(ctx context.Context, name string) (*logwriter.Writer, error) {
	cl, err := p.stores(ctx)
	if err != nil {
		return nil, err
	}
	owner, err := p.owner()
	if err != nil {
		return nil, err
	}
	last := p.e.logs[name]
	if last != nil && last.client == cl && last.owner == owner {
		return last.w, nil
	}
	// Who has appended in this boot, and finds that somebody else did since, leaves it to people.
	adopt := time.Duration(0)
	tap, err := p.readTap(name)
	if err != nil {
		return nil, err
	}
	if tap.exists {
		adopt = -1
	}
	w := logwriter.New(newMeter(p.c, p.e, cl.Chunks), newMeter(p.c, p.e, cl.Manifests), name, logwriter.Options{
		Owner: owner, Adopt: adopt, Known: tap.sequence, Logger: p.c.opts.Logger.With("db", p.meta.Path, "target", p.out.target),
		Compress: p.c.cores.frame, Inline: tuning.LogInline, PackSize: tuning.LogPackSize,
		Keep: p.keepPages(name),
	})
	if p.e.logs == nil {
		p.e.logs = make(map[string]*logState)
	}
	p.e.logs[name] = &logState{client: cl, owner: owner, w: w}
	var pages []byte
	if last != nil { // the target was opened again after a failure
		pages = last.w.Pages()
	} else if pages, err = p.e.root.Pages(p.e.key.Target, name); err != nil {
		return w, nil //nolint:nilerr // whole chunks are uploaded first
	}
	if err := w.Recall(pages); err != nil {
		p.c.opts.Logger.Debug("pages not recalled", "name", name, "err", err)
	}
	return w, nil
}

// keepPages returns what keeps, now and then, what was uploaded of an append that may take hours.
func (p *pass) keepPages(name string) func(func() []byte) {
	c, root, target, last := p.c, p.e.root, p.e.key.Target, time.Now()
	return func(pages func() []byte) {
		if time.Since(last) < keepEvery {
			return
		}
		if err := root.WritePages(target, name, pages()); err != nil {
			c.opts.Logger.Debug("pages not saved", "name", name, "err", err)
		}
		last = time.Now() // the more there is, the longer it takes
	}
}

// owner is on whose behalf this spool's snapshots are appended. The file is known again when the spool is lost, also
// in the next boot.
func (p *pass) owner() (o remotelog.Owner, err error) {
	if o.Spool, err = p.e.root.Owner(); err != nil {
		return o, err
	}
	// Containers may share what tells machines apart, and small file systems give the same inode number to the first file of each.
	id := fmt.Appendf(nil, "%s\x00%s\x00%d", instance.Machine(), p.meta.Path, p.e.key.Ino)
	if born := instance.Born(p.meta.Path, p.e.key.Ino); born != "" {
		id = append(append(id, 0), born...)
	}
	sum := xxh3.Hash128(id)
	binary.BigEndian.PutUint64(o.Database[:8], sum.Hi)
	binary.BigEndian.PutUint64(o.Database[8:], sum.Lo)
	return o, nil
}

// drainLog is drain for the log layout. A snapshot is appended whole: chunks leave the spool when the entry that names
// them is there. That a snapshot is not older than the last is up to the writer, by their sequences.
func (p *pass) drainLog(ctx context.Context) error {
	if err := p.cons.Tidy(); err != nil {
		return fmt.Errorf("tidy: %w", err)
	}
	p.e.counts.pending.Store(0)
	err := p.appendReady(ctx)
	if err == nil {
		err = p.appendStaged(ctx)
	}
	// Whatever has failed, there may be a new entry. A compaction may take a second, and have made another one.
	if err = errors.Join(err, p.refreshLatest(ctx)); err != nil {
		return err
	}
	p.compact(ctx)
	return p.refreshLatest(ctx)
}

// refreshLatest refreshes the copies of newest entries that are due: by them, others know which entries there were. A failure is no fault of replication, unless it shows that the replica was lost.
func (p *pass) refreshLatest(ctx context.Context) (err error) {
	for name, s := range p.e.logs {
		due := s.w.LatestDue()
		switch {
		case due.IsZero():
		case due.After(time.Now()):
			p.lookAgain(due)
		default:
			rerr := p.c.refreshLatest(ctx, name, s)
			switch due := s.w.LatestDue(); {
			case !errors.Is(rerr, logwriter.ErrLost):
				if !due.IsZero() { // it failed
					p.lookAgain(due)
				}
			case !p.e.doubts[name]:
				err = errors.Join(err, p.lost(name, rerr))
			}
		}
	}
	return err
}

func (c *Copier) refreshLatest(ctx context.Context, name string, s *logState) error {
	err := s.w.RefreshLatest(ctx)
	if err != nil {
		c.opts.Logger.Debug("copy of the newest entry not refreshed", "name", name, "err", err)
	}
	return err
}

// compact makes the compactions that are due. A failure is no fault of replication: all is there, only not as small as it could be.
func (p *pass) compact(ctx context.Context) {
	for name, s := range p.e.logs {
		if p.flush || p.givesWay() || !s.w.CompactionDue() {
			continue
		}
		began := time.Now()
		if !s.failed.IsZero() && began.Sub(s.failed) < compactRetry {
			p.lookAgain(s.failed.Add(compactRetry))
			continue
		}
		res, err := p.c.compactLog(ctx, name, s)
		if err == nil && res.More {
			p.lookAgain(time.Now().Add(p.c.opts.Spacing))
		}
	}
}

// compactLog makes one compaction, and learns how much the next may do.
func (c *Copier) compactLog(ctx context.Context, name string, s *logState) (logwriter.Compaction, error) {
	began := time.Now()
	budget := logwriter.Budget{
		Bytes: cmp.Or(s.budget.Bytes, compactFirst), Requests: cmp.Or(s.budget.Requests, compactFirstRequests),
	}
	res, err := s.w.Compact(ctx, budget)
	log := c.opts.Logger.With("name", name)
	if s.fresh = true; err != nil {
		s.failed = time.Now()
		log.Warn("compaction of a replica failed", "err", err)
		return res, err
	}
	s.failed = time.Time{}
	took := time.Since(began)
	if res.Bytes > budget.Bytes/2 { // less says little about how fast it goes
		rate := float64(res.Bytes) / took.Seconds()
		s.budget.Bytes = min(max(int64(rate*compactTime.Seconds()), compactLeast), compactMost)
	}
	switch {
	case took > compactTime*3/2:
		s.budget.Requests = max(budget.Requests/2, compactLeastRequests)
	case took < compactTime/2:
		s.budget.Requests = min(budget.Requests*2, compactMostRequests)
	}
	log.Debug("replica compacted", "objects", res.Freed, "freed", res.FreedBytes, "written", res.Bytes)
	return res, nil
}

// compactLast makes compactions that no process had the time for, since all of them end soon, until ctx is done: the next one goes on. If not
// even one part of it can be done, that is left for much later.
func (c *Copier) compactLast(ctx context.Context, e *entry) {
	for name, s := range e.logs {
		last := time.Duration(0) // what the last part took
		for parts := 0; s.w.CompactionOverdue() || parts > 0; parts++ {
			if end, ok := ctx.Deadline(); ok && time.Until(end) < last {
				return
			}
			began := time.Now()
			res, err := c.compactLog(ctx, name, s)
			if err != nil && parts == 0 {
				s.w.PostponeCompaction()
			}
			if err != nil || !res.More {
				break
			}
			last = time.Since(began)
		}
	}
}

// overdue says whether compactLast has something to do.
func (e *entry) overdue() bool {
	for _, s := range e.logs {
		if s.w.CompactionOverdue() {
			return true
		}
	}
	return false
}

// Each snapshot in the log layout is two puts, as there is a copy of its header. So that a minute of commits costs no more requests than
// where there is one, with what it takes to open the log and to compact it, they come logSlower times as slowly, but for the first logBurst.
const (
	logBurst  = 2
	logSlower = 2.2
)

// space says when the next snapshot may be appended.
func (e *entry) space(spacing time.Duration) {
	now := time.Now()
	if spacing <= 0 {
		e.allowedAt = now
		return
	}
	every := time.Duration(logSlower * float64(spacing))
	if e.pace == nil {
		e.pace = rate.NewLimiter(rate.Every(every), logBurst)
	}
	e.pace.AllowN(now, 1)
	until := func(tokens float64) time.Duration {
		return time.Duration((tokens - e.pace.TokensAt(now)) * float64(every))
	}
	e.allowedAt, e.restedAt = now.Add(max(spacing, until(1))), now.Add(until(logBurst))
}

// appendReady appends the snapshots of the ready directory, and removes it.
func (p *pass) appendReady(ctx context.Context) error {
	b, err := p.cons.TakeReady()
	if err != nil {
		return fmt.Errorf("take ready: %w", err)
	}
	if b == nil {
		return nil
	}
	defer b.Close()
	names, err := b.Manifests()
	if err != nil {
		return fmt.Errorf("list ready manifests: %w", err)
	}
	if len(names) > 0 && !p.spaced() {
		return nil
	}
	chunks, err := b.Chunks()
	if err != nil {
		return fmt.Errorf("list ready chunks: %w", err)
	}
	p.e.counts.pending.Add(int64(len(chunks)))
	bad, err := p.eachReady(b, names, func(m candidate) error {
		err := p.appendSnapshot(ctx, m, b.ReadChunk)
		var missing *logwriter.MissingError
		if errors.Is(err, ErrSuperseded) || errors.As(err, &missing) {
			return nil // of what is missing the staged manifest tells: another copier is removing it, or it is lost
		}
		return err
	})
	if err != nil {
		return err
	}
	// In this order, so that a manifest without its chunks is one that was appended.
	for _, name := range chunks {
		if err := b.RemoveChunk(name); err != nil {
			return err
		}
		p.e.counts.pending.Add(-1)
	}
	if err := b.ChunksDone(); err != nil {
		return fmt.Errorf("finish ready chunks: %w", err)
	}
	return errors.Join(bad, removeManifests(b, names), finish(b))
}

// appendStaged appends what is staged, unless something older waits.
func (p *pass) appendStaged(ctx context.Context) error {
	busy, err := p.cons.Busy()
	if err != nil {
		return fmt.Errorf("look for ready: %w", err)
	}
	if busy {
		p.lookAgain(time.Now().Add(revisit))
		return nil
	}
	// Before the manifests are opened: what is staged later may belong to a later one.
	chunks, err := p.cons.StagedChunks()
	if err != nil {
		return fmt.Errorf("list staged chunks: %w", err)
	}
	pending, err := p.stagedPending()
	if err != nil || !pending || !p.spaced() {
		return err
	}
	p.e.counts.pending.Add(int64(len(chunks)))
	staged, closeAll, err := p.openStaged()
	if err != nil {
		return err
	}
	defer closeAll()
	var bad error
	for _, m := range staged {
		err := p.appendSnapshot(ctx, m, nil)
		var missing *logwriter.MissingError
		switch {
		case errors.As(err, &missing):
			if same, serr := p.unchanged(m); serr != nil || !same {
				return serr
			}
			if busy, berr := p.cons.Busy(); berr != nil || busy { // it has moved to ready
				p.lookAgain(time.Now().Add(revisit))
				return berr
			}
			bad = errors.Join(bad, p.lost(m.name, err))
		case errors.Is(err, ErrSuperseded):
			if same, serr := p.unchanged(m); serr != nil || !same {
				return serr
			}
			if now := time.Now(); p.flush || now.Sub(p.e.superseded) > demandSpacing {
				p.e.superseded = now
				_ = p.demandSnapshot(err)
			}
			bad = errors.Join(bad, err)
		case err != nil:
			return err
		}
	}
	if bad != nil {
		return bad
	}
	return p.removeAppended(ctx, staged, chunks)
}

// removeAppended removes those of the staged chunks that the snapshots, which are all appended, reference.
func (p *pass) removeAppended(ctx context.Context, staged []candidate, names []string) error {
	left := make(map[string]bool, len(names))
	for _, name := range names {
		left[name] = true
	}
	for _, m := range staged {
		for b := 0; b < len(m.m.Blocks) && len(left) > 0; b++ {
			var failed error
			err := references(m.m, b, p.blocks(ctx, nil), func(f manifest.Fingerprint) bool {
				name := f.ChunkName()
				if left[name] {
					delete(left, name)
					failed = p.cons.RemoveStagedChunk(name)
					p.e.counts.pending.Add(-1)
				}
				return failed == nil
			})
			if err := firstErr(failed, err); err != nil && !cannotBeHad(err) {
				return err
			}
		}
	}
	return nil
}

// appendSnapshot appends a snapshot, whose chunks are what from, which may be nil, reads, or staged, or in the replica
// at some other place. ErrSuperseded: the replica has a newer one.
func (p *pass) appendSnapshot(ctx context.Context, m candidate, from func(name string) ([]byte, error)) error {
	tap, err := p.readTap(m.name)
	if err != nil {
		return err
	}
	if tap.data != nil && bytes.Equal(tap.data, m.data) && !p.e.takeover {
		p.current(m.m)
		return nil
	}
	if tap.doubt && !p.e.doubts[m.name] {
		// Another process has found out that something is lost, and that may be what the writer remembers.
		p.e.doubts[m.name] = true
		delete(p.e.logs, m.name)
	}
	w, err := p.writer(ctx, m.name)
	if err != nil {
		return err
	}
	unlock, err := p.cons.LockMeta(ctx) // so that processes of one spool do not race
	if err != nil {
		return fmt.Errorf("lock manifests: %w", err)
	}
	defer unlock()
	w.Suspect(p.e.damage[m.name])
	if p.e.takeover {
		_, err = w.Takeover(ctx, m.m, &logSource{p, from})
	} else {
		_, err = w.Append(ctx, m.m, &logSource{p, from})
	}
	p.e.space(p.c.opts.Spacing)
	if s := p.e.logs[m.name]; s != nil && err != nil {
		s.fresh = true // something may have been uploaded
	}
	var fenced *logwriter.FencedError
	switch {
	case errors.Is(err, logwriter.ErrSuperseded):
		return fmt.Errorf("%w: %w", ErrSuperseded, err)
	case errors.As(err, &fenced):
		return fmt.Errorf("%w: %s", ErrFenced, fenced.Reason())
	case err != nil:
		return err
	}
	if s := p.e.logs[m.name]; s != nil {
		s.fresh = true
		if time.Since(s.saved) > savePages && !s.saved.IsZero() {
			p.c.savePages(p.e, m.name, s)
		}
	}
	if err := p.e.root.WriteTap(p.e.key.Target, m.name, m.data); err != nil {
		return fmt.Errorf("write tap: %w", err)
	}
	delete(p.e.damage, m.name)
	delete(p.e.doubts, m.name)
	delete(p.e.doubts, "")
	p.count(func(n *counters) { n.manifests.Add(1) })
	p.acknowledged(m)
	p.current(m.m)
	return nil
}

// newestThere fails unless the replica has the snapshot m, or something newer.
func (p *pass) newestThere(ctx context.Context, m candidate) error {
	cl, err := p.stores(ctx)
	if err != nil {
		return err
	}
	log := logrep.New(newMeter(p.c, p.e, cl.Chunks), newMeter(p.c, p.e, cl.Manifests), m.name)
	head, err := log.Head(ctx, nil)
	there := err == nil
	if there && head.Info.Key == remotelog.LatestKey(m.name) { // it was read, and not the entry itself
		_, err = newMeter(p.c, p.e, cl.Manifests).Head(ctx, remotelog.EntryKey(m.name, head.Entry.Number))
	}
	switch {
	case errors.Is(err, remotelog.ErrCorrupt):
		err = fmt.Errorf("the newest entry of the log of %s in %s is damaged: %w", m.name, cl.Manifests, err)
	case store.IsNotExist(err) && there:
		err = fmt.Errorf("the newest entry of the log of %s is gone from %s", m.name, cl.Manifests)
	case store.IsNotExist(err):
		err = fmt.Errorf("the log of %s is gone from %s", m.name, cl.Manifests)
	case err != nil:
		return fmt.Errorf("look for the newest entry: %w", err)
	case head.Entry.Sequence >= m.m.Sequence:
		return nil
	default:
		err = fmt.Errorf("the log of %s in %s has gone back", m.name, cl.Manifests)
	}
	delete(p.e.logs, m.name) // the writer would go on from what is lost
	return p.lost(m.name, err)
}

// save keeps for others what is known of an entry, unless that was done just now. The caller has the turn.
func (c *Copier) save(e *entry, after time.Duration) {
	c.report(e, after)
	for name, s := range e.logs {
		if time.Since(s.saved) > after {
			c.savePages(e, name, s)
		}
	}
}

// closeLogs lets the writers of an entry leave what helps readers. Nothing depends on it. The caller has the turn.
func (c *Copier) closeLogs(ctx context.Context, e *entry) {
	for name, s := range e.logs {
		_ = c.refreshLatest(ctx, name, s)
	}
	c.save(e, 0)
	clear(e.logs)
}

// savePages saves what a writer knows of pages, if there is anything new.
func (c *Copier) savePages(e *entry, name string, s *logState) {
	if !s.fresh {
		return
	}
	s.fresh, s.saved = false, time.Now()
	if err := e.root.WritePages(e.key.Target, name, s.w.Pages()); err != nil {
		c.opts.Logger.Debug("pages not saved", "name", name, "err", err)
	}
}

// A logSource is where the writer gets what the replica does not have.
type logSource struct {
	p    *pass
	from func(name string) ([]byte, error)
}

// Block returns an index block of the snapshot.
func (s *logSource) Block(ctx context.Context, f manifest.Fingerprint) ([]byte, error) {
	return s.p.blocks(ctx, s.from)(f)
}

// Chunk returns a chunk of the snapshot.
func (s *logSource) Chunk(_ context.Context, f manifest.Fingerprint) ([]byte, error) {
	name := f.ChunkName()
	err := error(fs.ErrNotExist)
	for _, read := range []func(string) ([]byte, error){s.from, s.p.cons.ReadStagedChunk} {
		if read == nil {
			continue
		}
		var data []byte
		if data, err = read(name); err == nil && manifest.Sum(data) != f {
			err = fmt.Errorf("%w: %s", spool.ErrCorrupt, name)
		}
		if err == nil {
			s.p.count(func(n *counters) { n.chunks.Add(1) })
			return data, nil
		}
		if !elsewhere(err) {
			break
		}
	}
	return nil, err
}
