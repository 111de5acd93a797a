package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// A Tree is what was seen below a prefix of spools. Paths are relative to the prefix.
type Tree struct {
	Boot   string                      // directory of this boot
	Boots  []string                    // directories of other boots
	Spools map[string]*Spool           // by path
	Taps   map[string]map[string]*File // by target and name of manifest
	Stray  []string                    // what belongs nowhere
	Errs   []error                     // what could not be read
}

// A Spool is what was seen of one spool.
type Spool struct {
	Path      string
	Key       spool.Key
	Info      fsx.Info        // of the directory
	Metadata  *spool.Metadata // nil if it has none, or none that can be read
	Staging   *Place
	Ready     []*Place // by their names; more than one is a fault
	Consuming []*Place
	Bytes     int64    // all files, scratch too; what is linked twice counts once
	Broken    []string // what is wrong with the tree itself
	Errs      []error  // what could not be read

	stamps map[string]fsx.Info           // of all files and directories that were looked at, outside scratch
	index  map[manifest.Fingerprint]bool // index blocks that manifests name
}

// A Place is a directory with chunks and meta.
type Place struct {
	Path      string
	Name      string // UNIQUE, or "staging"
	HasChunks bool   // the directory is there
	HasMeta   bool
	Chunks    map[manifest.Fingerprint]*File
	Index     map[manifest.Fingerprint]*File // the tracker's copies of index blocks; of staging only
	Manifests map[string]*File               // by name
	Stray     []*File                        // in chunks or index, without the name of a chunk
}

// A File is a file in a spool.
type File struct {
	Path string
	Info fsx.Info

	Err      error                // why it could not be read
	Sum      manifest.Fingerprint // of the content of a chunk or an index block
	Data     []byte               // of a manifest or an index block
	Manifest *manifest.Manifest   // nil if it can't be decoded
	Fault    error                // why not

	contents manifest.Fingerprint // of Manifest, if hashed
	hashed   bool
}

// A Cache spares looks at what has been looked at before. It is not safe for concurrent use.
type Cache struct{ chunks, manifests map[string]*File }

// NewCache returns an empty Cache.
func NewCache() *Cache { return &Cache{map[string]*File{}, map[string]*File{}} }

func (c *Cache) trim() {
	const limit = 1 << 16
	if len(c.chunks) > limit {
		clear(c.chunks)
	}
	if len(c.manifests) > limit {
		clear(c.manifests)
	}
}

// A looker reads a tree.
type looker struct {
	fsys  fsx.FS
	cache *Cache
	tree  *Tree
}

// Look reads what is below the directory of a boot in prefix. The cache may be nil. Content
// moves from staging to ready to consuming, and is looked for in that order, so that nothing that
// moves is missed.
func Look(prefix fsx.FS, boot string, cache *Cache) *Tree {
	if cache == nil {
		cache = NewCache()
	}
	cache.trim()
	l := &looker{prefix, cache, &Tree{Boot: boot, Spools: map[string]*Spool{}, Taps: map[string]map[string]*File{}}}
	for _, name := range l.list(".") {
		if name != boot && strings.HasPrefix(name, "boule-") {
			l.tree.Boots = append(l.tree.Boots, name)
		}
	}
	for _, parent := range l.list(boot) {
		switch {
		case parent == ".tap":
			l.taps(boot + "/" + parent)
		case strings.HasPrefix(parent, "."):
		default:
			for _, name := range l.list(boot + "/" + parent) {
				if strings.HasPrefix(name, ".new.") {
					continue // being built, or left by a crash while it was
				}
				path := boot + "/" + parent + "/" + name
				if key, ok := parseKey(parent, name); !ok {
					l.tree.Stray = append(l.tree.Stray, path)
				} else if s := l.spool(path, key); s != nil {
					l.tree.Spools[path] = s
				}
			}
		}
	}
	return l.tree
}

// LookAt reads one spool; nil if it is not there.
func LookAt(prefix fsx.FS, path string, cache *Cache) *Spool {
	if cache == nil {
		cache = NewCache()
	}
	parts := strings.Split(path, "/")
	if len(parts) != 3 {
		return nil
	}
	key, ok := parseKey(parts[1], parts[2])
	if !ok {
		return nil
	}
	return (&looker{prefix, cache, &Tree{}}).spool(path, key)
}

