package doctor_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
)

const unique = "1.2.3.4.0123456789abcdef0123456789abcdef"

type damage struct {
	id, what string
	do       func(s *scene) []doctor.Violation
}

// damages are what is done to a scene, by invariant; each makes that invariant fail, and no other.
var damages = []damage{
	{"I1", "a file that may be written", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		check(s, s.fsys.Chmod(s.one("ready")+"/meta/"+name, 0o644))
		return s.look()
	}},
	{"I1", "a stray file", func(s *scene) []doctor.Violation {
		s.write(s.spool+"/x", []byte("x"))
		return s.look()
	}},
	{"I1", "a stray chunk", func(s *scene) []doctor.Violation {
		s.write(s.spool+"/staging/chunks/x", []byte("x"))
		return s.look()
	}},
	{"I1", "half a manifest", func(s *scene) []doctor.Violation {
		s.stage(content(3, 1))
		path := s.spool + "/staging/meta/" + name
		data := s.read(path)
		s.write(path, data[:len(data)-1])
		return s.look()
	}},
	{"I1", "the chunk of zeros", func(s *scene) []doctor.Violation {
		s.write(s.spool+"/staging/chunks/"+manifest.ZeroChunk.ChunkName(), make([]byte, cs))
		return s.look()
	}},
	{"I1", "metadata of another database", func(s *scene) []doctor.Violation {
		s.write(s.spool+"/.metadata", []byte(`{"version":1,"path":"/other","target":{"id":"`+targetID+`","spec":{}}}`))
		return s.look()
	}},
	{"I1", "no spool", func(s *scene) []doctor.Violation {
		s.write(s.boot+"/#db/x", []byte("x"))
		return s.look()
	}},
	{"I2", "a damaged chunk", func(s *scene) []doctor.Violation {
		s.stage(content(3, 1))
		s.write(s.one("staging/chunks"), []byte("x"))
		return s.look()
	}},
	{"I2", "a damaged chunk in the store", func(s *scene) []doctor.Violation {
		s.put(content(3, 1))
		for chunk := range s.store.Chunks {
			s.store.Chunks[chunk] = []byte(chunk)
		}
		return s.look()
	}},
	{"I3", "the manifest first", func(s *scene) []doctor.Violation {
		s.stage(content(3, 1))
		s.step()
		data := content(3, 2)
		s.put(data) // so that nothing is missing, by chance
		m, enc := s.describe(data)
		_, err := s.prod.Staged(name)
		check(s, err)
		check(s, s.prod.StageManifest(name, enc))
		check(s, s.prod.StageChunk(m.Chunks[1], part(data, 1)))
		return s.look()
	}},
	{"I4", "a staged chunk is gone", func(s *scene) []doctor.Violation {
		s.stage(content(3, 1))
		s.step()
		check(s, s.fsys.Remove(s.one("staging/chunks")))
		return s.look()
	}},
	{"I5", "a chunk left ready", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		chunk := s.one("ready/" + base(s.one("ready")) + "/chunks")
		check(s, s.fsys.Rename(chunk, s.spool+"/staging/chunks/"+base(chunk)))
		return doctor.Judge(s.state(), nil)
	}},
	{"I6", "two ready snapshots", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		check(s, s.fsys.MkdirAll(s.spool+"/ready/"+unique+"/chunks", 0o700))
		return s.look()
	}},
	{"I6", "ready is changed", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		s.step()
		s.write(s.one("ready")+"/chunks/"+manifest.Sum([]byte("x")).ChunkName(), []byte("x"))
		return s.look()
	}},
	{"I7", "ready is removed", func(s *scene) []doctor.Violation {
		s.publish(content(3, 1))
		s.step()
		check(s, s.fsys.RemoveAll(s.spool+"/ready"))
		return s.look()
	}},
	{"I8", "a manifest removed before it is uploaded", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		s.step()
		s.put(content(3, 1))
		c := s.cons()
		defer c.Close()
		b, err := c.TakeReady()
		check(s, err)
		chunks, err := b.Chunks()
		check(s, err)
		for _, chunk := range chunks {
			check(s, b.RemoveChunk(chunk))
		}
		s.step()
		check(s, b.RemoveManifest(name))
		return s.look()
	}},
	{"I9", "a name is used again", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		u := base(s.one("ready"))
		s.step()
		s.drain()
		s.step()
		dir := s.spool + "/ready/" + u
		check(s, s.fsys.MkdirAll(dir+"/chunks", 0o700))
		check(s, s.fsys.Mkdir(dir+"/meta", 0o700))
		check(s, s.fsys.Link(s.spool+"/staging/meta/"+name, dir+"/meta/"+name))
		return s.look()
	}},
	{"I10", "garbage before it is published", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		s.step()
		m := s.stage(content(3, 2))
		s.step()
		s.put(content(3, 2)) // so that nothing is missing, by chance
		check(s, s.prod.CollectGarbage(true, 3, 3, these(m.Chunks[1:])))
		return s.look()
	}},
	{"I11", "looks in the wrong order", func(s *scene) []doctor.Violation {
		return s.upload("consuming", "ready", "staging/chunks")
	}},
	{"I11", "comes back", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		s.put(content(3, 1))
		s.drain()
		s.snapshot(content(3, 1))
		c := s.cons()
		defer c.Close()
		_, err := c.TakeReady()
		check(s, err)
		s.step()
		chunk := s.one("consuming/" + base(s.one("consuming")) + "/chunks")
		check(s, s.fsys.Rename(chunk, s.spool+"/staging/chunks/"+base(chunk)))
		return s.look()
	}},
	{"I12", "ready has a copy of the manifest", func(s *scene) []doctor.Violation {
		s.stage(content(3, 1))
		s.put(content(3, 1))
		dir := s.spool + "/ready/" + unique
		check(s, s.fsys.MkdirAll(dir+"/chunks", 0o700))
		check(s, s.fsys.Mkdir(dir+"/meta", 0o700))
		s.write(dir+"/meta/"+name, s.read(s.spool+"/staging/meta/"+name))
		return s.look(doctor.Event{Actor: producer, Op: doctor.Op(fsx.OpRenameDir), Name: s.spool + "/ready"})
	}},
	{"I12", "the change time stays", func(s *scene) []doctor.Violation {
		s.watch = doctor.NewObserver(&doctor.Options{EachOperation: true})
		m := s.stage(content(3, 1))
		s.step()
		staged := doctor.Look(s.fsys, s.boot, nil).Spools[s.spool].Staging.Manifests[name]
		_, err := s.prod.PublishReady(name, these(m.Chunks[1:]))
		check(s, err)
		state := s.state()
		state.Tree.Spools[s.spool].Staging.Manifests[name].Info.ChangeTime = staged.Info.ChangeTime
		return s.watch.Step(state, s.rec.Take()...)
	}},
	{"I13", "a manifest in the store without its chunks", func(s *scene) []doctor.Violation {
		_, s.store.Manifests[name] = s.describe(content(3, 1))
		return s.look()
	}},
	{"I14", "an older manifest in the store", func(s *scene) []doctor.Violation {
		s.put(content(3, 1))
		_, older := s.describe(content(3, 1))
		_, s.store.Manifests[name] = s.describe(content(3, 1))
		s.step()
		s.store.Manifests[name] = older
		return s.look()
	}},
	{"I14", "uploads though something is ready", func(s *scene) []doctor.Violation {
		return s.upload("staging/chunks", "+ready", "consuming")
	}},
	{"I15", "the newest manifest does not arrive", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		s.step()
		s.drain()
		s.stage(content(3, 1))
		check(s, s.fsys.RemoveAll(s.spool+"/staging/chunks"))
		s.step()
		return s.watch.Rest(s.state())
	}},
	{"I15", "what was noted as uploaded is not there", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		s.step()
		s.drain()
		check(s, s.fsys.MkdirAll(s.boot+"/.tap/"+targetID, 0o700))
		s.write(s.boot+"/.tap/"+targetID+"/"+name, s.store.Manifests[name])
		s.step()
		delete(s.store.Manifests, name)
		return doctor.Judge(s.state(), nil)
	}},
	{"I16", "a producer takes a lock", func(s *scene) []doctor.Violation {
		return s.look(doctor.Event{Actor: producer, Op: doctor.Op(fsx.OpLock), Name: s.spool + "/.meta_copy_lock"})
	}},
	{"I16", "a producer uses a store", func(s *scene) []doctor.Violation {
		return s.look(doctor.Event{Actor: producer, Op: doctor.StoreOp(store.VerbHead), Name: name, Target: targetID})
	}},
	{"I17", "too much", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		s.step()
		s.write(s.spool+"/staging/scratch/x", make([]byte, 20*cs))
		return s.look()
	}},
	{"I18", "a sync", func(s *scene) []doctor.Violation {
		return s.look(doctor.Event{Actor: producer, Op: doctor.Op(fsx.OpSync), Name: s.spool + "/staging/scratch/x"})
	}},
	{"I18", "reads what is of another boot", func(s *scene) []doctor.Violation {
		other := "boule-1.00000000-0000-0000-0000-000000000000-v2/" + key.String()
		return s.look(doctor.Event{Actor: consumer, Op: doctor.Op(fsx.OpReadFile), Name: other + "/staging/meta/m"})
	}},
	{"I18", "a second directory of this boot", func(s *scene) []doctor.Violation {
		_, uuid, _ := strings.Cut(s.boot, ".")
		check(s, s.fsys.Mkdir("boule-1."+uuid, 0o700))
		return s.look()
	}},
	{"I19", "the database is another", func(s *scene) []doctor.Violation {
		m := s.snapshot(content(3, 1))
		s.dbs[db.Path] = s.database(content(3, 2), m.VersionID)
		return s.look()
	}},
	{"I19", "the database has another size", func(s *scene) []doctor.Violation {
		m := s.snapshot(content(3, 1))
		s.dbs[db.Path] = s.database(content(2, 1), m.VersionID)
		return s.look()
	}},
	{"I19", "there was no such state", func(s *scene) []doctor.Violation {
		s.snapshot(content(3, 1))
		s.dbs[db.Path] = &doctor.Database{States: map[manifest.Fingerprint]bool{}}
		return s.look()
	}},
	{"I20", "a short chunk in the middle", func(s *scene) []doctor.Violation {
		data := content(4, 1)
		m, _ := s.describe(data)
		m.Chunks[2] = manifest.Sum([]byte("short"))
		enc, err := manifest.Encode(m)
		check(s, err)
		check(s, s.prod.StageChunk(m.Chunks[1], part(data, 1)))
		check(s, s.prod.StageChunk(m.Chunks[2], []byte("short")))
		check(s, s.prod.StageChunk(m.Chunks[3], part(data, 3)))
		check(s, s.prod.StageManifest(name, enc))
		return s.look()
	}},
	{"I20", "an index block too many", func(s *scene) []doctor.Violation {
		// The fields major, size and blocks, with two index blocks for three chunks.
		data := append([]byte{0x08, 2, 0x30, 0xff, 0xff, 0x0b, 0x5a, 32}, make([]byte, 32)...)
		s.write(s.spool+"/staging/meta/"+name, data)
		return s.look()
	}},
	{"I21", "trusts what is not staged", func(s *scene) []doctor.Violation {
		data := content(3, 1)
		s.put(data) // so that nothing is missing, by chance
		_, enc := s.describe(data)
		_, err := s.prod.Staged(name)
		if err == nil {
			s.Fatal("something is staged")
		}
		check(s, s.prod.StageManifest(name, enc))
		return s.look()
	}},
	{"I22", "the same bytes twice", func(s *scene) []doctor.Violation {
		s.put(content(3, 1))
		s.store.Chunks[manifest.Sum([]byte("x")).ChunkName()] = part(content(3, 1), 1)
		return s.look()
	}},
	{"I23", "incremental without proof", func(s *scene) []doctor.Violation {
		s.stage(content(3, 1))
		s.look(doctor.Event{Actor: producer, Op: doctor.OpExclusive, Data: []byte("other")})
		data := content(3, 2)
		m, enc := s.describe(data)
		_, err := s.prod.Staged(name)
		check(s, err)
		events := append(s.rec.Take(), doctor.Event{Actor: producer, Op: doctor.OpReadDB, Data: part(data, 0)})
		check(s, s.prod.StageChunk(m.Chunks[1], part(data, 1)))
		check(s, s.prod.StageChunk(m.Chunks[2], part(data, 2)))
		check(s, s.prod.StageManifest(name, enc))
		return s.look2(events)
	}},
	{"I24", "another result", func(s *scene) []doctor.Violation {
		return s.look(doctor.Event{Op: doctor.OpSQLite, Name: "xWrite", Got: 10, Want: 0})
	}},
	{"I25", "two passes at once", func(s *scene) []doctor.Violation {
		a, b := s.cons(), s.cons()
		defer a.Close()
		defer b.Close()
		return s.look()
	}},
	{"I26", "the snapshot changes", func(s *scene) []doctor.Violation {
		return s.look(
			doctor.Event{Op: doctor.OpRead, Name: "s", Offset: 1, Data: []byte("a")},
			doctor.Event{Op: doctor.OpRead, Name: "s", Offset: 1, Data: []byte("b")})
	}},
}

