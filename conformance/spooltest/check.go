package spooltest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// A Violation is an invariant that does not hold.
type Violation struct {
	Invariant string // as numbered in SPOOL.md
	Path      string // where
	Detail    string
}

// String returns the violation on one line.
func (v Violation) String() string { return v.Invariant + ": " + v.Path + ": " + v.Detail }

// Options says what the spools are judged against. Nil judges the trees alone.
type Options struct {
	// Remote returns what has reached a target; nil if that is not known.
	Remote func(target string) *Remote
	// Size returns the size of a database, the greatest since its ready snapshot was taken;
	// negative if that is not known.
	Size func(path string) int64
	// Ratio bounds the bytes of a spool by this many times Size. Zero means 4.
	Ratio int64
}

// Check judges the spools of one boot, the directory that spool.Root.Dir names. It returns what
// it finds wrong, in order of paths.
func Check(dir string, opts *Options) []Violation {
	c := &checker{root: dir}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Ratio == 0 {
		c.opts.Ratio = 4
	}
	for _, parent := range c.names(dir) {
		if strings.HasPrefix(parent, ".") {
			continue
		}
		for _, name := range c.names(filepath.Join(dir, parent)) {
			if strings.HasPrefix(name, ".new.") {
				continue // being built, or left by a crash while it was
			}
			c.spool(parent, name)
		}
	}
	sort.SliceStable(c.found, func(i, j int) bool { return c.found[i].Path < c.found[j].Path })
	return c.found
}

type checker struct {
	root  string
	opts  Options
	found []Violation
}

func (c *checker) bad(invariant, path, format string, args ...any) {
	if rel, err := filepath.Rel(c.root, path); err == nil {
		path = rel
	}
	c.found = append(c.found, Violation{invariant, path, fmt.Sprintf(format, args...)})
}

