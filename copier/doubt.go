package copier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// doubtFormat is the content of a tap that says: the store lacks something, and the last
// manifest uploaded had this sequence. Every copier of this boot heeds it.
const doubtFormat = "doubt %d\n"

// refusals is how many passes must see a chunk refused before the snapshot that has it is
// given up for a newer one that does not.
const refusals = 3

// demandSnapshot has the tracker told, when the pass ends, that only a full snapshot helps.
func (p *pass) demandSnapshot(reason error) error {
	if p.desync == nil {
		p.desync = reason
		p.count(func(n *counters) { n.desyncs.Add(1) })
	}
	return fmt.Errorf("%w: %w", ErrDesync, reason)
}

// lost takes note that the store lacks what it should hold.
func (p *pass) lost(name string, reason error) error {
	if err := p.markDoubt(name); err != nil {
		return err
	}
	return p.demandSnapshot(reason)
}

// markDoubt makes every copier of the spool, also after a crash of this one, look whether all
// chunks are in the store before it uploads a manifest under one of the names.
func (p *pass) markDoubt(names ...string) error {
	p.c.forget(p.e.remote)
	p.e.doubts[""] = true // until the taps say it, or if there is none to say it
	for _, name := range names {
		p.e.doubts[name] = true
		tap, err := p.readTap(name)
		if err != nil {
			return err
		}
		if err := p.e.root.WriteTap(p.e.key.Target, name, fmt.Appendf(nil, doubtFormat, tap.sequence)); err != nil {
			return fmt.Errorf("write tap: %w", err)
		}
	}
	if len(names) > 0 {
		delete(p.e.doubts, "")
	}
	return nil
}

// inDoubt reports whether the manifest needs to be verified.
func (p *pass) inDoubt(name string) (bool, error) {
	tap, err := p.readTap(name)
	return tap.doubt || p.e.doubts[""], err
}

// resolve forgets the doubts that some copier, maybe another one, has ended.
func (p *pass) resolve() error {
	for name := range p.e.doubts {
		if name == "" {
			continue
		}
		if tap, err := p.readTap(name); err == nil && !tap.doubt {
			delete(p.e.doubts, name)
		}
	}
	return nil
}

// verify looks whether all chunks and index blocks of the manifest are in the store, and returns a
// *missingError if not. What this process uploaded since the doubt arose is there; each other chunk costs a
// request.
func (p *pass) verify(ctx context.Context, m candidate) error {
	if !p.e.doubts[m.name] {
		// If another copier has found it out, what this one remembers may be gone.
		p.e.doubts[m.name] = true
		p.c.forget(p.e.remote)
	}
	return p.lookFor(ctx, m, nil)
}

// prove looks whether the chunks and index blocks of the manifest are in the store of which neither
// the last manifest there nor what this process uploaded says so. A chunk that has gone from the spool was uploaded
// by another copier, or deleted with the spool: somebody who removes a spool file by file may have
// come to the chunks and not to the manifest yet.
func (p *pass) prove(ctx context.Context, m candidate) error {
	tap, err := p.readTap(m.name)
	if err != nil {
		return err
	}
	var last *manifest.Manifest
	if tap.data != nil {
		if last, err = manifest.Decode(tap.data); err != nil {
			return fmt.Errorf("read tap: %w", err)
		}
	}
	return p.lookFor(ctx, m, last)
}

// lookFor asks the store for the chunks and index blocks of the manifest but those that the last
// manifest in the store, which may be nil, says are there.
func (p *pass) lookFor(ctx context.Context, m candidate, last *manifest.Manifest) error {
	generation := p.e.remote.generation.Load()
	c := comparison{m: m.m, last: last, read: p.blocks(ctx, nil)}
	for b := range m.m.Blocks {
		unknown, err := c.unknown(b)
		if errors.Is(err, manifest.ErrCorrupt) {
			return p.demandSnapshot(fmt.Errorf("manifest %s: %w", m.name, err))
		}
		if err != nil {
			return err
		}
		unknown = slices.DeleteFunc(unknown, func(sum manifest.Fingerprint) bool { return p.c.recent.has(generation, sum) })
		if err := p.askFor(ctx, unknown, generation); err != nil {
			return err
		}
	}
	return nil
}