func init() { damages = append(damages, indexDamages...) }

// indexDamages are those of index blocks.
var indexDamages = []damage{
	{"I1", "a stray index block", func(s *scene) []doctor.Violation {
		s.stageFolded(content(3, 1))
		s.write(s.spool+"/staging/index/x", []byte("x"))
		return s.look()
	}},
	{"I1", "an index block that may be written", func(s *scene) []doctor.Violation {
		_, block := s.stageFolded(content(3, 1))
		check(s, s.fsys.Chmod(s.index(block), 0o644))
		return s.look()
	}},
	{"I2", "a damaged index block", func(s *scene) []doctor.Violation {
		_, block := s.stageFolded(content(3, 1))
		s.write(s.index(block), block[1:])
		return s.look()
	}},
	{"I3", "the manifest before its index block", func(s *scene) []doctor.Violation {
		s.stage(content(3, 1))
		s.step()
		data := content(3, 2)
		s.put(data) // so that nothing is missing, by chance
		_, enc, block := s.fold(data)
		s.store.Chunks[manifest.Sum(block).ChunkName()] = block
		_, err := s.prod.Staged(name)
		check(s, err)
		for i := 1; i < 3; i++ {
			check(s, s.prod.StageChunk(manifest.Sum(part(data, i)), part(data, i)))
		}
		check(s, s.prod.StageManifest(name, enc))
		return s.look()
	}},
	{"I3", "the manifest before a chunk that the index block names", func(s *scene) []doctor.Violation {
		s.stage(content(3, 1))
		s.step()
		data := content(3, 2)
		s.put(data) // so that nothing is missing, by chance
		_, enc, block := s.fold(data)
		_, err := s.prod.Staged(name)
		check(s, err)
		check(s, s.prod.StageChunk(manifest.Sum(block), block))
		check(s, s.prod.StageChunk(manifest.Sum(part(data, 2)), part(data, 2)))
		s.index(block)
		check(s, s.prod.StageManifest(name, enc))
		return s.look()
	}},
	{"I4", "an index block goes nowhere", func(s *scene) []doctor.Violation {
		_, block := s.stageFolded(content(3, 1))
		s.step()
		check(s, s.fsys.Remove(s.chunkFile(manifest.Sum(block))))
		return s.look()
	}},
	{"I4", "an index block is nowhere", func(s *scene) []doctor.Violation {
		_, block := s.stageFolded(content(3, 1))
		s.step()
		check(s, s.fsys.Remove(s.chunkFile(manifest.Sum(block))))
		check(s, s.fsys.Remove(s.index(block)))
		return s.look()
	}},
	{"I4", "a chunk that the index block names is gone", func(s *scene) []doctor.Violation {
		m, _ := s.stageFolded(content(3, 1))
		s.step()
		check(s, s.fsys.Remove(s.chunkFile(m.Chunks[1])))
		return s.look()
	}},
	{"I4", "a chunk that only the index block in the store names is gone", func(s *scene) []doctor.Violation {
		m, block := s.stageFolded(content(3, 1))
		s.step()
		s.store.Chunks[manifest.Sum(block).ChunkName()] = block
		check(s, s.fsys.Remove(s.chunkFile(manifest.Sum(block))))
		check(s, s.fsys.Remove(s.index(block)))
		s.step()
		check(s, s.fsys.Remove(s.chunkFile(m.Chunks[1])))
		return s.look()
	}},
	{"I5", "an index block left ready", func(s *scene) []doctor.Violation {
		m, block := s.stageFolded(content(3, 1))
		_, err := s.prod.PublishReady(name, these(s.refs(m)))
		check(s, err)
		check(s, s.prod.CollectGarbage(true, 4, 4, these(s.refs(m))))
		s.step()
		sum := manifest.Sum(block).ChunkName()
		check(s, s.fsys.Rename(s.one("ready")+"/chunks/"+sum, s.spool+"/staging/chunks/"+sum))
		return doctor.Judge(s.state(), nil)
	}},
	{"I10", "an index block is garbage before it is published", func(s *scene) []doctor.Violation {
		data := content(3, 1)
		m, block := s.stageFolded(data)
		s.step()
		s.put(data) // so that nothing is missing, by chance
		s.store.Chunks[manifest.Sum(block).ChunkName()] = block
		check(s, s.prod.CollectGarbage(false, 2, 5, these(m.Chunks[1:])))
		return s.look()
	}},
	{"I13", "a manifest in the store without its index block", func(s *scene) []doctor.Violation {
		data := content(3, 1)
		s.put(data)
		_, s.store.Manifests[name], _ = s.fold(data)
		return s.look()
	}},
	{"I13", "a manifest in the store without a chunk of its index block", func(s *scene) []doctor.Violation {
		data := content(3, 1)
		s.put(data)
		m, enc, block := s.fold(data)
		s.store.Manifests[name], s.store.Chunks[manifest.Sum(block).ChunkName()] = enc, block
		s.step()
		delete(s.store.Chunks, m.Chunks[1].ChunkName())
		return s.look()
	}},
	{"I17", "too many index blocks", func(s *scene) []doctor.Violation {
		s.stageFolded(content(3, 1))
		s.step()
		for i := range 20 {
			block := make([]byte, cs)
			block[0] = byte(i + 1)
			s.index(block)
		}
		return s.look()
	}},
	{"I19", "the database has another chunk than the index block says", func(s *scene) []doctor.Violation {
		data := content(3, 1)
		m, _ := s.stageFolded(data)
		s.dbs[db.Path] = s.database(data, m.VersionID)
		s.step()
		s.dbs[db.Path] = s.database(append(append(data[:cs:cs], content(2, 9)[cs-1000:]...), data[2*cs:]...), m.VersionID)
		return s.look()
	}},
	{"I20", "another list than the digest says", func(s *scene) []doctor.Violation {
		data := content(3, 1)
		s.put(data)
		m, _, block := s.fold(data)
		m.Blocks[0].Digest = manifest.Sum([]byte("another"))
		enc, err := manifest.Encode(m)
		check(s, err)
		s.store.Manifests[name], s.store.Chunks[manifest.Sum(block).ChunkName()] = enc, block
		return s.look()
	}},
	{"I20", "a short chunk that the index block names", func(s *scene) []doctor.Violation {
		data := content(4, 1)
		m, _ := s.describe(data)
		m.Chunks[2] = manifest.Sum([]byte("short"))
		block := manifest.AppendList(nil, m.Chunks)
		m.Blocks = []manifest.Block{{Stored: manifest.Sum(block), Digest: manifest.Sum(block)}}
		enc, err := manifest.Encode(m)
		check(s, err)
		check(s, s.prod.StageChunk(m.Chunks[1], part(data, 1)))
		check(s, s.prod.StageChunk(m.Chunks[2], []byte("short")))
		check(s, s.prod.StageChunk(m.Chunks[3], part(data, 3)))
		check(s, s.prod.StageChunk(manifest.Sum(block), block))
		s.index(block)
		check(s, s.prod.StageManifest(name, enc))
		return s.look()
	}},
	{"I21", "trusts an index block that is not staged", func(s *scene) []doctor.Violation {
		data := content(3, 1)
		_, enc, block := s.fold(data)
		s.store.Chunks[manifest.Sum(block).ChunkName()] = block
		if _, err := s.prod.Staged(name); err == nil {
			s.Fatal("something is staged")
		}
		for i := 1; i < 3; i++ {
			check(s, s.prod.StageChunk(manifest.Sum(part(data, i)), part(data, i)))
		}
		check(s, s.prod.StageManifest(name, enc))
		return s.look()
	}},
}