func parseKey(mangled, dir string) (spool.Key, bool) {
	parts := strings.SplitN(dir, ".", 3)
	if len(parts) != 3 || parts[2] == "" {
		return spool.Key{}, false
	}
	dev, err1 := strconv.ParseUint(parts[0], 10, 64)
	ino, err2 := strconv.ParseUint(parts[1], 10, 64)
	k := spool.Key{Mangled: mangled, Dev: dev, Ino: ino, Target: parts[2]}
	return k, err1 == nil && err2 == nil && k.String() == mangled+"/"+dir
}

func (l *looker) list(dir string) []string {
	names, err := l.fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.tree.Errs = append(l.tree.Errs, err)
	}
	slices.Sort(names)
	return names
}

func (l *looker) taps(dir string) {
	for _, target := range l.list(dir) {
		taps := map[string]*File{}
		for _, name := range l.list(dir + "/" + target) {
			if !strings.HasPrefix(name, ".") {
				if f := l.manifest(nil, dir+"/"+target+"/"+name); f != nil {
					taps[name] = f
				}
			}
		}
		l.tree.Taps[target] = taps
	}
}

func (l *looker) spool(path string, key spool.Key) *Spool {
	info, err := l.fsys.Stat(path)
	if err != nil {
		return nil
	}
	s := &Spool{Path: path, Key: key, Info: info, stamps: map[string]fsx.Info{}, index: map[manifest.Fingerprint]bool{}}
	if !info.IsDir() {
		s.Broken = append(s.Broken, "is not a directory")
		return s
	}
	for _, name := range l.names(s, path) {
		switch name {
		case ".metadata":
			l.metadata(s, path+"/"+name)
		case ".meta_copy_lock", ".tap_lock", "staging", "ready", "consuming":
		default:
			s.Broken = append(s.Broken, name+" does not belong here")
		}
	}
	s.Staging = l.place(s, path+"/staging", "staging")
	for _, u := range l.names(s, path+"/ready") {
		s.Ready = append(s.Ready, l.place(s, path+"/ready/"+u, u))
	}
	for _, u := range l.names(s, path+"/consuming") {
		s.Consuming = append(s.Consuming, l.place(s, path+"/consuming/"+u, u))
	}
	l.measure(s)
	return s
}

// names lists a directory of a spool, which may be absent.
func (l *looker) names(s *Spool, dir string) []string {
	names, err := l.fsys.ReadDir(dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.Errs = append(s.Errs, err)
		}
		return nil
	}
	slices.Sort(names)
	if info, err := l.fsys.Stat(dir); err == nil {
		s.stamps[dir] = info
	}
	return names
}

func (l *looker) metadata(s *Spool, path string) {
	data, err := l.fsys.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // somebody removed it; the next snapshot makes it again
		return
	case err != nil:
		s.Errs = append(s.Errs, err)
		return
	}
	m, err := parseMetadata(data)
	switch {
	case err != nil:
		s.Broken = append(s.Broken, ".metadata: "+err.Error())
		return
	case m.Target.ID != s.Key.Target:
		s.Broken = append(s.Broken, fmt.Sprintf(".metadata: target is %q", m.Target.ID))
	case spool.Mangle(m.Path) != s.Key.Mangled:
		s.Broken = append(s.Broken, fmt.Sprintf(".metadata: path is %q", m.Path))
	}
	s.Metadata = m
}

// place reads a directory with chunks and meta: meta first, since its chunks only move onwards.
func (l *looker) place(s *Spool, path, name string) *Place {
	p := &Place{
		Path: path, Name: name, Chunks: map[manifest.Fingerprint]*File{},
		Index: map[manifest.Fingerprint]*File{}, Manifests: map[string]*File{},
	}
	for _, m := range l.names(s, path+"/meta") {
		if f := l.manifest(s, path+"/meta/"+m); f != nil {
			p.Manifests[m] = f
			s.needs(f.Manifest)
		}
	}
	l.chunks(s, p, path+"/chunks", p.Chunks, func(f manifest.Fingerprint) bool { return s.index[f] })
	if name == "staging" { // after the chunks: what is staged is kept in the index before
		l.chunks(s, p, path+"/index", p.Index, func(manifest.Fingerprint) bool { return true })
	}
	_, p.HasMeta = s.stamps[path+"/meta"]
	_, p.HasChunks = s.stamps[path+"/chunks"]
	if info, err := l.fsys.Stat(path); err == nil {
		s.stamps[path] = info
	}
	return p
}

