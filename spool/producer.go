package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
)

// A Producer is the tracker's side of one spool. Its user holds at least a SHARED lock on the
// database from [Producer.Staged] to the end of a snapshot. It is not safe for concurrent use;
// several Producers, in any processes, may share one spool.
//
// A spool may be deleted at any moment. [Producer.Staged] makes it again; a later step of a
// snapshot fails with [ErrVanished] instead, since what the earlier steps staged is lost.
type Producer struct {
	root   *Root
	db     DB
	target Target
	key    Key

	dir     fsx.FS          // the spool; nil when closed
	id      fsx.Info        // its identity
	broken  bool            // something was found missing: mend it before the next snapshot
	pending int             // chunks processed since the last collection of garbage
	garbage []string        // staged chunks that are not needed, if not all have been removed
	spared  map[string]bool // of these, what was staged again
	staged  int             // chunks, about
	swelled int             // chunks staged since garbage was removed last
	next    *upcoming       // the next ready snapshot, if it was begun
	fresh   int             // chunks staged since it was gone on with
	last    seen            // the staged manifest, as far as it is known
	meta    fsx.Info        // of the metadata file, when it was read
}

// Key returns the key of the spool.
func (p *Producer) Key() Key { return p.key }

// reopen opens the spool by its path, making what is missing.
func (p *Producer) reopen() error {
	p.release()
	base, err := p.root.open(true)
	if err != nil {
		return err
	}
	defer base.Close()
	parent := p.root.name() + "/" + p.key.Mangled
	name := parent + "/" + p.key.dir()
	if _, err := base.Stat(name); errors.Is(err, fs.ErrNotExist) {
		if err := p.build(base, parent, name); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if p.dir, err = base.Sub(name); err != nil {
		p.dir = nil
		return err
	}
	if p.id, err = p.dir.Stat("."); err == nil {
		err = p.root.share.Load().judge(filepath.Join(p.root.Dir(), p.key.String()), p.id)
	}
	if err == nil {
		err = p.mend()
	}
	if err == nil {
		p.broken = false
		err = p.alive()
	}
	if err != nil {
		p.release()
	}
	return err
}

// build makes a complete new spool appear at once, unless somebody else is faster.
func (p *Producer) build(base fsx.FS, parent, name string) error {
	return unlessReplaced(func() error { return p.tryBuild(base, parent, name) })
}

func (p *Producer) tryBuild(base fsx.FS, parent, name string) (err error) {
	if err := p.root.ensureDir(base, parent); err != nil {
		return err
	}
	fresh := parent + "/" + newDir + p.root.unique()
	defer func() {
		if err != nil {
			_ = base.RemoveAll(fresh)
			_ = base.Remove(parent) // if it is empty
		}
	}()
	if err := p.root.mkdir(base, fresh); err != nil {
		return err
	}
	sub, err := base.Sub(fresh)
	if err != nil {
		return err
	}
	defer sub.Close()
	if err := p.furnish(sub); err != nil {
		return err
	}
	err = base.RenameDir(fresh, name)
	if errors.Is(err, fs.ErrExist) {
		return base.RemoveAll(fresh)
	}
	return err
}

// mend adds what is missing in an existing spool.
func (p *Producer) mend() error {
	err := p.furnish(p.dir)
	if err != nil {
		return err
	}
	// A target's id is made from its specification, so a difference is a fault of somebody.
	want := p.metadata()
	have, err := p.dir.ReadFile(metadataFile)
	if err == nil && !bytes.Equal(have, want) {
		err = p.publishMetadata(p.dir, want, true)
	}
	return err
}

func (p *Producer) furnish(dir fsx.FS) error {
	for _, sub := range []string{stagedChunks, stagedMeta, stagedIndex, stagedScratch} {
		if err := p.root.ensureDir(dir, sub); err != nil {
			return err
		}
	}
	if _, err := dir.Stat(metadataFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return p.publishMetadata(dir, p.metadata(), false)
}

func (p *Producer) publishMetadata(dir fsx.FS, data []byte, clobber bool) error {
	return p.root.publish(dir, stagedScratch+"/"+p.root.scratchName(), metadataFile, data, clobber)
}

func (p *Producer) metadata() []byte {
	target := p.target
	if len(target.Spec) == 0 {
		target.Spec = json.RawMessage("null")
	}
	data, err := json.Marshal(Metadata{Version: metadataVersion, Path: p.db.Path, Target: target})
	if err != nil { // the specification is not JSON
		data, _ = json.Marshal(Metadata{Version: metadataVersion, Path: p.db.Path, Target: Target{ID: target.ID, Spec: json.RawMessage("null")}})
	}
	return data
}

// alive fails with ErrVanished unless a spool is open, and is still the one at its path.
func (p *Producer) alive() error {
	if p.dir == nil || p.broken {
		return ErrVanished
	}
	now, err := p.root.opts.Lstat(filepath.Join(p.root.Dir(), p.key.String()))
	if err == nil && (now.Dev != p.id.Dev || now.Ino != p.id.Ino) {
		return ErrVanished
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (%s)", ErrVanished, err.Error())
	}
	return err
}

func (p *Producer) release() {
	p.next, p.garbage = nil, nil // they are in the spool that is closed
	p.last.forget()
	if p.dir != nil {
		p.dir.Close()
	}
	p.dir, p.id = nil, fsx.Info{}
}

// lost wraps the error of a step. That something does not exist means that the spool, or part
// of it, was removed.
func (p *Producer) lost(op string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		p.broken = true
		return fmt.Errorf("spool: %s: %w (%s)", op, ErrVanished, err.Error())
	}
	return fmt.Errorf("spool: %s: %w", op, err)
}

func (p *Producer) check(op string) error {
	err := p.alive()
	if err == nil {
		return nil
	}
	p.broken = p.broken || errors.Is(err, ErrVanished)
	return fmt.Errorf("spool: %s: %w", op, err)
}

// Staged begins a snapshot: it makes sure that the spool is there, and returns the staged
// manifest, or fs.ErrNotExist.
func (p *Producer) Staged(name string) (data []byte, err error) {
	if err := validName(name); err != nil {
		return nil, fmt.Errorf("spool: read staged manifest: %w", err)
	}
	p.last.forget()
	p.garbage = nil // another may need it now
	if p.alive() != nil || !p.described() {
		if err := p.reopen(); err != nil {
			return nil, p.lost("open", err)
		}
	}
	if p.meta, err = p.dir.Stat(metadataFile); err != nil {
		return nil, p.lost("read staged manifest", err)
	}
	f, err := p.dir.Open(stagedMeta + "/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := p.dir.Stat(stagedMeta); err != nil {
			return nil, p.lost("read staged manifest", err)
		}
		p.last = seen{name: name}
	}
	if err != nil {
		return nil, fmt.Errorf("spool: read staged manifest: %w", err)
	}
	data, err = p.last.read(name, f)
	if err != nil {
		return nil, fmt.Errorf("spool: read staged manifest: %w", err)
	}
	return data, nil
}

