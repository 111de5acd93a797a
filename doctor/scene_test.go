package doctor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

const (
	cs       = manifest.ChunkSize
	targetID = "0123456789abcdef"
	name     = "m"
)

var (
	db       = spool.DB{Path: "/db", Dev: 1, Ino: 2}
	producer = doctor.Actor{Role: doctor.Producer, Process: 1, Name: "p"}
	consumer = doctor.Actor{Role: doctor.Consumer, Process: 2, Name: "c"}
	key      = spool.KeyOf(db, targetID)
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A scene is a spool, a store, and who works with them.
type scene struct {
	testing.TB
	prefix string
	fsys   fsx.FS // the prefix, unwatched
	boot   string
	spool  string // path of the spool
	rec    doctor.Recorder
	prod   *spool.Producer
	cons   func() *spool.Consumer
	store  *doctor.Stored
	dbs    map[string]*doctor.Database
	watch  *doctor.Observer
	cache  *doctor.Cache
	serial uint64
}

func newScene(t testing.TB, opts *doctor.Options) *scene {
	t.Helper()
	prefix := t.TempDir()
	s := &scene{TB: t, prefix: prefix, store: doctor.NewStored(), watch: doctor.NewObserver(opts), cache: doctor.NewCache(), dbs: map[string]*doctor.Database{}}
	open := func(a doctor.Actor) *spool.Root {
		root, err := spool.OpenRoot(prefix, 0, &spool.Options{ScratchAge: -1, WrapFS: func(f fsx.FS) fsx.FS { return s.rec.FS(a, f) }})
		check(t, err)
		return root
	}
	root := open(producer)
	var err error
	s.prod, err = root.Producer(db, spool.Target{ID: targetID, Spec: json.RawMessage(`{}`)})
	check(t, err)
	s.boot = filepath.Base(root.Dir())
	s.spool = s.boot + "/" + key.String()
	s.fsys, err = fsx.OS(prefix)
	check(t, err)
	t.Cleanup(func() { s.prod.Close(); s.fsys.Close() })
	s.cons = func() *spool.Consumer {
		c, err := open(consumer).Consumer(key)
		check(t, err)
		return c
	}
	return s
}

// content is a database of some chunks.
func content(chunks int, seed byte) []byte {
	data := make([]byte, chunks*cs-1000)
	for i := range chunks {
		data[i*cs+500] = byte(i + 1)
		data[i*cs+501] = seed
	}
	return data
}

func (s *scene) describe(data []byte) (*manifest.Manifest, []byte) {
	s.Helper()
	s.serial++
	m := &manifest.Manifest{Header: manifest.HeaderSum(data), VersionID: []byte{byte(s.serial)}, Sequence: s.serial, Size: int64(len(data)), First: data[:cs]}
	for i := range manifest.Count(m.Size) {
		m.Chunks = append(m.Chunks, manifest.Sum(part(data, i)))
	}
	enc, err := manifest.Encode(m)
	check(s, err)
	return m, enc
}

func part(data []byte, i int) []byte { return data[i*cs : min((i+1)*cs, len(data))] }

// fold describes a database whose index block is stored: it says of the last chunk something else.
func (s *scene) fold(data []byte) (m *manifest.Manifest, enc, block []byte) {
	s.Helper()
	m, _ = s.describe(data)
	last := len(m.Chunks) - 1
	block = manifest.AppendList(nil, m.Chunks)
	manifest.SetAt(block, last, manifest.Sum([]byte("another")))
	m.Blocks = []manifest.Block{{
		Stored: manifest.Sum(block), Digest: manifest.Sum(manifest.AppendList(nil, m.Chunks)),
		Overrides: []manifest.Override{{Place: last, Sum: m.Chunks[last]}},
	}}
	enc, err := manifest.Encode(m)
	check(s, err)
	return m, enc, block
}

// index writes what a tracker keeps of an index block.
func (s *scene) index(block []byte) string {
	s.Helper()
	dir := s.spool + "/staging/index"
	check(s, s.fsys.MkdirAll(dir, 0o700))
	path := dir + "/" + manifest.Sum(block).ChunkName()
	s.write(path, block)
	return path
}

// stageFolded is stage with a stored index block.
func (s *scene) stageFolded(data []byte) (*manifest.Manifest, []byte) {
	s.Helper()
	m, enc, block := s.fold(data)
	_, err := s.prod.Staged(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Fatal(err)
	}
	for i := range m.Chunks {
		if i > 0 {
			check(s, s.prod.StageChunk(m.Chunks[i], part(data, i)))
		}
	}
	check(s, s.prod.StageBlock(manifest.Sum(block), block, false))
	check(s, s.prod.StageBlock(manifest.Sum(block), block, false)) // which is there
	check(s, s.prod.StageManifest(name, enc))
	return m, block
}

// refs are the references of a manifest.
func (s *scene) refs(m *manifest.Manifest) []manifest.Fingerprint {
	s.Helper()
	refs, err := doctor.References(m, nil)
	check(s, err)
	return refs
}

func these(refs []manifest.Fingerprint) func(manifest.Fingerprint) bool {
	return func(f manifest.Fingerprint) bool { return slices.Contains(refs, f) }
}

// chunkFile is the path of a staged chunk.
func (s *scene) chunkFile(f manifest.Fingerprint) string {
	return s.spool + "/staging/chunks/" + f.ChunkName()
}

// stage takes the first steps of a snapshot.
func (s *scene) stage(data []byte) *manifest.Manifest {
	s.Helper()
	m, enc := s.describe(data)
	_, err := s.prod.Staged(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Fatal(err)
	}
	for i := range m.Chunks {
		if i > 0 {
			check(s, s.prod.StageChunk(m.Chunks[i], part(data, i)))
		}
	}
	check(s, s.prod.StageManifest(name, enc))
	return m
}

// snapshot takes all steps but the collection of garbage.
func (s *scene) publish(data []byte) *manifest.Manifest {
	s.Helper()
	m := s.stage(data)
	_, err := s.prod.PublishReady(name, these(m.Chunks[1:]))
	check(s, err)
	return m
}

func (s *scene) snapshot(data []byte) *manifest.Manifest {
	s.Helper()
	m := s.publish(data)
	check(s, s.prod.CollectGarbage(true, len(m.Chunks), len(m.Chunks), these(m.Chunks[1:])))
	return m
}

// put puts the chunks of a database in the store.
func (s *scene) put(data []byte) {
	for i := 1; i < manifest.Count(int64(len(data))); i++ {
		s.store.Chunks[manifest.Sum(part(data, i)).ChunkName()] = part(data, i)
	}
}

// drain does what a copier does with a ready snapshot.
func (s *scene) drain() {
	s.Helper()
	c := s.cons()
	defer c.Close()
	b, err := c.TakeReady()
	check(s, err)
	chunks, err := b.Chunks()
	check(s, err)
	for _, chunk := range chunks {
		data, err := b.ReadChunk(chunk)
		check(s, err)
		s.store.Chunks[chunk] = data
		s.step()
		check(s, b.RemoveChunk(chunk))
		s.step()
	}
	check(s, b.ChunksDone())
	data, err := b.ReadManifest(name)
	check(s, err)
	s.store.Manifests[name] = data
	s.step()
	check(s, b.RemoveManifest(name))
	s.step()
	check(s, b.Finish())
}

func (s *scene) state() *doctor.State {
	return &doctor.State{
		Tree: doctor.Look(s.fsys, s.boot, s.cache), Databases: s.dbs,
		Stores: map[string]*doctor.Stored{targetID: s.store},
	}
}

// look is an observation of what is to be found wrong.
func (s *scene) look(events ...doctor.Event) []doctor.Violation {
	return s.watch.Step(s.state(), append(s.rec.Take(), events...)...)
}

// step is an observation that finds nothing.
func (s *scene) step() {
	s.Helper()
	for _, v := range s.look() {
		s.Fatalf("found too early: %v", v)
	}
}

// one returns the only name in a directory of the spool.
func (s *scene) one(dir string) string {
	s.Helper()
	names, err := s.fsys.ReadDir(s.spool + "/" + dir)
	check(s, err)
	if len(names) == 0 {
		s.Fatalf("nothing in %s", dir)
	}
	return s.spool + "/" + dir + "/" + names[0]
}

func (s *scene) read(path string) []byte {
	s.Helper()
	data, err := s.fsys.ReadFile(path)
	check(s, err)
	return data
}

func (s *scene) write(path string, data []byte) {
	s.Helper()
	check(s, fsx.Publish(s.fsys, s.boot+"/.scratch", path, bytes.Clone(data), 0o400, true))
}
