package doctor

import (
	"slices"
	"strings"

	"github.com/boule-db/boule/manifest"
)

// spools calls f for each spool of the state.
func (c *evidence) spools(f func(s *Spool)) {
	for _, s := range c.now.tree().Spools {
		f(s)
	}
}

// places are staging, and all of ready and consuming.
func (s *Spool) places() []*Place {
	all := append([]*Place{s.Staging}, s.Ready...)
	return append(all, s.Consuming...)
}

func (p *Place) files() []*File {
	all := append([]*File(nil), p.Stray...)
	for _, f := range p.Chunks {
		all = append(all, f)
	}
	for _, f := range p.Index {
		all = append(all, f)
	}
	for _, f := range p.Manifests {
		all = append(all, f)
	}
	return all
}

// I1
func (c *evidence) complete() {
	for _, path := range c.now.tree().Stray {
		c.bad(path, "is not the name of a spool")
	}
	c.spools(func(s *Spool) {
		for _, what := range s.Broken {
			c.bad(s.Path, "%s", what)
		}
		for _, p := range s.places() {
			for _, f := range p.files() {
				if m := f.Info.Mode; f.Err == nil && (!m.IsRegular() || m&0o222 != 0 || m&0o400 == 0) {
					c.bad(f.Path, "mode is %v", m)
				}
			}
			for _, f := range p.Stray {
				c.bad(f.Path, "is not the name of a chunk")
			}
			if f := p.Chunks[manifest.ZeroChunk]; f != nil {
				c.bad(f.Path, "the chunk of zeros is known to everybody")
			}
			for _, f := range p.Manifests {
				if _, _, wrong := miscounted(f.Data); f.Fault != nil && !wrong {
					c.bad(f.Path, "%v", f.Fault)
				}
			}
		}
	})
}

// I2
func (c *evidence) named() {
	c.spools(func(s *Spool) {
		for _, p := range s.places() {
			for _, files := range []map[manifest.Fingerprint]*File{p.Chunks, p.Index} {
				for sum, f := range files {
					switch {
					case f.Err != nil || !f.Info.Mode.IsRegular():
					case f.Info.Size > manifest.ChunkSize:
						c.bad(f.Path, "has %d bytes", f.Info.Size)
					case f.Sum != sum:
						c.bad(f.Path, "content has the fingerprint %v", f.Sum)
					}
				}
			}
		}
	})
	c.stores(func(target string, s *Stored) {
		for name := range s.Chunks {
			if sum, ok := s.sum(name); ok && sum.ChunkName() != name {
				if _, twice := s.Chunks[sum.ChunkName()]; !twice { // else that is I22
					c.bad(target+"/"+name, "content has the fingerprint %v", sum)
				}
			}
		}
	})
}

// missing counts chunks and index blocks of a manifest that are in none of the places, on their way to the
// store, and not there. The tracker's copies of index blocks go nowhere. The chunks of an index block
// whose content read does not know can't be judged.
func missing(m *manifest.Manifest, read manifest.BlockReader, remote *Stored, places ...*Place) (n int, first manifest.Fingerprint) {
	if remote == nil {
		return 0, first
	}
	refs, _ := References(m, read)
chunks:
	for _, f := range refs {
		for _, p := range places {
			if p.Chunks[f] != nil {
				continue chunks
			}
		}
		if remote.OwnIndex && isBlock(m, f) {
			if _, err := read(f); err == nil {
				continue
			}
		}
		if remote.lacks(f) {
			if n++; n == 1 {
				first = f
			}
		}
	}
	return n, first
}

func isBlock(m *manifest.Manifest, f manifest.Fingerprint) bool {
	return slices.ContainsFunc(m.Blocks, func(b manifest.Block) bool { return b.Stored == f })
}

// parts is how many chunks a manifest has, with its index blocks.
func parts(m *manifest.Manifest) int {
	n := manifest.Count(m.Size)
	for _, b := range m.Blocks {
		if b.Stored != manifest.NoBlock {
			n++
		}
	}
	return n
}

// I4
func (c *evidence) stagedChunks() {
	c.spools(func(s *Spool) {
		for _, f := range s.Staging.Manifests {
			if f.Manifest == nil {
				continue
			}
			if n, first := missing(f.Manifest, c.blocksOf(s), c.now.store(s.Key.Target), s.places()...); n > 0 && !c.memory.doubt[s.Path] {
				c.bad(f.Path, "%d of %d chunks are nowhere, %v for one", n, parts(f.Manifest), first)
			}
		}
	})
}

// I5
func (c *evidence) batchChunks() {
	judge := func(s *Spool, batches, before []*Place) {
		for _, p := range batches {
			for _, f := range p.Manifests {
				if f.Manifest == nil {
					continue
				}
				n, first := missing(f.Manifest, c.blocksOf(s), c.now.store(s.Key.Target), append([]*Place{p}, before...)...)
				if n > 0 && !c.memory.doubt[s.Path] {
					c.bad(f.Path, "%d of %d chunks are nowhere, %v for one", n, parts(f.Manifest), first)
				}
			}
		}
	}
	c.spools(func(s *Spool) {
		judge(s, s.Consuming, nil)
		judge(s, s.Ready, s.Consuming)
	})
}