func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func (s *scene) database(data []byte, id []byte) *doctor.Database {
	d, err := doctor.DatabaseOf(strings.NewReader(string(data)), int64(len(data)), id)
	check(s, err)
	return d
}

// look2 looks at events that were taken before.
func (s *scene) look2(events []doctor.Event) []doctor.Violation {
	return s.watch.Step(s.state(), append(events, s.rec.Take()...)...)
}

// upload lets a consumer upload what is staged after it looked into directories; those with a
// plus hold something.
func (s *scene) upload(dirs ...string) []doctor.Violation {
	s.stage(content(3, 1))
	s.put(content(3, 1))
	s.step()
	meta := s.spool + "/staging/meta/" + name
	events := []doctor.Event{{Actor: consumer, Op: doctor.Op(fsx.OpOpen), Name: meta}}
	for _, dir := range dirs {
		e := doctor.Event{Actor: consumer, Op: doctor.Op(fsx.OpReadDir), Name: s.spool + "/" + strings.TrimPrefix(dir, "+")}
		if strings.HasPrefix(dir, "+") {
			e.Count = 1
		}
		events = append(events, e)
	}
	data := s.read(meta)
	s.store.Manifests[name] = data
	return s.look(append(events, doctor.Event{
		Actor: consumer, Op: doctor.StoreOp(store.VerbPut), Name: name, Target: targetID, Data: data,
	})...)
}