// names lists a directory, which may be absent.
func (c *checker) names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.bad("I1", dir, "%v", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// spool judges the spool of one database and target.
func (c *checker) spool(parent, name string) {
	dir := filepath.Join(c.root, parent, name)
	parts := strings.SplitN(name, ".", 3)
	if len(parts) != 3 {
		c.bad("I1", dir, "not the name of a spool")
		return
	}
	meta, ok := c.metadata(dir, parts[2])
	if ok && spool.Mangle(meta.Path) != parent {
		c.bad("I1", dir, "metadata is of %q", meta.Path)
	}
	for _, sub := range c.names(dir) {
		switch sub {
		case ".metadata", ".meta_copy_lock", "staging", "ready", "consuming":
		default:
			c.bad("I1", filepath.Join(dir, sub), "does not belong here")
		}
	}
	var remote *Remote
	if c.opts.Remote != nil {
		remote = c.opts.Remote(parts[2])
	}
	staged := c.place(filepath.Join(dir, "staging"))
	everywhere := map[manifest.Fingerprint]bool{}
	for f := range staged.chunks {
		everywhere[f] = true
	}
	// A ready snapshot may lean on the one in consuming, which is uploaded before it.
	ahead := map[manifest.Fingerprint]bool{}
	for _, sub := range []string{"consuming", "ready"} {
		batches := c.names(filepath.Join(dir, sub))
		if len(batches) > 1 {
			c.bad("I6", filepath.Join(dir, sub), "holds %d snapshots", len(batches))
		}
		for _, batch := range batches {
			at := filepath.Join(dir, sub, batch)
			p := c.place(at)
			if sub == "ready" && len(p.manifests) != 1 {
				c.bad("I6", at, "holds %d manifests", len(p.manifests))
			}
			for f := range p.chunks {
				everywhere[f], ahead[f] = true, true
			}
			c.references("I5", p, ahead, remote)
		}
	}
	c.references("I4", staged, everywhere, remote)
	if ok {
		c.size(dir, meta.Path)
	}
}

func (c *checker) metadata(dir, target string) (spool.Metadata, bool) {
	path := filepath.Join(dir, ".metadata")
	meta, err := readMetadata(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // somebody removed it; the next snapshot makes it again
		return meta, false
	case err != nil:
		c.bad("I1", path, "%v", err)
		return meta, false
	case meta.Target.ID != target:
		c.bad("I1", path, "target is %q", meta.Target.ID)
	}
	return meta, true
}

// contents is what a directory with chunks and meta holds.
type contents struct {
	path      string
	chunks    map[manifest.Fingerprint]bool
	manifests map[string]*manifest.Manifest
}

// place reads and judges the files of one such directory (I1, I2, I20).
func (c *checker) place(path string) contents {
	p := contents{path, map[manifest.Fingerprint]bool{}, map[string]*manifest.Manifest{}}
	for _, name := range c.names(filepath.Join(path, "chunks")) {
		file := filepath.Join(path, "chunks", name)
		data, ok := c.file(file)
		f, err := manifest.ParseChunkName(name)
		switch {
		case !ok:
		case err != nil:
			c.bad("I1", file, "not the name of a chunk")
		case manifest.Sum(data) != f:
			c.bad("I2", file, "content has fingerprint %v", manifest.Sum(data))
		case f == manifest.ZeroChunk:
			c.bad("I1", file, "the zero chunk is known to everybody")
		default:
			p.chunks[f] = true
		}
	}
	for _, name := range c.names(filepath.Join(path, "meta")) {
		file := filepath.Join(path, "meta", name)
		data, ok := c.file(file)
		if !ok {
			continue
		}
		m, err := manifest.Decode(data)
		if err != nil {
			c.bad("I20", file, "%v", err)
			continue
		}
		p.manifests[name] = m
	}
	return p
}

// file reads a file that must be regular and nobody's to change.
func (c *checker) file(path string) ([]byte, bool) {
	info, err := os.Lstat(path)
	if err != nil {
		c.bad("I1", path, "%v", err)
		return nil, false
	}
	if !info.Mode().IsRegular() || info.Mode()&0o222 != 0 {
		c.bad("I1", path, "mode is %v", info.Mode())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		c.bad("I1", path, "%v", err)
	}
	return data, err == nil
}

// references judges that what the manifests of a place name can be had.
func (c *checker) references(invariant string, p contents, local map[manifest.Fingerprint]bool, remote *Remote) {
	if remote == nil {
		return
	}
	for name, m := range p.manifests {
		missing := 0
		for _, f := range References(m) {
			if !local[f] && remote.Chunks[f.ChunkName()] == nil {
				missing++
			}
		}
		if missing > 0 {
			c.bad(invariant, filepath.Join(p.path, "meta", name), "%d of %d chunks are nowhere", missing, len(m.Chunks))
		}
	}
}

// size judges the bytes that a spool takes on disk (I17). What is linked twice counts once.
func (c *checker) size(dir, path string) {
	if c.opts.Size == nil {
		return
	}
	size := c.opts.Size(path)
	if size < 0 {
		return
	}
	var sum int64
	bySize := map[int64][]fs.FileInfo{}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		for _, other := range bySize[info.Size()] {
			if os.SameFile(info, other) {
				return nil
			}
		}
		bySize[info.Size()] = append(bySize[info.Size()], info)
		sum += info.Size()
		return nil
	})
	// Each of the three places has a manifest with a first chunk besides.
	limit := c.opts.Ratio * (size + manifest.ChunkSize)
	if sum > limit {
		c.bad("I17", dir, "%d bytes for a database of %d", sum, size)
	}
}

// References returns the chunks that must be had to restore m, besides m itself.
func References(m *manifest.Manifest) []manifest.Fingerprint {
	var refs []manifest.Fingerprint
	for i, f := range m.Chunks {
		if i > 0 && f != manifest.ZeroChunk {
			refs = append(refs, f)
		}
	}
	return refs
}