// I17. What is linked twice counts once.
func (c *evidence) bounded() {
	c.spools(func(s *Spool) {
		size := c.size(s)
		if size < 0 {
			return
		}
		// Each of the three places has a manifest with a first chunk besides.
		if limit := c.opts.Ratio * (size + manifest.ChunkSize); s.Bytes > limit {
			c.bad(s.Path, "%d bytes for a database of %d", s.Bytes, size)
		}
	})
}

// size is the greatest that the database of a spool is known to have had; negative if it is not known.
func (c *evidence) size(s *Spool) int64 {
	size := int64(-1)
	if s.Metadata != nil {
		if db := c.now.Databases[s.Metadata.Path]; db != nil {
			size = db.Size
		}
	}
	see := func(m *manifest.Manifest) {
		if m != nil {
			size = max(size, m.Size)
		}
	}
	for _, p := range s.places() {
		for name, f := range p.Manifests {
			see(f.Manifest)
			see(c.now.store(s.Key.Target).manifest(name))
		}
	}
	for name, f := range c.now.tree().Taps[s.Key.Target] {
		if s.Staging.Manifests[name] != nil {
			see(f.Manifest)
		}
	}
	if old, ok := c.memory.peak[s.Path]; ok {
		size = max(size, old)
	}
	return size
}

// I20
func (c *evidence) listed() {
	judge := func(path string, data []byte, m *manifest.Manifest, read manifest.BlockReader, length func(manifest.Fingerprint) (int64, bool)) {
		if size, n, wrong := miscounted(data); wrong {
			c.bad(path, "%d index blocks for %d bytes", n, size)
		}
		if m == nil {
			return
		}
		if err := misdescribed(m, read); err != nil {
			c.bad(path, "%v", err)
			return
		}
		_ = eachChunk(m, read, func(i int, f manifest.Fingerprint) { // as far as they are known
			if have, ok := length(f); ok && i > 0 && have != int64(manifest.ChunkLen(m.Size, i)) {
				c.bad(path, "chunk %d of %d has %d bytes", i, manifest.Count(m.Size), have)
			}
		})
	}
	c.spools(func(s *Spool) {
		length := func(f manifest.Fingerprint) (int64, bool) {
			for _, p := range s.places() {
				if file := p.Chunks[f]; file != nil && file.Sum == f {
					return file.Info.Size, true
				}
			}
			return 0, false
		}
		for _, p := range s.places() {
			for _, f := range p.Manifests {
				judge(f.Path, f.Data, f.Manifest, c.blocksOf(s), length)
			}
		}
	})
	c.stores(func(target string, s *Stored) {
		for name, data := range s.Manifests {
			judge(target+"/"+name, data, s.manifest(name), reader(s), func(f manifest.Fingerprint) (int64, bool) {
				sum, ok := s.sum(f.ChunkName())
				return int64(len(s.Chunks[f.ChunkName()])), ok && sum == f
			})
		}
	})
}

// miscounted says that a manifest, decodable or not, has another number of index blocks than its
// size asks for; how many fingerprints those have follows from the size, too. It knows of the format only what it needs to find the two.
func miscounted(data []byte) (size int64, n int, wrong bool) {
	if manifest.IsCompressed(data) {
		raw, err := manifest.DecompressManifest(data)
		if err != nil {
			return 0, 0, false
		}
		data = raw
	}
	var list int
	for rest := data; len(rest) > 0; {
		tag, k := varint(rest)
		if k == 0 {
			return 0, 0, false
		}
		value, l := varint(rest[k:])
		if l == 0 {
			return 0, 0, false
		}
		rest = rest[k+l:]
		switch tag & 7 {
		case 0:
			if tag>>3 == 6 {
				size = int64(value)
			}
		case 2:
			if value > uint64(len(rest)) {
				return 0, 0, false
			}
			if tag>>3 == 11 {
				list = int(value)
			}
			rest = rest[value:]
		default:
			return 0, 0, false
		}
	}
	if size < 0 || size > manifest.MaxSize {
		return 0, 0, false
	}
	const fingerprint = 16
	return size, list / fingerprint, list != manifest.BlockCount(manifest.Count(size))*fingerprint
}

// varint reads one, of n bytes; n is 0 if there is none.
func varint(b []byte) (v uint64, n int) {
	for i := 0; i < len(b) && i < 10; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// stores calls f for each store that is known.
func (c *evidence) stores(f func(target string, s *Stored)) {
	for target, s := range c.now.Stores {
		if s != nil {
			f(target, s)
		}
	}
}

// I18
func (c *evidence) thisBoot() {
	uuid := bootUUID(c.now.tree().Boot)
	for _, other := range c.now.tree().Boots {
		if uuid != "" && bootUUID(other) == uuid {
			c.bad(other, "is a second directory of this boot")
		}
	}
}

// bootUUID takes it from "boule-<time>.<uuid>-v<version>".
func bootUUID(name string) string {
	name = strings.TrimPrefix(name, "boule-")
	if i := strings.LastIndex(name, "-v"); i >= 0 {
		name = name[:i]
	}
	_, uuid, _ := strings.Cut(name, ".")
	return uuid
}