// Each damage is found, and taken for nothing else.
func TestEachInvariantCanFail(t *testing.T) {
	for _, d := range damages {
		t.Run(d.id+"/"+d.what, func(t *testing.T) {
			found := d.do(newScene(t, nil))
			if len(found) == 0 {
				t.Errorf("not found")
			}
			for _, v := range found {
				if v.Invariant != d.id {
					t.Errorf("found %v", v)
				}
			}
		})
	}
}

func TestAllInvariantsAreThere(t *testing.T) {
	damaged := map[string]int{}
	for _, d := range damages {
		damaged[d.id]++
	}
	all := doctor.Invariants()
	for i, inv := range all {
		if want := fmt.Sprintf("I%d", i+1); inv.ID != want || inv.Statement == "" {
			t.Errorf("%s stands where %s belongs: %q", inv.ID, want, inv.Statement)
		}
		if damaged[inv.ID] == 0 {
			t.Errorf("%s has no case that makes it fail", inv.ID)
		}
	}
	if len(all) != 26 {
		t.Errorf("there are %d", len(all))
	}
}

// Work done right is found right: after each step of it, and in the end.
func TestSound(t *testing.T) {
	for _, each := range []bool{false, true} {
		s := newScene(t, &doctor.Options{EachOperation: each})
		s.step()
		for i := range byte(4) {
			data := content(3+int(i), i)
			var m *manifest.Manifest
			if i > 1 {
				m, _ = s.stageFolded(data)
			} else {
				m = s.stage(data)
			}
			s.step()
			published, err := s.prod.PublishReady(name, these(s.refs(m)))
			check(t, err)
			s.step()
			check(t, s.prod.CollectGarbage(published, 3, 3, these(s.refs(m))))
			s.step()
			if i%2 == 1 {
				s.drain()
				s.step()
			}
		}
		s.drainStaged()
		for _, v := range s.watch.Rest(s.state(), s.rec.Take()...) {
			t.Errorf("at rest: %v", v)
		}
	}
}