// chunks reads a directory of chunks. Of index blocks, as index says, it keeps the content.
func (l *looker) chunks(s *Spool, p *Place, dir string, into map[manifest.Fingerprint]*File, index func(manifest.Fingerprint) bool) {
	for _, name := range l.names(s, dir) {
		sum, bad := manifest.ParseChunkName(name)
		f := l.chunk(s, dir+"/"+name, bad == nil && index(sum))
		switch {
		case f == nil:
		case bad == nil:
			into[sum] = f
		default:
			p.Stray = append(p.Stray, f)
		}
	}
}

// needs notes the index blocks that a manifest names.
func (s *Spool) needs(m *manifest.Manifest) {
	if m == nil {
		return
	}
	for _, b := range m.Blocks {
		if b.Stored != manifest.NoBlock {
			s.index[b.Stored] = true
		}
	}
}

// file describes a file; nil if it is gone.
func (l *looker) file(s *Spool, path string) *File {
	info, err := l.fsys.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f := &File{Path: path, Info: info, Err: err}
	if s != nil {
		s.stamps[path] = info
		if err != nil {
			s.Errs = append(s.Errs, err)
		}
	}
	return f
}

// chunk describes a chunk file, with its content if that is to be kept. One that the cache knows
// is not read again.
func (l *looker) chunk(s *Spool, path string, keep bool) *File {
	f := l.file(s, path)
	if f == nil || f.Err != nil || !f.Info.Mode.IsRegular() || f.Info.Size > manifest.ChunkSize {
		return f
	}
	if old, ok := l.cache.chunks[path]; ok && same(old.Info, f.Info) && (!keep || old.Data != nil) {
		return old
	}
	data, err := l.fsys.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if keep {
		f.Data = data
	}
	if f.Sum, f.Err = manifest.Sum(data), err; err != nil {
		s.Errs = append(s.Errs, err)
	} else {
		l.cache.chunks[path] = f
	}
	return f
}

// manifest reads a manifest. Inodes are used again, so its bytes are always compared.
func (l *looker) manifest(s *Spool, path string) *File {
	f := l.file(s, path)
	if f == nil || f.Err != nil || !f.Info.Mode.IsRegular() || f.Info.Size > manifest.MaxManifest {
		return f
	}
	data, err := l.fsys.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		f.Err = err
		if s != nil {
			s.Errs = append(s.Errs, err)
		}
		return f
	}
	f.Data = data
	if old, ok := l.cache.manifests[path]; ok && bytes.Equal(old.Data, data) {
		f.Manifest, f.Fault, f.contents, f.hashed = old.Manifest, old.Fault, old.contents, old.hashed
	} else {
		f.Manifest, f.Fault = manifest.Decode(data)
	}
	l.cache.manifests[path] = f
	return f
}

// measure adds up the files of a spool.
func (l *looker) measure(s *Spool) {
	type id struct{ dev, ino uint64 }
	counted := map[id]bool{}
	add := func(info fsx.Info) {
		if info.IsDir() || info.Ino != 0 && counted[id{info.Dev, info.Ino}] {
			return
		}
		counted[id{info.Dev, info.Ino}] = true
		s.Bytes += info.Size
	}
	for _, info := range s.stamps {
		add(info)
	}
	var walk func(dir string)
	walk = func(dir string) {
		names, _ := l.fsys.ReadDir(dir)
		for _, name := range names {
			if info, err := l.fsys.Stat(dir + "/" + name); err == nil {
				if add(info); info.IsDir() {
					walk(dir + "/" + name)
				}
			}
		}
	}
	walk(s.Path + "/staging/scratch")
}

// same says that nothing tells two looks at a file apart.
func same(a, b fsx.Info) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Size == b.Size && a.Mode == b.Mode &&
		a.ModTime.Equal(b.ModTime) && a.ChangeTime.Equal(b.ChangeTime)
}

// unmoved says that nothing changed in a spool between two looks.
func unmoved(a, b *Spool) bool {
	if a == nil || b == nil || len(a.stamps) != len(b.stamps) || !same(a.Info, b.Info) {
		return false
	}
	for path, info := range a.stamps {
		if other, ok := b.stamps[path]; !ok || !same(info, other) {
			return false
		}
	}
	return true
}
