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

// cleanEvery spares most commits the listing of a directory that is nearly always empty.
const cleanEvery = time.Second

var buffers = sync.Pool{New: func() any { return new([manifest.ChunkSize]byte) }}

// A plan is what has to be done for one target, and how it went.
type plan struct {
	ts          *target
	base        *manifest.Manifest // what is staged; nil if nothing usable
	current     bool               // base describes the database: nothing to do
	incremental bool               // base describes it but for the dirty chunks

	list         []manifest.Fingerprint // of the chunks
	backfill     int                    // chunks from here on are read whatever is dirty
	copied       int                    // chunks processed
	sequence     uint64                 // of the manifest staged
	doomed       bool                   // go on without staging, to learn what is garbage
	err          error                  // nothing (more) was staged
	housekeeping error                  // staged, but not tidied up
}

// A builder reads the database once for several plans.
type builder struct {
	file  File
	view  view
	dirty *dirtySet
	plans []*plan
	buf   *[manifest.ChunkSize]byte
	first []byte // the first chunk
	yield func() bool

	mismatches int // clean chunks that had changed
}

func chunkCount(size int64) int { return int((size + manifest.ChunkSize - 1) / manifest.ChunkSize) }

// run fills the lists of all plans and stages what is new. The error is of reading the database,
// and concerns all plans; a plan's own is in the plan.
func (b *builder) run() error {
	n := chunkCount(b.view.size)
	from, full := n, false
	for _, p := range b.plans {
		p.begin(b.view.size)
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
	for _, i := range b.dirty.listed(from) {
		if i > 0 {
			if err := b.chunk(i); err != nil {
				return err
			}
		}
	}
	for i := max(from, 1); i < n; i++ {
		if err := b.chunk(i); err != nil {
			return err
		}
	}
	if err := b.chunk(0); err != nil {
		return err
	}
	if b.scrub(from) {
		return nil
	}
	return b.all()
}

// all goes through the whole database.
func (b *builder) all() error {
	for i := range chunkCount(b.view.size) {
		if err := b.chunk(i); err != nil {
			return err
		}
	}
	return nil
}

// begin prepares the list: that of the base, in the new length.
func (p *plan) begin(size int64) {
	n := chunkCount(size)
	p.list = make([]manifest.Fingerprint, n)
	if p.base == nil {
		return
	}
	copy(p.list, p.base.Chunks)
	p.backfill = len(p.base.Chunks)
	if p.base.Size != size {
		// The last chunk they have in common is partial in one of them, perhaps.
		p.backfill = max(min(p.backfill, n)-1, 0)
	}
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
	data := b.buf[:min(manifest.ChunkSize, b.view.size-off)]
	if n, err := readAt(b.file, data, off); err != nil {
		return err
	} else if n < len(data) {
		return fmt.Errorf("%w: %d bytes at %d instead of %d", ErrChanged, n, off, len(data))
	}
	f := manifest.Sum(data)
	if i == 0 {
		if manifest.HeaderSum(data) != b.view.header {
			return fmt.Errorf("%w: header", ErrChanged)
		}
		b.first = append([]byte(nil), data...)
	}
	for _, p := range b.plans {
		switch {
		case p.wants(i, b.dirty):
			p.put(i, f, data)
		case p.err == nil && p.list[i] != f:
			// Read for another plan, and found changed: from here on it is as good as full,
			// since all chunks before were read too.
			b.mismatches++
			p.put(i, f, data)
		}
	}
	return nil
}

// put enters chunk i in the list and stages it. The first chunk travels in the manifest, and the
// zero chunk is known to everybody.
func (p *plan) put(i int, f manifest.Fingerprint, data []byte) {
	p.list[i] = f
	p.copied++
	if i == 0 || f == manifest.ZeroChunk || p.doomed || p.has(i, f) {
		return
	}
	if p.err = p.ts.producer.StageChunk(f, data); p.err == nil || errors.Is(p.err, spool.ErrVanished) {
		return
	}
	// Snapshots that fail again and again, each of other content, must not fill the disk. Only
	// the complete list tells which of the staged chunks are garbage.
	n, err := p.ts.producer.Backlog()
	p.doomed = err == nil && n > 2*len(p.list)
}

// has says whether base promises that the chunk is in the spool or in the store.
func (p *plan) has(i int, f manifest.Fingerprint) bool {
	return p.base != nil && i > 0 && i < len(p.base.Chunks) && p.base.Chunks[i] == f
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
	data := b.buf[:min(manifest.ChunkSize, b.view.size-int64(i)*manifest.ChunkSize)]
	n, err := readAt(b.file, data, int64(i)*manifest.ChunkSize)
	f := manifest.Sum(data[:n])
	ok := true
	for _, p := range b.plans {
		if p.err == nil && (err != nil || p.list[i] != f) {
			p.incremental, ok = false, false
			b.mismatches++
		}
	}
	return ok
}

// publish stages the manifest, makes the snapshot ready, and tidies up.
func (p *plan) publish(name string, m *manifest.Manifest) error {
	data, err := manifest.Encode(m)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	producer := p.ts.producer
	refs := p.list[1:]
	if err := producer.StageManifest(name, data); err != nil {
		p.collect(refs)
		return err
	}
	p.sequence = m.Sequence
	// From here on the snapshot is taken, and the rest can be left to the next.
	published, err := producer.PublishReady(name, refs)
	if errors.Is(err, spool.ErrVanished) {
		return err
	}
	p.housekeeping = errors.Join(err, producer.CollectGarbage(published, refs, p.copied))
	if now := time.Now(); now.Sub(p.ts.cleaned) > cleanEvery {
		p.ts.cleaned = now
		p.housekeeping = errors.Join(p.housekeeping, producer.CleanScratch())
	}
	return producer.Finish()
}

// abandon tidies up after a failure, if the spool holds too much.
func (p *plan) abandon() {
	if p.doomed {
		p.collect(p.list[1:])
	}
	_ = p.ts.producer.CleanScratch()
}

// collect removes what neither the manifest that could not be staged nor the one that is
// references. Only a complete list may come here.
func (p *plan) collect(refs []manifest.Fingerprint) {
	if p.base != nil {
		refs = append(refs[:len(refs):len(refs)], p.base.Chunks...)
	}
	_ = p.ts.producer.CollectGarbage(false, refs, p.copied)
}