// What was published once, and is staged again for another place, may go from there before the place that it had does.
func TestSoundWhenStagedAgain(t *testing.T) {
	s := newScene(t, &doctor.Options{EachOperation: true})
	s.step()
	first, second := content(4, 1), content(4, 2)
	m, block := s.stageFolded(first)
	published, err := s.prod.PublishReady(name, these(s.refs(m)))
	check(t, err)
	check(t, s.prod.CollectGarbage(published, 4, 4, these(s.refs(m))))
	s.step()
	s.stage(second)
	s.step()
	m, _ = s.stageFolded(first) // with a link to the very block that is in ready
	s.step()
	if s.one("ready/"+base(s.one("ready"))+"/meta") == "" || manifest.Sum(block) != m.Blocks[0].Stored {
		t.Fatal("not the state that this is about")
	}
	check(t, s.prod.CollectGarbage(false, 4, 99, these(s.refs(m)[:1])))
	s.step()
	if _, err := s.fsys.Stat(s.chunkFile(m.Chunks[2])); err == nil {
		t.Fatal("nothing was collected")
	}
}

// drainStaged does what a copier does with what is staged.
func (s *scene) drainStaged() {
	s.Helper()
	c := s.cons()
	defer c.Close()
	names, err := c.StagedChunks()
	check(s, err)
	for _, chunk := range names {
		data, err := c.ReadStagedChunk(chunk)
		check(s, err)
		s.store.Chunks[chunk] = data
		check(s, c.RemoveStagedChunk(chunk))
		s.step()
	}
	staged, err := c.StagedManifests()
	check(s, err)
	if quiet, err := c.Quiescent(); err != nil || !quiet {
		s.Fatalf("not quiescent: %v", err)
	}
	for _, m := range staged {
		data, err := m.Bytes()
		check(s, err)
		s.store.Manifests[m.Name] = data
		check(s, m.Close())
	}
	s.step()
}

func BenchmarkStep(b *testing.B) {
	s := newScene(b, &doctor.Options{EachOperation: true})
	s.publish(content(20, 1))
	for b.Loop() {
		s.step()
	}
}
