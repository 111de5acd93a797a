package spooltest

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// A Toy is the least copier: it moves what is in one spool to a Remote, in the order of
// SPOOL.md, one step at a time, so that tests can do something between any two steps.
type Toy struct {
	open   func() (*spool.Consumer, error)
	remote *Remote
	found  []doctor.Violation

	next func() (struct{}, bool)
	stop func()
	err  error
}

// NewToy returns a Toy for the spool that open opens.
func NewToy(remote *Remote, open func() (*spool.Consumer, error)) *Toy {
	return &Toy{open: open, remote: remote}
}

// Violations returns what went wrong so far: manifests uploaded before their chunks (I13) or
// after newer ones (I14), and damaged files (I1).
func (t *Toy) Violations() []doctor.Violation { return t.found }

// Step takes one step of a pass, and begins a pass if there is none. Done says that a pass ended.
func (t *Toy) Step() (done bool, err error) {
	if t.next == nil {
		t.err = nil
		t.next, t.stop = iter.Pull(iter.Seq[struct{}](func(yield func(struct{}) bool) {
			t.err = t.pass(func() bool { return yield(struct{}{}) })
		}))
	}
	if _, ok := t.next(); ok {
		return false, nil
	}
	t.Crash()
	return true, t.err
}

// Pass takes all steps of a pass, or what is left of one.
func (t *Toy) Pass() error {
	for {
		if done, err := t.Step(); done {
			return err
		}
	}
}

// Crash ends a pass where it stands.
func (t *Toy) Crash() {
	if t.stop != nil {
		t.stop()
	}
	t.next, t.stop = nil, nil
}

var errCrash = errors.New("crash")

func (t *Toy) pass(yield func() bool) error {
	c, err := t.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	step := func(errs ...error) error {
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if !yield() {
			return errCrash
		}
		return nil
	}
	err = step(c.Tidy())
	if err == nil {
		err = t.ready(c, step)
	}
	if err == nil {
		err = t.staged(c, step)
	}
	if err == nil {
		err = t.ready(c, step)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errCrash) {
		return nil // the spool vanished
	}
	return err
}

func (t *Toy) ready(c *spool.Consumer, step func(...error) error) error {
	b, err := c.TakeReady()
	if err != nil || b == nil {
		return err
	}
	defer b.Close()
	if err := step(); err != nil {
		return err
	}
	chunks, err := b.Chunks()
	if err != nil {
		return err
	}
	for _, name := range chunks {
		data, err := b.ReadChunk(name)
		if err != nil {
			return err
		}
		if err := step(t.putChunk(name, data)); err != nil {
			return err
		}
		if err := step(b.RemoveChunk(name)); err != nil {
			return err
		}
	}
	if err := step(b.ChunksDone()); err != nil {
		return err
	}
	manifests, err := b.Manifests()
	if err != nil {
		return err
	}
	for _, name := range manifests {
		data, err := b.ReadManifest(name)
		if err != nil {
			return err
		}
		if err := step(t.putManifest(name, data)); err != nil {
			return err
		}
		if err := step(b.RemoveManifest(name)); err != nil {
			return err
		}
	}
	return step(b.Finish())
}

func (t *Toy) staged(c *spool.Consumer, step func(...error) error) error {
	names, err := c.StagedChunks()
	if err != nil {
		return err
	}
	for _, name := range names {
		if busy, err := c.Busy(); err != nil || busy {
			return err
		}
		data, err := c.ReadStagedChunk(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := step(err); err != nil {
			return err
		}
		if err := step(t.putChunk(name, data)); err != nil {
			return err
		}
		if err := step(c.RemoveStagedChunk(name)); err != nil {
			return err
		}
	}
	manifests, err := c.StagedManifests()
	if err != nil {
		return err
	}
	for _, m := range manifests {
		defer m.Close()
	}
	if err := step(); err != nil {
		return err
	}
	if quiet, err := c.Quiescent(); err != nil || !quiet {
		return err
	}
	for _, m := range manifests {
		if err := step(); err != nil {
			return err
		}
		same, err := c.Unchanged(m)
		if err != nil {
			return err
		}
		if !same {
			continue
		}
		data, err := m.Bytes()
		if err := step(err); err != nil {
			return err
		}
		if err := step(t.putManifest(m.Name, data)); err != nil {
			return err
		}
	}
	return nil
}

func (t *Toy) putChunk(name string, data []byte) error {
	if f, err := manifest.ParseChunkName(name); err != nil || manifest.Sum(data) != f {
		t.bad("I1", name, "content has another fingerprint")
	}
	t.remote.Chunks[name] = data
	return nil
}

func (t *Toy) putManifest(name string, data []byte) error {
	m, err := manifest.Decode(data)
	if err != nil {
		t.bad("I1", name, "%v", err)
		return nil
	}
	refs, err := doctor.References(m, t.remote.block)
	if err != nil {
		t.bad("I13", name, "uploaded without index: %v", err)
	}
	for i, f := range refs {
		if t.remote.Chunks[f.ChunkName()] == nil {
			t.bad("I13", name, "uploaded without chunk %d of %d, %v", i+1, len(refs), f)
		}
	}
	if old, err := manifest.Decode(t.remote.Manifests[name]); err == nil && old.Sequence > m.Sequence {
		t.bad("I14", name, "uploaded %d after %d", m.Sequence, old.Sequence)
	}
	t.remote.Manifests[name] = data
	return nil
}

func (t *Toy) bad(invariant, path, format string, args ...any) {
	t.found = append(t.found, doctor.Violation{Invariant: invariant, Path: path, Detail: fmt.Sprintf(format, args...)})
}