// Unchanged begins a snapshot as Staged does, if the spool is the one that this Producer had open,
// and what is staged in it is what Staged returned last, or what StageManifest
// staged after that, and if no other Producer called Collecting. Otherwise it returns false and changes nothing: then Staged is to be called.
func (p *Producer) Unchanged(name string) bool {
	if p.last.name != name || p.alive() != nil {
		return false
	}
	if same, err := p.sameMeta(); err != nil || !same {
		return false
	}
	now, err := p.dir.Stat(stagedMeta + "/" + name)
	if p.last.file == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return err == nil && now.Dev == p.last.info.Dev && now.Ino == p.last.info.Ino
}

// seen is the staged manifest that a Producer knows. The file is held open, so that no other one
// can have its identity.
type seen struct {
	name string // empty: none is known
	file fsx.File
	info fsx.Info // of the file; without a file nothing is staged under the name
}

func (s *seen) forget() {
	if s.file != nil {
		s.file.Close()
	}
	*s = seen{}
}

// set makes f what is known.
func (s *seen) set(name string, f fsx.File) error {
	s.forget()
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	*s = seen{name, f, info}
	return nil
}

// read is set that returns the content.
func (s *seen) read(name string, f fsx.File) ([]byte, error) {
	if err := s.set(name, f); err != nil {
		return nil, err
	}
	data := make([]byte, s.info.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, s.info.Size), data); err != nil {
		s.forget()
		return nil, err
	}
	return data, nil
}

