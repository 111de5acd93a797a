package tracker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// tellEvery is after how many chunks of one snapshot the copier is told that there are some: it need not
// wait for the manifest to upload them, and the spool need not hold all of them.
const tellEvery = 64

// cleanEvery spares most commits the listing of a directory that is nearly always empty.
const cleanEvery = time.Second

var buffers = sync.Pool{New: func() any { return new([manifest.ChunkSize]byte) }}

// A plan is what has to be done for one target, and how it went.
type plan struct {
	ts          *target
	opts        *Options
	hot         *hot               // what is known of its spool
	base        *manifest.Manifest // what is staged; nil if nothing usable
	current     bool               // base describes the database: nothing to do
	incremental bool               // base, or what hot has of its successor, describes it but for the dirty chunks

	demands      int    // of full snapshots, when it was made
	backfill     int    // chunks from here on are read whatever is dirty
	copied       int    // chunks processed
	sequence     uint64 // of the manifest staged
	doomed       bool   // go on without staging, to learn what is garbage
	err          error  // nothing (more) was staged
	housekeeping error  // staged, but not tidied up
}

func (p *plan) yielded() bool { return errors.Is(p.err, ErrYield) }

// A builder reads the database once for several plans.
type builder struct {
	file  File
	view  view
	dirty *dirtySet
	plans []*plan
	first []byte // the first chunk
	ahead ahead
	room  int // for so many chunks

	yielder Yielder   // nil: it does not give way
	until   time.Time // before that it does so only if there is no room to read on
	waited  bool      // somebody waits for it to give way

	read       int      // chunks
	mismatches int      // clean chunks that had changed
	left       dirtySet // when it gave way: chunks that it has not come to
}

func chunkCount(size int64) int { return int((size + manifest.ChunkSize - 1) / manifest.ChunkSize) }

// run fills the indexes of all plans and stages what is new. The error is of reading the database,
// and concerns all plans; a plan's own is in the plan. If it gave way, ahead has what is to be staged.
func (b *builder) run() error {
	if err := b.readAll(); err != nil {
		return err
	}
	if b.ahead.stage(b.yield); len(b.ahead.chunks) > 0 {
		return b.leave(ErrYield, nil, chunkCount(b.view.size))
	}
	return nil
}

// yield says whether to give way.
func (b *builder) yield() bool {
	b.waited = b.yielder != nil && b.yielder.Yield()
	return b.waited && (len(b.ahead.chunks) >= b.room || !time.Now().Before(b.until))
}

// readAll reads what run has to.
func (b *builder) readAll() error {
	n := chunkCount(b.view.size)
	from, full := n, false
	for _, p := range b.plans {
		if p.err = p.begin(b.view.size); p.err != nil {
			continue
		}
		if p.incremental {
			from = min(from, p.backfill)
		} else {
			full = true
		}
	}
	if full {
		return b.all()
	}
	from = int(min(int64(from), b.dirty.tail))
	listed := b.dirty.listed(from)
	for k, i := range listed {
		if i > 0 {
			if err := b.chunk(i); err != nil {
				return b.leave(err, listed[k:], from)
			}
		}
	}
	if err := b.rest(max(from, 1)); err != nil {
		return err
	}
	if err := b.chunk(0); err != nil {
		return b.leave(err, nil, n)
	}
	if b.scrub(from) {
		return nil
	}
	return b.all()
}

// all goes through the whole database.
func (b *builder) all() error { return b.rest(0) }

// rest goes through the database from chunk i on.
func (b *builder) rest(i int) error {
	for ; i < chunkCount(b.view.size); i++ {
		if err := b.chunk(i); err != nil {
			return b.leave(err, nil, i)
		}
		if (i+1)%manifest.BlockChunks == 0 {
			for _, p := range b.plans {
				if p.err == nil {
					p.err = p.fold()
				}
			}
		}
	}
	return nil
}

// leave notes what is left when the builder gives way: the listed chunks, and all from tail on.
func (b *builder) leave(err error, listed []int, tail int) error {
	if errors.Is(err, ErrYield) {
		b.left.reset()
		for _, i := range listed {
			b.left.add(int64(i))
		}
		b.left.add(0)
		if tail < chunkCount(b.view.size) {
			b.left.tail = int64(tail)
		}
	}
	return err
}

