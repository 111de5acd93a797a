package spool

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/boule-db/boule/manifest"
)

// ReadBlock returns an index block that the staged manifest names. It fails with fs.ErrNotExist, or
// with manifest.ErrCorrupt, when it cannot be had: then the next snapshot has to be full.
func (p *Producer) ReadBlock(f manifest.Fingerprint) ([]byte, error) {
	if p.dir == nil {
		return nil, p.check("read index block")
	}
	data, err := readChunk(p.dir, stagedIndex, f.ChunkName())
	if err != nil {
		return nil, err
	}
	if err := manifest.CheckBlock(f, data); err != nil {
		return nil, fmt.Errorf("spool: read index block: %w", err)
	}
	return data, nil
}

// StageBlock makes an index block present where ReadBlock finds it, and in the staging area as
// StageChunk does; the latter not if named, which says that the staged manifest names it already.
func (p *Producer) StageBlock(f manifest.Fingerprint, data []byte, named bool) error {
	if p.dir == nil || p.broken {
		return p.check("stage index block")
	}
	file := stagedIndex + "/" + f.ChunkName()
	if _, err := p.dir.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if err := p.root.publish(p.dir, stagedScratch+"/"+p.root.scratchName(), file, data, true); err != nil {
			return p.lost("stage index block", err)
		}
	} else if err != nil {
		return fmt.Errorf("spool: stage index block: %w", err)
	}
	if named {
		return nil
	}
	err := p.link(file, stagedChunks+"/"+f.ChunkName())
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return p.lost("stage index block", err)
	}
	p.staged++
	p.note(f)
	return nil
}

// CollectIndex removes index blocks that are not kept, and are of some age: another producer may
// be about to name a new one. What other manifests in this spool name stays.
func (p *Producer) CollectIndex(keep func(manifest.Fingerprint) bool) error {
	if p.dir == nil || p.broken {
		return p.check("collect index blocks")
	}
	names, err := p.dir.ReadDir(stagedIndex)
	if err != nil {
		return p.lost("collect index blocks", err)
	}
	others, err := p.otherBlocks()
	if err != nil {
		return fmt.Errorf("spool: collect index blocks: %w", err)
	}
	var first error
	for _, name := range names {
		f, err := manifest.ParseChunkName(name)
		if err == nil && (keep(f) || others[f]) {
			continue
		}
		if err := p.cleanOld(stagedIndex + "/" + name); err != nil && first == nil {
			first = fmt.Errorf("spool: collect index blocks: %w", err)
		}
	}
	return first
}

// otherBlocks returns what all staged manifests name, if there is more than one.
func (p *Producer) otherBlocks() (map[manifest.Fingerprint]bool, error) {
	manifests, err := p.dir.ReadDir(stagedMeta)
	if err != nil || len(manifests) < 2 {
		return nil, missingIsFine(err)
	}
	named := map[manifest.Fingerprint]bool{}
	for _, name := range manifests {
		data, err := p.dir.ReadFile(stagedMeta + "/" + name)
		if missingIsFine(err) != nil {
			return nil, err
		}
		if m, err := manifest.Decode(data); err == nil {
			for i := range m.Blocks {
				named[m.Blocks[i].Stored] = true
			}
		}
	}
	return named, nil
}
