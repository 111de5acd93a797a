package copier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// staging uploads what is staged, unless something older is on its way: ready and consuming
// must be empty before and after. Contents move from staging to ready to consuming to the
// store, so only when these were seen empty in that order, after the manifest was opened, are
// all chunks of the manifest in the store.
func (p *pass) staging(ctx context.Context) error {
	busy, err := p.cons.Busy()
	if err != nil {
		return fmt.Errorf("look for ready: %w", err)
	}
	if busy {
		p.lookAgain(time.Now().Add(revisit))
		return nil
	}
	names, err := p.cons.StagedChunks()
	if err != nil {
		return fmt.Errorf("list staged chunks: %w", err)
	}
	if len(names) == 0 {
		if pending, err := p.stagedPending(); err != nil || !pending {
			return err
		}
	}
	if !p.spaced() {
		return nil
	}
	up := uploader{p: p, read: p.cons.ReadStagedChunk, remove: p.cons.RemoveStagedChunk, stop: p.cons.Busy}
	if err := up.upload(ctx, names); err != nil {
		return fmt.Errorf("upload staged chunks: %w", err)
	}
	if up.stopped {
		p.lookAgain(time.Now().Add(revisit))
		return nil
	}
	if len(up.corrupt) > 0 {
		return p.dropCorrupt(&up)
	}
	if err := up.refusal(); err != nil {
		return fmt.Errorf("upload staged chunks: %w", err)
	}

	staged, closeAll, err := p.openStaged()
	if err != nil {
		return err
	}
	defer closeAll()
	quiescent, err := p.cons.Quiescent()
	if err != nil {
		return fmt.Errorf("look for changes: %w", err)
	}
	if !quiescent {
		p.lookAgain(time.Now().Add(revisit))
		return nil
	}
	var bad error
	for _, m := range staged {
		err := p.stagedManifest(ctx, m)
		if err != nil && !errors.Is(err, ErrDesync) && !errors.Is(err, ErrSuperseded) {
			return err
		}
		bad = errors.Join(bad, err)
	}
	return bad
}

// stagedManifest uploads a staged manifest of which all chunks are in the store, if it is still
// the staged one.
func (p *pass) stagedManifest(ctx context.Context, m candidate) error {
	unchanged := func() (bool, error) { return p.unchanged(m) }
	err := p.publish(ctx, m, unchanged)
	var missing *missingError
	switch {
	case errors.As(err, &missing):
		return p.lost(m.name, missing)
	case !errors.Is(err, ErrSuperseded):
		return err
	}
	// Has another copier uploaded its successor just now? Else only a new snapshot helps, if
	// anything.
	if same, err := unchanged(); err != nil || !same {
		return err
	}
	if now := time.Now(); p.flush || now.Sub(p.e.superseded) > demandSpacing {
		p.e.superseded = now
		_ = p.demandSnapshot(err)
	}
	return err
}

func (p *pass) unchanged(m candidate) (bool, error) {
	same, err := p.cons.Unchanged(m.file)
	if err != nil {
		return false, fmt.Errorf("look for changes: %w", err)
	}
	if !same {
		p.lookAgain(time.Now().Add(revisit))
	}
	return same, nil
}

// A candidate is a manifest that may be uploaded.
type candidate struct {
	name string
	data []byte // as in the spool, not compressed
	m    *manifest.Manifest
	file *spool.StagedManifest // if it is a staged one
}

// openStaged returns the staged manifests, held open until closeAll. There is one, or none, or
// one for each host name that programs give themselves.
func (p *pass) openStaged() (staged []candidate, closeAll func(), err error) {
	files, err := p.cons.StagedManifests()
	if err != nil {
		return nil, nil, fmt.Errorf("open staged manifest: %w", err)
	}
	closeAll = func() {
		for _, f := range files {
			_ = f.Close() // read only
		}
	}
	for _, f := range files {
		data, err := f.Bytes()
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("read staged manifest: %w", err)
		}
		m, err := manifest.Decode(data)
		if err != nil {
			closeAll()
			return nil, nil, p.demandSnapshot(fmt.Errorf("staged manifest %s: %w", f.Name, err))
		}
		staged = append(staged, candidate{name: f.Name, data: data, m: m, file: f})
	}
	return staged, closeAll, nil
}

// peekStaged returns the staged manifests, closed.
func (p *pass) peekStaged() ([]candidate, error) {
	staged, closeAll, err := p.openStaged()
	if err != nil {
		return nil, err
	}
	closeAll()
	return staged, nil
}

// stagedPending reports whether a staged manifest is another one than that in the store.
func (p *pass) stagedPending() (bool, error) {
	staged, err := p.peekStaged()
	if err != nil {
		return false, err
	}
	for _, m := range staged {
		tap, err := p.readTap(m.name)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(tap.data, m.data) {
			return true, nil
		}
		p.current(m.m)
	}
	return false, nil
}

// A tapState is what is known of the manifest in the store.
type tapState struct {
	data     []byte // nil if not known
	exists   bool
	doubt    bool
	sequence uint64
}

// readTap reads the tap of the manifest. One that is not a manifest is a doubt.
func (p *pass) readTap(name string) (tapState, error) {
	data, _, err := p.e.root.Tap(p.e.key.Target, name)
	if errors.Is(err, fs.ErrNotExist) {
		return tapState{}, nil
	}
	if err != nil {
		return tapState{}, fmt.Errorf("read tap: %w", err)
	}
	sequence, doubt := TapSequence(data)
	t := tapState{exists: true, doubt: doubt, sequence: sequence}
	if !doubt {
		t.data = data
	}
	return t, nil
}

// TapSequence returns the sequence of the manifest that a tap says was uploaded last, and whether the store is in doubt since: something that it should have it lacks.
func TapSequence(tap []byte) (sequence uint64, doubt bool) {
	if m, err := manifest.Decode(tap); err == nil {
		return m.Sequence, false
	}
	_, _ = fmt.Sscanf(string(tap), doubtFormat, &sequence) // zero if it is not even that
	return sequence, true
}
