package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
)

// PublishReady makes what is staged the ready snapshot, unless there is one already. refs returns
// the chunks, index blocks among them, that the staged manifest called name references, those at
// least that are in the staging area. After an error, as after false, the ready snapshot is as it
// was, and PublishReady may be called again.
func (p *Producer) PublishReady(name string, refs func() []manifest.Fingerprint) (published bool, err error) {
	if err := validName(name); err != nil {
		return false, fmt.Errorf("spool: publish ready: %w", err)
	}
	if p.dir == nil || p.broken {
		return false, p.check("publish ready")
	}
	// Whatever is in ready, no directory can be renamed onto it.
	switch some, err := nonEmpty(p.dir, readyDir); {
	case err != nil:
		return false, fmt.Errorf("spool: publish ready: %w", err)
	case some:
		return false, nil
	}
	tmp := stagedScratch + "/" + p.root.scratchName()
	err = p.buildReady(tmp, name, refs())
	if err == nil {
		if err = p.dir.RenameDir(tmp, readyDir); err == nil {
			return true, nil
		}
	}
	if rerr := p.dir.RemoveAll(tmp); rerr != nil {
		err = errors.Join(err, rerr)
	} else if errors.Is(err, fs.ErrExist) {
		return false, nil // another producer was faster
	}
	if errors.Is(err, fs.ErrNotExist) {
		// Another producer may have cleaned the scratch directory away, which is no harm, or
		// the whole spool may be gone.
		return false, p.check("publish ready")
	}
	return false, fmt.Errorf("spool: publish ready: %w", err)
}

// buildReady links the snapshot into a directory of its own. A chunk that is not in the staging
// area any more was uploaded; a missing manifest means that the spool is being removed.
//
// Only the manifest that refs belongs to goes in: a manifest must not be in ready without those
// of its chunks that are not in the store yet.
func (p *Producer) buildReady(tmp, name string, refs []manifest.Fingerprint) error {
	staged, err := p.dir.ReadDir(stagedChunks)
	if err != nil {
		return err
	}
	sub := tmp + "/" + p.root.unique()
	for _, dir := range []string{tmp, sub, sub + "/" + chunksDir, sub + "/" + metaDir} {
		if err := p.root.mkdir(p.dir, dir); err != nil {
			return err
		}
	}
	for _, chunk := range only(staged, refs) {
		err := p.link(stagedChunks+"/"+chunk, sub+"/"+chunksDir+"/"+chunk)
		if errors.Is(err, fs.ErrNotExist) {
			if _, serr := p.dir.Stat(stagedChunks + "/" + chunk); errors.Is(serr, fs.ErrNotExist) {
				continue
			}
		}
		if err != nil {
			return err
		}
	}
	// If tmp was removed meanwhile, this fails: nothing incomplete is ever published.
	return p.linkManifest(stagedMeta+"/"+name, sub+"/"+metaDir+"/"+name)
}

// link gives a file a second name, or copies it where links are not allowed: Linux has it that who
// links a file of another user must be allowed to write to it (fs.protected_hardlinks).
func (p *Producer) link(from, to string) error {
	err := p.dir.Link(from, to)
	if errors.Is(err, fs.ErrPermission) {
		return p.copyFile(from, to)
	}
	return err
}

// linkManifest is link that changes the identity of what it links, as a link does.
func (p *Producer) linkManifest(from, to string) error {
	err := p.dir.Link(from, to)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err := p.copyFile(from, from); err != nil {
		return err
	}
	return p.link(from, to)
}

func (p *Producer) copyFile(from, to string) error {
	data, err := p.dir.ReadFile(from)
	if err != nil {
		return err
	}
	return p.root.publish(p.dir, stagedScratch+"/"+p.root.scratchName(), to, data, true)
}

