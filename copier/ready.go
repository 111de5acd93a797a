package copier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// ready drains the ready snapshot. A snapshot left in consuming is continued; that there is a
// new one in consuming says that the one before was uploaded as a whole.
func (p *pass) ready(ctx context.Context) error {
	b, err := p.cons.TakeReady()
	if err != nil {
		return fmt.Errorf("take ready: %w", err)
	}
	if b == nil {
		return nil
	}
	defer b.Close()
	names, err := b.Chunks()
	if err != nil {
		return fmt.Errorf("list ready chunks: %w", err)
	}
	up := uploader{p: p, read: b.ReadChunk, remove: b.RemoveChunk}
	if err := up.upload(ctx, names); err != nil {
		return fmt.Errorf("upload ready chunks: %w", err)
	}
	if done, err := p.setAside(ctx, b, &up); done || err != nil {
		return err
	}
	if err := b.ChunksDone(); err != nil {
		return fmt.Errorf("finish ready chunks: %w", err)
	}
	names, err = b.Manifests()
	if err != nil {
		return fmt.Errorf("list ready manifests: %w", err)
	}
	if len(names) > 0 {
		if !p.spaced() {
			return nil
		}
		err = p.readyManifests(ctx, b, names)
		if err != nil && !errors.Is(err, ErrDesync) {
			return err
		}
	}
	return errors.Join(err, finish(b))
}

// readyManifests uploads the manifests of a batch whose chunks are all uploaded, and removes
// them. Those that cannot be completed any more are removed as well, for the staged one is at
// least as new: those that are superseded, not decodable, or lack chunks that the store lost.
func (p *pass) readyManifests(ctx context.Context, b *spool.Batch, names []string) error {
	bad, err := p.eachReady(b, names, func(m candidate) error {
		err := p.publish(ctx, m, nil)
		var missing *missingError
		if errors.Is(err, ErrSuperseded) || errors.As(err, &missing) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(bad, removeManifests(b, names))
}

// eachReady calls do with each manifest of a batch that no other copier has done with, until it fails. What only a snapshot
// helps is bad, and no reason to stop: that do fails with ErrDesync, and a manifest that is not one.
func (p *pass) eachReady(b *spool.Batch, names []string, do func(m candidate) error) (bad, err error) {
	for _, name := range names {
		data, err := b.ReadManifest(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return bad, fmt.Errorf("read ready manifest: %w", err)
		}
		m, err := manifest.Decode(data)
		if err != nil {
			err = p.demandSnapshot(fmt.Errorf("ready manifest %s: %w", name, err))
		} else {
			err = do(candidate{name: name, data: data, m: m})
		}
		if err != nil && !errors.Is(err, ErrDesync) {
			return bad, err
		}
		bad = errors.Join(bad, err)
	}
	return bad, nil
}

// publish uploads a manifest under the lock of the manifests, after it was verified if that is
// needed. It does nothing if still, which may be nil, says under the lock that the manifest is
// not wanted any more. A *missingError says that the store lacks one of its chunks.
func (p *pass) publish(ctx context.Context, m candidate, still func() (bool, error)) error {
	doubt, err := p.inDoubt(m.name)
	if err != nil {
		return err
	}
	// Before taking the lock, because it may take long. In doubt again below, for nothing then.
	if doubt {
		err = p.verify(ctx, m)
	} else {
		err = p.prove(ctx, m)
	}
	var missing *missingError
	if !doubt && errors.As(err, &missing) {
		return p.lost(m.name, missing)
	}
	if err != nil {
		return err
	}
	unlock, err := p.cons.LockMeta(ctx)
	if err != nil {
		return fmt.Errorf("lock manifests: %w", err)
	}
	defer unlock()
	if still != nil {
		if ok, err := still(); err != nil || !ok {
			return err
		}
	}
	return p.manifest(ctx, m)
}

func removeManifests(b *spool.Batch, names []string) error {
	for _, name := range names {
		if err := b.RemoveManifest(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove ready manifest: %w", err)
		}
	}
	return nil
}

func finish(b *spool.Batch) error {
	if err := b.Finish(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("finish ready: %w", err)
	}
	return nil
}