// Collecting makes Unchanged return false for all other Producers of the spool, and Finish fail for those that are at it. Whoever collects
// garbage without having staged a manifest calls it first: chunks of a snapshot that another
// Producer is to go on with may be among it. If Unchanged is false then, another was faster.
func (p *Producer) Collecting() error {
	if p.dir == nil || p.broken {
		return p.check("collect garbage")
	}
	err := p.publishMetadata(p.dir, p.metadata(), true)
	if err == nil {
		p.meta, err = p.dir.Stat(metadataFile)
	}
	if err != nil {
		return p.lost("collect garbage", err)
	}
	return nil
}

func (p *Producer) described() bool {
	_, err := p.dir.Stat(metadataFile)
	return err == nil
}

// StageChunk makes the chunk present in the staging area. An existing one is left alone. After
// an error the chunk may be there or not, and StageChunk may be called again.
func (p *Producer) StageChunk(f manifest.Fingerprint, data []byte) error {
	if p.dir == nil || p.broken {
		return p.check("stage chunk")
	}
	name := stagedChunks + "/" + f.ChunkName()
	if _, err := p.dir.Stat(name); err == nil {
		p.note(f)
		return nil
	}
	// If another producer was faster, its file is replaced by one with the same content.
	if err := p.root.publish(p.dir, stagedScratch+"/"+p.root.scratchName(), name, data, true); err != nil {
		return p.lost("stage chunk", err)
	}
	p.staged++
	p.note(f)
	return nil
}

// StageManifest replaces the staged manifest. All the chunks that it references must have been
// staged before, or be referenced by the manifest that it replaces. After an error either of
// the two may be the staged one.
func (p *Producer) StageManifest(name string, data []byte) error {
	if err := validName(name); err != nil {
		return fmt.Errorf("spool: stage manifest: %w", err)
	}
	if p.dir == nil || p.broken {
		return p.check("stage manifest")
	}
	p.last.forget()
	scratch := stagedScratch + "/" + p.root.scratchName()
	f, err := fsx.PublishOpen(p.dir, scratch, stagedMeta+"/"+name, data, p.root.share.Load().file())
	if err != nil {
		return p.lost("stage manifest", err)
	}
	_ = p.last.set(name, f) // then it is read again
	return nil
}

// Finish ends a snapshot. It fails with [ErrVanished] if the spool is not the one at its path any
// more, so that nobody would find what was staged; and after it dropped the staged manifest if another Producer called Collecting since it
// began, and may have removed what that references.
func (p *Producer) Finish() error {
	const op = "finish snapshot"
	name := p.last.name
	if p.dir == nil || p.broken || name == "" {
		return p.check(op)
	}
	if same, err := p.sameMeta(); err != nil {
		return p.lost(op, err)
	} else if same {
		return p.check(op)
	}
	p.last.forget()
	if err := missingIsFine(p.dir.Remove(stagedMeta + "/" + name)); err != nil {
		return fmt.Errorf("spool: %s: %w", op, err)
	}
	return fmt.Errorf("spool: %s: %w (another process collected garbage meanwhile)", op, ErrVanished)
}

// sameMeta says whether the metadata file is the one that this Producer knows.
func (p *Producer) sameMeta() (bool, error) {
	now, err := p.dir.Stat(metadataFile)
	return err == nil && now.Ino == p.meta.Ino && now.ChangeTime.Equal(p.meta.ChangeTime), err
}

// DropStaged forgets the staged manifest: the next snapshot is full. After an error the
// manifest may still be there.
func (p *Producer) DropStaged(name string) error {
	if err := validName(name); err != nil {
		return fmt.Errorf("spool: drop staged manifest: %w", err)
	}
	if p.alive() != nil {
		if err := p.reopen(); err != nil {
			return fmt.Errorf("spool: drop staged manifest: %w", err)
		}
	}
	p.last.forget()
	if err := p.dir.Remove(stagedMeta + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spool: drop staged manifest: %w", err)
	}
	return nil
}

// Close releases the Producer, after it has removed what it left to later. If that fails, or another process was faster, others do it.
func (p *Producer) Close() error {
	if p.next != nil {
		_ = p.dir.RemoveAll(p.next.tmp)
	}
	// Nobody needs to hold a lock for that, as long as whoever is at a snapshot now notices.
	if len(p.garbage) > 0 && p.last.name != "" && p.Collecting() == nil && p.Unchanged(p.last.name) {
		for _, name := range p.garbage {
			if !p.spared[name] {
				_ = p.dir.Remove(stagedChunks + "/" + name)
			}
		}
	}
	p.release()
	p.broken = true
	return nil
}
