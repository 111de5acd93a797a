package doctor

import (
	"bytes"
	"maps"

	"github.com/boule-db/boule/manifest"
)

// I13
func (c *evidence) storedChunks() {
	c.stores(func(target string, s *Stored) {
		for name := range s.Manifests {
			if m := s.manifest(name); m != nil {
				if n, first := missing(m, c.storeReader(target), s); n > 0 {
					c.bad(target+"/"+name, "the store lacks %d of %d chunks, %v for one", n, parts(m), first)
				}
			}
		}
	})
}

// I14: the effect. What a store had, or has acknowledged, is not older than what it has.
func (c *evidence) forward() {
	if c.opts.MayGoBack {
		return
	}
	c.stores(func(target string, s *Stored) {
		before := maps.Clone(c.memory.sequences[target])
		if before == nil {
			before = map[string]uint64{}
		}
		for name, tap := range c.now.tree().Taps[target] {
			if tap.Manifest != nil {
				before[name] = max(before[name], tap.Manifest.Sequence)
			}
		}
		for name, old := range before {
			if m := s.manifest(name); m != nil && m.Sequence < old {
				c.bad(target+"/"+name, "the store has %d, and had %d", m.Sequence, old)
			}
		}
	})
}

// I15. At rest the store has what is staged. And whoever noted that the store has acknowledged a
// manifest is right, unless the store has a newer one by now.
func (c *evidence) arrives() {
	c.spools(func(s *Spool) {
		remote := c.now.store(s.Key.Target)
		if remote == nil {
			return
		}
		if c.quiet && len(s.Staging.Chunks)+len(s.Ready)+len(s.Consuming) > 0 {
			c.bad(s.Path, "is at rest, and %d staged chunks and %d snapshots wait in it", len(s.Staging.Chunks), len(s.Ready)+len(s.Consuming))
		}
		for name, f := range s.Staging.Manifests {
			if f.Manifest == nil || !remote.knows(name) {
				continue
			}
			tap := c.now.tree().Taps[s.Key.Target][name]
			noted := tap != nil && bytes.Equal(tap.Data, f.Data) && len(s.Ready)+len(s.Consuming) == 0
			stored := remote.manifest(name)
			same := stored != nil && stored.Sequence == f.Manifest.Sequence && stored.Contents() == f.contentsSum()
			switch {
			case same:
			case c.quiet:
				c.bad(f.Path, "is %d, and the store has %d", f.Manifest.Sequence, remote.sequence(name))
			case noted && !c.opts.MayGoBack && (stored == nil || stored.Sequence == f.Manifest.Sequence):
				c.bad(f.Path, "is %d and noted as uploaded, and the store has none that can be read", f.Manifest.Sequence)
			}
		}
	})
}

func (f *File) contentsSum() manifest.Fingerprint {
	if !f.hashed && f.Manifest != nil {
		f.contents, f.hashed = f.Manifest.Contents(), true
	}
	return f.contents
}

// I19
func (c *evidence) exact() {
	c.spools(func(s *Spool) {
		if s.Metadata == nil {
			return
		}
		db := c.now.Databases[s.Metadata.Path]
		if db == nil {
			return
		}
		for _, p := range s.places() {
			for _, f := range p.Manifests {
				if db.States != nil && f.Manifest != nil && !db.States[f.contentsSum()] {
					c.bad(f.Path, "describes no state that the database ever had")
				}
			}
		}
		for name, f := range s.Staging.Manifests {
			if f.Manifest != nil && len(db.ID) > 0 && bytes.Equal(db.ID, f.Manifest.VersionID) {
				c.compare(f.Path, f.Manifest, db, c.blocksOf(s))
			}
			if m := c.now.store(s.Key.Target).manifest(name); m != nil && db.States != nil && !db.States[m.Contents()] {
				c.bad(s.Key.Target+"/"+name, "describes no state that the database ever had")
			}
		}
	})
}

// storeReader reads index blocks that a store has, or a spool of the target.
func (c *evidence) storeReader(target string) manifest.BlockReader {
	var spools []*Spool
	c.spools(func(s *Spool) {
		if s.Key.Target == target {
			spools = append(spools, s)
		}
	})
	return reader(c.now.store(target), spools...)
}

func (c *evidence) compare(path string, m *manifest.Manifest, db *Database, read manifest.BlockReader) {
	if m.Size != db.Size {
		c.bad(path, "has the version id of the database, and says that it has %d bytes, not %d", m.Size, db.Size)
		return
	}
	found := false
	_ = eachChunk(m, read, func(i int, f manifest.Fingerprint) { // as far as they are known
		if sum, ok := db.Sums[i]; ok && sum != f && !found {
			c.bad(path, "has the version id of the database, and another chunk %d of %d", i, manifest.Count(m.Size))
			found = true
		}
	})
}

// I22
func (c *evidence) storedOnce() {
	c.stores(func(target string, s *Stored) {
		for name := range s.Chunks {
			sum, ok := s.sum(name)
			if !ok || sum.ChunkName() == name {
				continue
			}
			if _, twice := s.Chunks[sum.ChunkName()]; twice {
				c.bad(target+"/"+name, "holds the same bytes as %s", sum.ChunkName())
			}
		}
	})
}
