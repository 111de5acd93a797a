package logrep

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/internal/recent"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/replica"
	"github.com/boule-db/boule/store"
)

// What a Log remembers.
const (
	keptBlocks  = 8       // stored index blocks; each is of 256 MiB of a database and takes up to 1 MiB or so
	keptPatches = 64      // of those; each takes up to 200 KiB or so, and mostly some
	keptTails   = 8       // ends of entries, of up to headerGuess bytes
	keptHeader  = 1 << 16 // lengths of headers
	keptFrames  = 8 << 20 // bytes of frames with pages, as they are stored
)

// defaultJobs is how many requests are under way at a time. After many commits there are many small ones, which mostly wait.
const defaultJobs = 16

func jobsOrDefault(jobs int) int {
	if jobs <= 0 {
		return defaultJobs
	}
	return jobs
}

// A Log reads one replica. It is safe for concurrent use, and holds nothing that has to be closed.
type Log struct {
	packs, entries store.Store
	name           string

	blocks  *recent.Values[remotelog.Place, []remotelog.Chunk]    // nobody writes to one
	patches *recent.Values[remotelog.Place, []remotelog.Override] // nor to one of these
	tails   *recent.Values[uint64, []byte]                        // by number of the entry: what came with its header
	frames  *replica.Cache                                        // of frames as they are stored, by placeSum

	mu        sync.Mutex       // guards the following
	newest    *Head            // that Head returned
	copied    *Head            // by the copy, as it was read last; nil if there was none
	copyFault error            // what was wrong with the copy of its header; nil if nothing was
	asked     time.Time        // when that call began
	pruned    remotelog.Pruned // as it was read last
	listed    time.Time        // when that began; zero if it never was
	headers   map[uint64]int64 // lengths of the headers of entries
}

// New returns the log of the replica with that name (manifest.Name). packs is where it has its packs: the
// store of a target for chunks; entries is that for manifests. New does no I/O.
func New(packs, entries store.Store, name string) *Log {
	return &Log{
		packs:   packs,
		entries: entries,
		name:    name,
		blocks:  recent.New[remotelog.Place, []remotelog.Chunk](keptBlocks),
		patches: recent.New[remotelog.Place, []remotelog.Override](keptPatches),
		tails:   recent.New[uint64, []byte](keptTails),
		frames:  replica.NewCache(keptFrames),
		headers: map[uint64]int64{},
	}
}

// Name returns the name of the replica.
func (l *Log) Name() string { return l.name }

// object returns where an object with frames is.
func (l *Log) object(id remotelog.ObjectID) (s store.Store, key string) {
	if id.Part == 0 {
		return l.entries, remotelog.EntryKey(l.name, id.Entry)
	}
	return l.packs, remotelog.PackKey(l.name, id)
}

// header returns the length of the header of an entry, if it is known.
func (l *Log) header(number uint64) (length int64, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	length, known = l.headers[number]
	return length, known
}

// learn remembers the length of the header of an entry.
func (l *Log) learn(number uint64, length int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.headers) >= keptHeader {
		clear(l.headers)
	}
	l.headers[number] = length
}

// Block returns the chunks of index block b of e, verified: they have the fingerprints that
// e's digest is of. The result shares Layers with others, so those must not be changed.
func (l *Log) Block(ctx context.Context, e *remotelog.Entry, b int) ([]remotelog.Chunk, error) {
	chunks, err := l.block(ctx, e, b)
	if err != nil {
		return nil, inEntry(e, err)
	}
	return chunks, nil
}

func (l *Log) block(ctx context.Context, e *remotelog.Entry, b int) ([]remotelog.Chunk, error) {
	var stored []remotelog.Chunk
	var patch []remotelog.Override
	at := "no frame"
	if b >= 0 && b < len(e.Blocks) && !e.Blocks[b].Stored.IsZero() {
		block := &e.Blocks[b]
		at = l.describe(block.Stored)
		g, ctx := errgroup.WithContext(ctx)
		if !block.Patch.IsZero() {
			at += ", patched in " + l.describe(block.Patch)
			g.Go(func() (err error) {
				patch, err = l.Patch(ctx, block.Patch)
				return err
			})
		}
		g.Go(func() (err error) {
			stored, err = l.stored(ctx, block.Stored)
			return err
		})
		if err := g.Wait(); err != nil {
			return nil, fmt.Errorf("index block %d: %w", b, err)
		}
	}
	chunks, err := e.Block(b, stored, patch)
	if err != nil {
		return nil, l.inHeader(e, fmt.Errorf("%w; the block is kept in %s", err, at))
	}
	return chunks, nil
}

// stored returns the chunks of a stored index block.
func (l *Log) stored(ctx context.Context, p remotelog.Place) ([]remotelog.Chunk, error) {
	return decoded(ctx, l, l.blocks, p, remotelog.KindIndex, remotelog.DecodeIndex)
}

// Patch returns what a patch of an index block has, verified by the fingerprint of its frame. Nobody may write to the result.
func (l *Log) Patch(ctx context.Context, p remotelog.Place) ([]remotelog.Override, error) {
	return decoded(ctx, l, l.patches, p, remotelog.KindPatch, remotelog.DecodePatch)
}

// decoded returns what a frame has, and remembers it.
func decoded[T any](ctx context.Context, l *Log, known *recent.Values[remotelog.Place, []T], p remotelog.Place, kind remotelog.Kind,
	decode func(raw []byte) ([]T, error),
) ([]T, error) {
	if list, ok := known.Get(p); ok {
		return list, nil
	}
	raw, err := l.Frame(ctx, p, kind)
	if err != nil {
		return nil, err
	}
	list, err := decode(raw)
	if err != nil {
		return nil, l.inFrame(p, err)
	}
	known.Add(p, list)
	return list, nil
}

// AddPatch remembers what a patch has that the caller has written, so that it is not fetched. Nobody may write to it any more.
func (l *Log) AddPatch(p remotelog.Place, patch []remotelog.Override) { l.patches.Add(p, patch) }

// count returns how many chunks there are.
func count(e *remotelog.Entry) int { return manifest.Count(e.Size) }