// only returns those of the chunk names whose chunks are in refs, in order.
func only(names []string, refs []manifest.Fingerprint) []string {
	if len(names) == 0 {
		return nil
	}
	needed := make(map[manifest.Fingerprint]bool, len(refs))
	for _, f := range refs {
		needed[f] = true
	}
	var found []string
	for _, name := range names {
		if f, err := manifest.ParseChunkName(name); err == nil && needed[f] {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// CollectGarbage removes staged chunks that are not needed any more: all of them if the snapshot
// was published, since ready has them; otherwise, from time to time, those that refs does not return.
// refs returns those, of the staged ones at least, that the staged manifest, or one about to replace
// it, references; total is the number of chunks of the database, and copied of those that the
// snapshot processed. Chunks that other manifests in this spool reference stay. CollectGarbage may be
// called again after an error.
func (p *Producer) CollectGarbage(published bool, total, copied int, refs func() []manifest.Fingerprint) error {
	if p.dir == nil || p.broken {
		return p.check("collect garbage")
	}
	p.pending += copied + 1
	if !published && !p.unswept && copied < p.root.opts.intN(total/4+1) && p.pending/2 < total {
		return nil
	}
	var keep []manifest.Fingerprint
	if !published {
		keep = refs()
	}
	if err := p.collect(keep, total); err != nil {
		return fmt.Errorf("spool: collect garbage: %w", err)
	}
	p.pending = 0
	return nil
}

// Unswept says that the last CollectGarbage left some.
func (p *Producer) Unswept() bool { return p.unswept }

// maxSweep is how many chunks are removed at a time, since a writer may be waiting: the next call goes on. If there are more
// than the database has, and those, all of it is done at once.
const maxSweep = 256

func (p *Producer) collect(refs []manifest.Fingerprint, total int) error {
	p.unswept = false
	names, err := p.dir.ReadDir(stagedChunks)
	if err != nil || len(names) == 0 {
		return missingIsFine(err)
	}
	keep := make(map[manifest.Fingerprint]bool, len(refs))
	for _, f := range refs {
		keep[f] = true
	}
	manifests, err := p.dir.ReadDir(stagedMeta)
	if err != nil {
		return missingIsFine(err)
	}
	if len(manifests) > 1 { // of the same file under another host name
		for _, name := range manifests {
			m, err := p.staged(name)
			if err != nil {
				return err
			}
			// The one published last is among them, at the price of some links.
			for _, f := range m {
				keep[f] = true
			}
		}
	}
	var first error
	swept := 0
	for _, name := range names {
		if f, err := manifest.ParseChunkName(name); err == nil && keep[f] {
			continue
		}
		if swept++; swept > maxSweep && len(names) <= total+maxSweep {
			p.unswept = true
			break
		}
		if err := missingIsFine(p.dir.Remove(stagedChunks + "/" + name)); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// staged returns what a staged manifest references; nothing if nobody can read it, or make out
// what it lists.
func (p *Producer) staged(name string) ([]manifest.Fingerprint, error) {
	data, err := p.dir.ReadFile(stagedMeta + "/" + name)
	if err != nil {
		return nil, missingIsFine(err)
	}
	m, err := manifest.Decode(data)
	if err != nil {
		return nil, nil
	}
	list, err := m.List(p.ReadBlock)
	if err != nil {
		return nil, nil
	}
	for i := range m.Blocks {
		list = append(list[:len(list):len(list)], m.Blocks[i].Stored)
	}
	return list, nil
}

// StagedChunks returns the names of the files in the staging area for chunks.
func (p *Producer) StagedChunks() ([]string, error) {
	if p.dir == nil || p.broken {
		return nil, p.check("list staged chunks")
	}
	names, err := p.dir.ReadDir(stagedChunks)
	if err != nil {
		return nil, p.lost("list staged chunks", err)
	}
	return names, nil
}

// Backlog returns the number of files in the staging area for chunks.
func (p *Producer) Backlog() (int, error) {
	if p.dir == nil {
		return 0, nil
	}
	names, err := p.dir.ReadDir(stagedChunks)
	if err != nil {
		return 0, fmt.Errorf("spool: count chunks: %w", missingIsFine(err))
	}
	return len(names), nil
}

// CleanScratch removes what interrupted producers left: files of some age, and directories of
// any, since whoever is still building one loses no more than that attempt.
func (p *Producer) CleanScratch() error {
	if p.dir == nil || p.broken {
		return p.check("clean scratch")
	}
	names, err := p.dir.ReadDir(stagedScratch)
	if err != nil {
		return p.lost("clean scratch", err)
	}
	var first error
	for _, name := range names {
		if err := missingIsFine(p.cleanOne(stagedScratch + "/" + name)); err != nil && first == nil {
			first = fmt.Errorf("spool: clean scratch: %w", err)
		}
	}
	return first
}

func (p *Producer) cleanOne(name string) error {
	info, err := p.dir.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return p.removeOld(name, info)
	}
	// Renamed first, so that nobody can publish it half removed.
	gone := stagedScratch + "/" + p.root.scratchName()
	if err := p.dir.RenameDir(name, gone); err != nil {
		return err
	}
	return p.dir.RemoveAll(gone)
}

// cleanOld removes a file of some age.
func (p *Producer) cleanOld(name string) error {
	info, err := p.dir.Stat(name)
	if err == nil {
		err = p.removeOld(name, info)
	}
	return missingIsFine(err)
}

func (p *Producer) removeOld(name string, info fsx.Info) error {
	// A time in the future says nothing about the age.
	if age := p.root.opts.since(info.ChangeTime); age >= 0 && age < p.root.opts.ScratchAge {
		return nil
	}
	return p.dir.Remove(name)
}
