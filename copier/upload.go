package copier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// maxRefused is how many chunks the store may refuse before a pass gives up.
const maxRefused = 4

// An uploader uploads the chunk files of a directory and removes each when the store has it.
type uploader struct {
	p      *pass
	read   func(name string) ([]byte, error)
	remove func(name string) error
	stop   func() (bool, error) // asked now and then whether to stop; may be nil

	stopped bool // because stop said so

	mu      sync.Mutex // guards what follows, while upload runs
	corrupt []string   // those whose content is not what their names say: left alone
	refused map[string]error
}

// upload goes through the names. A chunk that the store refuses for itself, and one that is
// corrupt, do not keep the others from being uploaded; any other failure ends it.
func (u *uploader) upload(ctx context.Context, names []string) error {
	pending := &u.p.e.counts.pending
	pending.Add(int64(len(names)))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(u.p.c.opts.ChunkUploads)
	var err error
	for i, name := range names {
		if gctx.Err() != nil {
			err = ctx.Err() // or that of the group
			break
		}
		if u.p.givesWay() {
			err = errYield
			break
		}
		if u.stop != nil && i%stride == 0 {
			if u.stopped, err = u.stop(); u.stopped || err != nil {
				break
			}
		}
		g.Go(func() error {
			return guard(func() error {
				err := u.chunk(gctx, name)
				if err == nil {
					pending.Add(-1)
				}
				return err
			})
		})
	}
	return firstErr(g.Wait(), err)
}

// firstErr returns the first error that is one.
func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// chunk uploads one chunk file and removes it.
func (u *uploader) chunk(ctx context.Context, name string) error {
	p := u.p
	sum, err := manifest.ParseChunkName(name)
	generation := p.e.remote.generation.Load()
	switch {
	case err != nil:
		u.note(name, nil)
		return nil
	case sum == manifest.ZeroChunk, p.c.recent.has(generation, sum):
		p.count(func(n *counters) { n.skipped.Add(1) })
	default:
		data, err := u.read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // uploaded by another copier, or garbage by now
		case errors.Is(err, spool.ErrCorrupt), err == nil && manifest.Sum(data) != sum:
			u.note(name, nil)
			return nil
		case err != nil:
			return fmt.Errorf("read chunk %s: %w", name, err)
		}
		cl, err := p.stores(ctx)
		if err != nil {
			return err
		}
		if err := p.put(ctx, cl.Chunks, name, p.c.cores.compress(data)); err != nil {
			err = fmt.Errorf("put chunk %s: %w", name, err)
			if !isOutage(err) && ctx.Err() == nil && u.note(name, err) < maxRefused {
				return nil
			}
			return err
		}
		p.count(func(n *counters) { n.chunks.Add(1) })
		p.c.recent.add(generation, sum)
	}
	if err := u.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove chunk %s: %w", name, err)
	}
	return nil
}

// note sets a chunk aside, as corrupt or as refused by the store, and returns how many are.
func (u *uploader) note(name string, refusal error) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if refusal == nil {
		u.corrupt = append(u.corrupt, name)
		return len(u.corrupt)
	}
	if u.refused == nil {
		u.refused = make(map[string]error)
	}
	u.refused[name] = refusal
	return len(u.refused)
}

// refusal returns why the store refused chunks, if it did.
func (u *uploader) refusal() error {
	var errs []error
	for _, err := range u.refused {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// manifest uploads a manifest of which all chunks are in the store, as far as the spool knows.
// The caller holds the lock of the manifests. ErrSuperseded: it was not uploaded, because it is
// older than the one in the store. ErrDesync: it was not uploaded, because the store lost what
// it had; demandSnapshot was called. A *missingError: because the store lacks a chunk.
func (p *pass) manifest(ctx context.Context, m candidate) error {
	token := p.e.root.TapToken(p.e.key.Target, m.name)
	tap, err := p.readTap(m.name)
	if err != nil {
		return err
	}
	switch {
	case tap.data != nil && string(tap.data) == string(m.data):
		p.current(m.m)
		return nil
	case m.m.Sequence < tap.sequence:
		return fmt.Errorf("%w: sequence %d is staged, %d uploaded", ErrSuperseded, m.m.Sequence, tap.sequence)
	}
	cl, err := p.stores(ctx)
	if err != nil {
		return err
	}
	generation := p.e.remote.generation.Load()
	if tap.exists && !tap.doubt && p.e.checked[m.name] != generation {
		there, err := p.head(ctx, cl.Manifests, m.name)
		if err != nil {
			return fmt.Errorf("look for manifest: %w", err)
		}
		if !there {
			return p.lost(m.name, fmt.Errorf("manifest %s is gone from %s", m.name, cl.Manifests))
		}
	}
	if tap.doubt || p.e.doubts[""] {
		if err := p.verify(ctx, m); err != nil {
			return err
		}
	}

	err = p.put(ctx, cl.Manifests, m.name, p.c.cores.compress(m.data))
	p.e.allowedAt = time.Now().Add(p.c.opts.Spacing)
	if err != nil {
		err = fmt.Errorf("put manifest: %w", err)
	}
	// Another copier may have lost the patience to wait for the lock, and uploaded another one
	// meanwhile. Then nobody knows which of the two came last, also if the put failed, for it may
	// have been carried out. The tap must not say that it was the newer: so the older stands
	// there, and the staged manifest is uploaded again.
	defer p.cons.LockTap()()
	now, terr := p.readTap(m.name)
	if terr != nil {
		return errors.Join(err, terr)
	}
	raced := string(now.data) != string(tap.data) || now.sequence != tap.sequence ||
		token != p.e.root.TapToken(p.e.key.Target, m.name)
	if raced {
		p.lookAgain(time.Now())
	}
	if terr := p.e.root.RenewTapToken(p.e.key.Target, m.name); terr != nil {
		return errors.Join(err, terr)
	}
	switch {
	case err != nil && (!raced || now.sequence < m.m.Sequence):
		return err
	case raced && now.sequence < m.m.Sequence:
		return nil
	}
	if terr := p.e.root.WriteTap(p.e.key.Target, m.name, m.data); terr != nil || err != nil {
		if terr != nil {
			terr = fmt.Errorf("write tap: %w", terr)
		}
		return errors.Join(err, terr)
	}
	delete(p.e.doubts, m.name)
	delete(p.e.doubts, "")
	clear(p.e.rejected)
	p.e.checked[m.name] = generation
	p.count(func(n *counters) { n.manifests.Add(1) })
	p.acknowledged(m)
	p.current(m.m)
	return nil
}

// current notes that the store holds the manifest, as far as the tap knows.
func (p *pass) current(m *manifest.Manifest) { p.out.sequence = m.Sequence }
