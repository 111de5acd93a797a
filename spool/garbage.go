package spool

import (
	"fmt"

	"github.com/boule-db/boule/manifest"
)

// maxSweep is how many chunks are removed at a time beyond those staged since, since a writer may be waiting: the next call goes on. For each
// that was staged there may be one that is needed no more: twice as many, so that it comes to an end whatever is written meanwhile.
const maxSweep = 256

// CollectGarbage removes staged chunks that are not needed any more: all of them if the snapshot was published, since ready has
// them; otherwise, from time to time, those that needed does not know. needed says whether the staged manifest, or one about to
// replace it, references a chunk that is staged; total is the number of chunks of the database, and copied of those that
// the snapshot processed. Chunks that other manifests in this spool reference stay. Much garbage is removed a part at a time: see
// Unswept. CollectGarbage may be called again after an error.
func (p *Producer) CollectGarbage(published bool, total, copied int, needed func(manifest.Fingerprint) bool) error {
	if p.dir == nil || p.broken {
		return p.check("collect garbage")
	}
	p.pending += copied + 1
	if !published && len(p.garbage) == 0 && copied < p.root.opts.intN(total/4+1) && p.pending/2 < total {
		return nil
	}
	if published {
		p.garbage = nil
		needed = func(manifest.Fingerprint) bool { return false }
	}
	if err := p.collect(needed); err != nil {
		return fmt.Errorf("spool: collect garbage: %w", err)
	}
	return nil
}

// Unswept says that the last CollectGarbage left some.
func (p *Producer) Unswept() bool { return len(p.garbage) > 0 }

// Unfinished says that something is left to do although a manifest was staged: PublishReady made a part of it ready, or CollectGarbage left some.
func (p *Producer) Unfinished() bool { return p.Publishing() || p.Unswept() }

// Bulk is about how many chunks are staged, at least if no consumer has uploaded some.
func (p *Producer) Bulk() int { return p.staged }

func (p *Producer) collect(needed func(manifest.Fingerprint) bool) error {
	manifests, err := p.dir.ReadDir(stagedMeta)
	if err != nil {
		return missingIsFine(err)
	}
	if len(manifests) > 1 { // of the same file under another host name, which may have changed since
		p.garbage = nil
	}
	if len(p.garbage) == 0 {
		if p.garbage, err = p.findGarbage(manifests, needed); err != nil {
			return err
		}
		p.pending, p.spared = 0, map[string]bool{}
	}
	limit := maxSweep + 2*p.swelled
	p.swelled = 0
	var first error
	for ; len(p.garbage) > 0 && limit > 0; p.garbage = p.garbage[1:] {
		name := p.garbage[0]
		if f, err := manifest.ParseChunkName(name); p.spared[name] || err == nil && needed(f) {
			continue // it was staged again
		}
		limit--
		p.staged--
		if err := missingIsFine(p.dir.Remove(stagedChunks + "/" + name)); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// findGarbage returns the names of the staged chunks that nobody needs.
func (p *Producer) findGarbage(manifests []string, needed func(manifest.Fingerprint) bool) ([]string, error) {
	names, err := p.dir.ReadDir(stagedChunks)
	if err != nil {
		return nil, missingIsFine(err)
	}
	p.staged = len(names)
	others := map[manifest.Fingerprint]bool{}
	if len(names) > 0 && len(manifests) > 1 {
		for _, name := range manifests {
			m, err := p.references(name)
			if err != nil {
				return nil, err
			}
			// The one published last is among them, at the price of some links.
			for _, f := range m {
				others[f] = true
			}
		}
	}
	var garbage []string
	for _, name := range names {
		if f, err := manifest.ParseChunkName(name); err != nil || !needed(f) && !others[f] {
			garbage = append(garbage, name)
		}
	}
	return garbage, nil
}

// references returns what a staged manifest references; nothing if nobody can read it, or make out
// what it lists.
func (p *Producer) references(name string) ([]manifest.Fingerprint, error) {
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
	p.staged = len(names)
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