// askFor asks the store whether it has chunks.
func (p *pass) askFor(ctx context.Context, unknown []manifest.Fingerprint, generation uint64) error {
	if len(unknown) == 0 {
		return nil
	}
	cl, err := p.stores(ctx)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(p.c.opts.ChunkUploads)
	for _, sum := range unknown {
		if gctx.Err() != nil {
			break
		}
		if p.givesWay() {
			err = errYield
			break
		}
		g.Go(func() error {
			return guard(func() error {
				there, err := p.head(gctx, cl.Chunks, sum.ChunkName())
				switch {
				case err != nil:
					return fmt.Errorf("look for chunk: %w", err)
				case !there:
					return &missingError{fmt.Sprintf("chunk %s is not in %s", sum.ChunkName(), cl.Chunks)}
				}
				p.c.recent.add(generation, sum)
				return nil
			})
		})
	}
	return firstErr(g.Wait(), err, ctx.Err())
}

// A missingError says that an object is not in the store.
type missingError struct{ msg string }

func (e *missingError) Error() string { return e.msg }

// dropCorrupt removes staged chunks whose content is not what their names say.
func (p *pass) dropCorrupt(up *uploader) error {
	names, err := p.stagedNames()
	if err != nil {
		return err
	}
	if err := p.markDoubt(names...); err != nil {
		return err
	}
	if err := up.drop(up.corrupt); err != nil {
		return err
	}
	return p.demandSnapshot(fmt.Errorf("%d staged chunks are corrupt, as %s", len(up.corrupt), up.corrupt[0]))
}

// setAside deals with chunks of a batch that will never be uploaded: its manifests are removed
// first, then those chunks. Done means that nothing is left of the batch.
func (p *pass) setAside(ctx context.Context, b *spool.Batch, up *uploader) (done bool, err error) {
	useless := up.corrupt
	if len(up.refused) > 0 {
		given, err := p.giveUp(ctx, up)
		if err != nil {
			return false, err
		}
		useless = append(useless, given...)
	}
	if len(useless) == 0 {
		return false, up.refusal()
	}
	names, err := b.Manifests()
	if err != nil {
		return false, fmt.Errorf("list ready manifests: %w", err)
	}
	staged, err := p.stagedNames()
	if err != nil {
		return false, err
	}
	if err := p.markDoubt(append(staged, names...)...); err != nil {
		return false, err
	}
	if err := removeManifests(b, names); err != nil {
		return false, err
	}
	if err := up.drop(useless); err != nil {
		return false, err
	}
	if len(up.corrupt) > 0 {
		err = p.demandSnapshot(fmt.Errorf("%d ready chunks are corrupt, as %s", len(up.corrupt), up.corrupt[0]))
	}
	if len(useless) < len(up.corrupt)+len(up.refused) {
		return false, errors.Join(err, up.refusal())
	}
	if e := b.ChunksDone(); e != nil {
		return false, errors.Join(err, fmt.Errorf("finish ready chunks: %w", e))
	}
	return true, errors.Join(err, finish(b))
}

// giveUp returns the refused chunks of a batch if the store has refused them often enough and
// a newer snapshot is staged that needs none of them.
func (p *pass) giveUp(ctx context.Context, up *uploader) ([]string, error) {
	often := true
	for name := range up.refused {
		p.e.rejected[name]++
		often = often && p.e.rejected[name] >= refusals
	}
	if !often {
		return nil, nil
	}
	staged, err := p.peekStaged()
	if err != nil || len(staged) == 0 {
		return nil, err
	}
	for _, m := range staged {
		if needed, err := p.needs(ctx, m.m, up); needed || err != nil {
			return nil, err
		}
	}
	var names []string
	for name, err := range up.refused {
		p.c.opts.Logger.Warn("snapshot given up: the store refuses a chunk",
			"db", p.meta.Path, "target", p.out.target, "chunk", name, "err", err)
		names = append(names, name)
	}
	return names, nil
}

// needs reports whether a manifest references something that the store refused. One whose chunks
// can't be told may.
func (p *pass) needs(ctx context.Context, m *manifest.Manifest, up *uploader) (needed bool, err error) {
	read := p.blocks(ctx, up.read)
	for b := range m.Blocks {
		err := references(m, b, read, func(f manifest.Fingerprint) bool {
			_, needed = up.refused[f.ChunkName()]
			return !needed
		})
		if needed || err != nil && cannotBeHad(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// stagedNames returns the names of the staged manifests.
func (p *pass) stagedNames() ([]string, error) {
	files, err := p.cons.StagedManifests()
	if err != nil {
		return nil, fmt.Errorf("open staged manifest: %w", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
		_ = f.Close() // read only
	}
	return names, nil
}

// drop removes chunks that will never be uploaded.
func (u *uploader) drop(names []string) error {
	for _, name := range names {
		if err := u.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove chunk %s: %w", name, err)
		}
	}
	return nil
}