// needs returns how many chunks the plan is to read, given those that are dirty.
func (p *plan) needs(size int64, d *dirtySet) int {
	n := chunkCount(size)
	if !p.incremental {
		return n
	}
	from := int(min(int64(p.from(size)), d.tail))
	return len(d.listed(from)) + n - min(from, n)
}

// from returns the first chunk that the index does not know, or not in this size of the database.
func (p *plan) from(size int64) int {
	if p.hot.size == size {
		return p.hot.index.chunks
	}
	// The last chunk they have in common is partial in one of them, perhaps.
	return max(min(p.hot.index.chunks, chunkCount(size))-1, 0)
}

// begin gives the index the length that it needs now.
func (p *plan) begin(size int64) error {
	p.backfill = p.from(size)
	p.hot.size = size
	return p.hot.resize(chunkCount(size))
}

// wants says whether the plan needs chunk i to be read.
func (p *plan) wants(i int, d *dirtySet) bool {
	if p.err != nil && !p.doomed {
		return false
	}
	return !p.incremental || i == 0 || i >= p.backfill || d.has(i)
}

// chunk reads chunk i and stages it where it is new.
func (b *builder) chunk(i int) error {
	if b.yield() {
		return ErrYield
	}
	off := int64(i) * manifest.ChunkSize
	data := b.ahead.room()[:min(manifest.ChunkSize, b.view.size-off)]
	if n, err := readAt(b.file, data, off); err != nil {
		return err
	} else if n < len(data) {
		return fmt.Errorf("%w: %d bytes at %d instead of %d", ErrChanged, n, off, len(data))
	}
	if b.read++; b.read%tellEvery == 0 {
		for _, p := range b.plans {
			if p.err == nil {
				p.opts.NotifyPart(p.ts.key)
			}
		}
	}
	f := manifest.Sum(data)
	if i == 0 {
		if manifest.HeaderSum(data) != b.view.header {
			return fmt.Errorf("%w: header", ErrChanged)
		}
		b.first = append([]byte(nil), data...)
	}
	var missing []*plan
	for _, p := range b.plans {
		switch {
		case p.wants(i, b.dirty):
			if p.put(i, f) {
				missing = append(missing, p)
			}
		case p.err == nil:
			// Read for another plan.
			switch have, err := p.hot.index.get(i); {
			case err != nil:
				p.err = err
			case have != f:
				// From here on it is as good as full, since all chunks before were read too.
				b.mismatches++
				if p.put(i, f) {
					missing = append(missing, p)
				}
			}
		}
	}
	if len(missing) > 0 {
		b.ahead.add(f, len(data), missing)
	}
	if !b.waited {
		b.ahead.stage(b.yield)
	}
	return nil
}

// put enters chunk i in the index and says whether it is to be staged. It is not if it was there before: then the staged manifest
// promises that it is in the spool or in the store, or this snapshot has staged it already. The first
// chunk travels in the manifest, and the zero chunk is known to everybody.
func (p *plan) put(i int, f manifest.Fingerprint) (missing bool) {
	x := p.hot.index
	old, err := x.get(i)
	if err != nil {
		p.err = err
		return false
	}
	p.copied++
	if old == f {
		return false
	}
	stored := i > 0 && f != manifest.ZeroChunk
	if err := x.set(i, f); err != nil {
		p.err, p.doomed = err, false
		return false
	}
	if i > 0 && p.hot.release(old) {
		p.ts.producer.Drop(old)
	}
	if stored {
		p.hot.take(f)
	}
	return stored && !p.doomed
}

// stage stages a chunk that is in the index.
func (p *plan) stage(f manifest.Fingerprint, data []byte) {
	if p.err = p.ts.producer.StageChunk(f, data); p.err == nil || errors.Is(p.err, spool.ErrVanished) {
		return
	}
	// Snapshots that fail again and again, each of other content, must not fill the disk. Only
	// the complete list tells which of the staged chunks are garbage.
	n, err := p.ts.producer.Backlog()
	p.doomed = err == nil && n > 2*p.hot.index.chunks
}

// fold writes index blocks, if there are too many overrides.
func (p *plan) fold() error {
	h := p.hot
	return h.index.fold(p.opts.Overrides, func(f, old manifest.Fingerprint, list []byte) error {
		if err := p.ts.producer.StageBlock(f, list, h.index.names(f)); err != nil {
			return err
		}
		p.ts.folded = true
		h.take(f)
		if h.release(old) {
			p.ts.producer.Drop(old)
		}
		return nil
	})
}

