package doctor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
)

// asked is what a target was asked so far.
type asked struct {
	chunks, manifests store.Store
	err               error // why it is asked no more

	mu    sync.Mutex                      // guards what follows
	made  int                             // requests
	has   map[manifest.Fingerprint][]byte // with their content, if that is not what the name says
	read  int                             // chunks that were read
	short int                             // chunks that the budget did not suffice for, of the last look
	blind int                             // index blocks that it did not suffice for, whose chunks are not known
}

// byStore are the invariants that need the store.
var byStore = []string{"I4", "I5", "I13", "I14", "I15"}

// account reports what the store could not be asked.
func (a *asked) account(x *examination, path string) {
	switch {
	case a.err != nil:
		x.skip(path, "the store can't be asked: "+a.err.Error(), byStore...)
	case a.blind > 0:
		x.skip(path, fmt.Sprintf("%d requests did not suffice: %d index blocks were not fetched, so that their chunks are not known", x.opts.Requests, a.blind), "I4", "I5", "I13")
	case a.short > 0:
		x.skip(path, fmt.Sprintf("%d requests did not suffice: the store was not asked for %d chunks", x.opts.Requests, a.short), "I4", "I5", "I13")
	}
}

// take takes a request from the budget.
func (a *asked) take(x *examination) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.made >= x.opts.Requests {
		return false
	}
	a.made++
	x.report.Requests++
	return true
}

// ask asks the target of a spool for what the spool does not have itself; nil if it can't be asked.
// What a store has it keeps, so that is asked once; what it has not may have arrived by the next time.
func (x *examination) ask(ctx context.Context, s *Spool) *Stored {
	ctx, cancel := context.WithTimeoutCause(ctx, x.opts.Patience, fmt.Errorf("no answer within %v", x.opts.Patience))
	defer cancel()
	a := x.targets[s.Key.Target]
	if a == nil {
		a = &asked{has: map[manifest.Fingerprint][]byte{}}
		x.targets[s.Key.Target] = a
		a.chunks, a.manifests, a.err = x.opts.Open(ctx, s.Metadata.Target.Spec)
	}
	if a.err != nil {
		return nil
	}
	stored := NewStored()
	stored.Partial, stored.Absent = true, map[string]bool{}
	if own, ok := a.chunks.(interface{ OwnIndex() bool }); ok {
		stored.OwnIndex = own.OwnIndex()
	}
	// Manifests first: a view of a log knows by them of which states it is to show the chunks.
	names := map[string]bool{}
	for _, p := range slices.Concat([]*Place{s.Staging}, s.Ready, s.Consuming) {
		for name := range p.Manifests {
			names[name] = true
		}
	}
	var remote []*manifest.Manifest
	for name := range names {
		if !a.take(x) {
			break
		}
		data, _, err := store.ReadAll(ctx, a.manifests, name, manifest.MaxManifest)
		switch {
		case errors.Is(err, store.ErrNotExist):
			stored.Absent[name] = true
		case err != nil:
			return a.fail(ctx, err)
		default:
			stored.Manifests[name] = data
			remote = append(remote, stored.manifest(name))
		}
	}
	refs := map[manifest.Fingerprint]bool{}
	read := a.blocks(ctx, x, s, stored)
	a.blind = 0
	want := func(batches []*Place, where ...*Place) {
		for _, p := range batches {
			for _, f := range p.Manifests {
				for _, ref := range needed(f.Manifest, read) {
					if p.Chunks[ref] == nil && !slices.ContainsFunc(where, func(q *Place) bool { return q.Chunks[ref] != nil }) {
						refs[ref] = true
					}
				}
			}
		}
	}
	want([]*Place{s.Staging}, s.places()...)
	want(s.Ready, s.Consuming...)
	want(s.Consuming)
	if a.err != nil {
		return nil
	}
	// What the stored manifest needs must be there, whatever the spool has.
	for _, m := range remote {
		for _, f := range needed(m, read) {
			refs[f] = true
		}
	}
	if a.err != nil {
		return nil
	}
	return a.look(ctx, x, refs, stored)
}

// needed returns the references of a manifest, as far as its index blocks can be read.
func needed(m *manifest.Manifest, read manifest.BlockReader) []manifest.Fingerprint {
	if m == nil {
		return nil
	}
	refs, _ := References(m, read)
	return refs
}

// blocks reads index blocks from a spool, and else from the store, into what is known of that.
func (a *asked) blocks(ctx context.Context, x *examination, s *Spool, stored *Stored) manifest.BlockReader {
	local := reader(stored, s)
	return func(f manifest.Fingerprint) ([]byte, error) {
		name := f.ChunkName()
		if data, err := local(f); err == nil {
			return data, nil
		}
		if stored.Absent[name] || stored.Chunks[name] != nil || a.err != nil {
			return nil, errNotKnown // asked already
		}
		if data, ok := a.has[f]; ok && data != nil {
			stored.Chunks[name] = data
			return data, nil
		}
		if !a.take(x) {
			a.blind++
			return nil, errNotKnown
		}
		data, err := a.content(ctx, f)
		switch {
		case err == nil:
			a.has[f], stored.Chunks[name] = data, data
			return data, nil // it is checked by whoever applies it
		case errors.Is(err, store.ErrNotExist):
			stored.Absent[name] = true
		default:
			a.fail(ctx, err)
		}
		return nil, errNotKnown
	}
}

func (a *asked) fail(ctx context.Context, err error) *Stored {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	a.err = err
	return nil
}

// look asks for chunks, in random order, since the budget may not suffice for all.
func (a *asked) look(ctx context.Context, x *examination, refs map[manifest.Fingerprint]bool, stored *Stored) *Stored {
	var open []manifest.Fingerprint
	for f := range refs {
		if data, ok := a.has[f]; ok {
			stored.Chunks[f.ChunkName()] = data
		} else {
			open = append(open, f)
		}
	}
	rand.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	a.short = 0
	for i, f := range open {
		if !a.take(x) {
			a.short = len(open) - i
			break
		}
		content := a.read < readChunks
		if content {
			a.read++
		}
		g.Go(func() error {
			data, err := a.chunk(gctx, f, content)
			a.mu.Lock()
			defer a.mu.Unlock()
			switch {
			case err == nil:
				a.has[f], stored.Chunks[f.ChunkName()] = data, data
			case errors.Is(err, store.ErrNotExist):
				stored.Absent[f.ChunkName()] = true
			default:
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return a.fail(ctx, err)
	}
	return stored
}

// readChunks is how many chunks of a target are read. Of the others only the existence is asked.
const readChunks = 32

// chunk asks for a chunk, and returns what is there if that is something else.
func (a *asked) chunk(ctx context.Context, f manifest.Fingerprint, content bool) ([]byte, error) {
	if !content {
		_, err := a.chunks.Head(ctx, f.ChunkName())
		return nil, err
	}
	data, err := a.content(ctx, f)
	if err != nil || manifest.Sum(data) != f {
		return data, err
	}
	return nil, nil
}

// content returns the content of a chunk, or something else if that is what is there.
func (a *asked) content(ctx context.Context, f manifest.Fingerprint) ([]byte, error) {
	const most = 2 * manifest.ChunkSize // compressed
	body, _, err := store.ReadAll(ctx, a.chunks, f.ChunkName(), most)
	if errors.Is(err, store.ErrTooLarge) {
		return unreadable, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := manifest.DecompressChunk(body, f)
	if err != nil {
		return unreadable, nil
	}
	return data, nil
}