// scrub reads one random clean chunk. It returns false if a plan has to become full.
func (b *builder) scrub(from int) bool {
	i := 0
	for range 16 {
		if from < 2 {
			return true
		}
		if i = 1 + rand.IntN(from-1); !b.dirty.has(i) {
			break
		}
		i = 0
	}
	if i == 0 {
		return true // nearly all chunks are dirty
	}
	data := b.ahead.room()[:min(manifest.ChunkSize, b.view.size-int64(i)*manifest.ChunkSize)]
	n, err := readAt(b.file, data, int64(i)*manifest.ChunkSize)
	f := manifest.Sum(data[:n])
	ok := true
	for _, p := range b.plans {
		if p.err != nil {
			continue
		}
		have, ierr := p.hot.index.get(i)
		if ierr != nil {
			p.err = ierr
			continue
		}
		if err != nil || have != f {
			p.incremental, ok = false, false
			b.mismatches++
		}
	}
	return ok
}

// publish stages the manifest, makes the snapshot ready, and tidies up.
func (p *plan) publish(name string, m *manifest.Manifest) error {
	began := time.Now()
	step := func(what string) {
		now := time.Now()
		p.opts.Observe(what, now.Sub(began))
		began = now
	}
	producer, h := p.ts.producer, p.hot
	if err := p.fold(); err != nil {
		return err
	}
	// Not before: others may have staged the same state meanwhile.
	m.Sequence = max(m.Sequence, uint64(max(time.Now().UnixNano(), 1)))
	m.Blocks = h.index.list()
	data, err := manifest.Encode(m)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	if err := producer.StageManifest(name, data); err != nil {
		p.collect()
		return err
	}
	m.First = nil // nobody asks for it
	h.staged(m)
	p.sequence = m.Sequence
	step("manifest")
	// From here on the snapshot is taken, and the rest can be left to the next.
	return p.makeReady(name, step)
}

// makeReady makes what is staged the ready snapshot, and tidies up. Both may be left unfinished.
func (p *plan) makeReady(name string, step func(what string)) error {
	producer, h := p.ts.producer, p.hot
	published, err := producer.PublishReady(name, h.needs)
	step("publish")
	if errors.Is(err, spool.ErrVanished) {
		return err
	}
	gerr := producer.CollectGarbage(published, h.index.chunks, p.copied, h.needs)
	if published && gerr == nil {
		h.published()
	}
	p.housekeeping = errors.Join(err, gerr)
	if now := time.Now(); now.Sub(p.ts.cleaned) > cleanEvery {
		p.ts.cleaned = now
		p.housekeeping = errors.Join(p.housekeeping, producer.CleanScratch())
		if p.ts.folded {
			p.ts.folded = false
			p.housekeeping = errors.Join(p.housekeeping, producer.CollectIndex(h.index.names))
		}
	}
	step("collect")
	return producer.Finish()
}

// goOn does a part of what the snapshot that is staged, which is current, has left.
func (p *plan) goOn(name string) error {
	producer := p.ts.producer
	if producer.Publishing() {
		return p.makeReady(name, func(string) {})
	}
	p.housekeeping = producer.CollectGarbage(false, p.hot.index.chunks, 0, p.hot.needs)
	return producer.Finish()
}

// abandon tidies up after a failure, if the spool holds too much.
func (p *plan) abandon() {
	if p.doomed {
		p.collect()
	}
	_ = p.ts.producer.CleanScratch()
}

// tidy does so after giving way: others may have changed again and again what was staged already.
func (p *plan) tidy(name string) {
	if producer := p.ts.producer; producer.Unswept() || producer.Bulk() > 2*p.hot.index.chunks {
		p.collectEarly(name)
	}
	// Where an error would be met again.
	_ = p.ts.producer.PrepareReady()
}

// collect removes what neither the index as far as it is known nor the manifest that is staged
// references.
func (p *plan) collect() {
	if p.ts.producer.Collecting() == nil {
		p.sweep()
	}
}

// collectEarly is collect before anything was staged, by one who knows what is, and does not interfere with others who have staged meanwhile.
func (p *plan) collectEarly(name string) {
	if producer := p.ts.producer; producer.Collecting() == nil && producer.Unchanged(name) {
		p.sweep()
	}
}

func (p *plan) sweep() {
	_ = p.ts.producer.CollectGarbage(false, p.hot.index.chunks, p.copied, p.hot.needs)
}
