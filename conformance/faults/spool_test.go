//go:build unix

package faults_test

import (
	"errors"
	"io/fs"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boule-db/boule/doctor"
	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

var (
	db   = spool.DB{Path: "/data/a.db", Dev: 1, Ino: 2}
	key  = spool.KeyOf(db, target.ID)
	name = manifest.Name(host, db.Path)
)

// A desk is a process that uses a spool directly, and what it works on.
type desk struct {
	*machine
	root *spool.Root // whose operations fail
	prod *spool.Producer
	seq  uint64
	m    *manifest.Manifest // last described
	enc  []byte
	data []byte

	cons   *spool.Consumer
	batch  *spool.Batch
	staged []*spool.StagedManifest
	chunk  string // a name
}

func newDesk(t *testing.T, plan *fsx.Plan) *desk {
	d := &desk{machine: newMachine(t, plan)}
	d.root = d.machine.root(d.actor(doctor.Producer), true)
	return d
}

func (d *desk) describe(data []byte) {
	d.Helper()
	d.seq++
	d.data = data
	d.m = &manifest.Manifest{Header: manifest.HeaderSum(data), VersionID: []byte{byte(d.seq)}, Sequence: d.seq, Size: int64(len(data)), First: data[:cs]}
	for i := range manifest.Count(d.m.Size) {
		d.m.Chunks = append(d.m.Chunks, manifest.Sum(part(data, i)))
	}
	var err error
	d.enc, err = manifest.Encode(d.m)
	check(d, err)
}

// begun has more staged than PublishReady links at a time.
func (d *desk) begun() {
	d.open()
	const n = 260
	db := content(n, 3)
	for i := range n {
		db[i*manifest.ChunkSize+2], db[i*manifest.ChunkSize+3] = byte(i), byte(i>>8)
	}
	d.begin(db)
	check(d, d.stageChunks())
	check(d, d.prod.PrepareReady())
	check(d, d.prod.StageManifest(name, d.enc))
	published, err := d.prod.PublishReady(name, d.refs)
	if check(d, err); published {
		d.Fatal("all was published at once")
	}
	old := d.m.Chunks[250:255]
	for i := 250; i < 255; i++ {
		db[i*manifest.ChunkSize+4]++
		d.prod.Drop(d.m.Chunks[i])
	}
	d.begin(db)
	for i := range old {
		check(d, d.prod.StageChunk(d.m.Chunks[250+i], db[(250+i)*manifest.ChunkSize:][:manifest.ChunkSize]))
	}
	check(d, d.prod.StageManifest(name, d.enc))
}

func (d *desk) refs(f manifest.Fingerprint) bool { return slices.Contains(d.m.Chunks[1:], f) }

func (d *desk) open() {
	d.Helper()
	var err error
	d.prod, err = d.root.Producer(db, target)
	check(d, err)
}

func (d *desk) read() error {
	_, err := d.prod.Staged(name)
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, spool.ErrVanished) {
		return nil
	}
	return err
}

func (d *desk) stageChunks() error {
	for i, f := range d.m.Chunks {
		if i > 0 {
			if err := d.prod.StageChunk(f, part(d.data, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshot takes all steps of one.
func (d *desk) snapshot(data []byte) error {
	d.describe(data)
	if err := errors.Join(d.read(), d.stageChunks()); err != nil {
		return err
	}
	if err := d.prod.StageManifest(name, d.enc); err != nil {
		return err
	}
	published, err := d.prod.PublishReady(name, d.refs)
	if err != nil {
		return err
	}
	return errors.Join(d.prod.CollectGarbage(published, len(d.m.Chunks), len(d.m.Chunks), d.refs), d.prod.CleanScratch(), d.prod.Finish())
}

// two makes two snapshots: one is ready, and the other staged.
func (d *desk) two() {
	d.Helper()
	d.open()
	check(d, d.snapshot(content(3, 1)))
	check(d, d.snapshot(content(4, 2)))
}

func (d *desk) begin(data []byte) {
	d.Helper()
	d.describe(data)
	check(d, d.read())
}

func (d *desk) consume() {
	d.Helper()
	var err error
	// A consumer of the same root, so that its operations fail.
	d.root = d.machine.root(d.actor(doctor.Consumer), true)
	d.cons, err = d.root.Consumer(key)
	check(d, err)
}

func (d *desk) take() {
	d.Helper()
	d.two()
	d.consume()
	var err error
	d.batch, err = d.cons.TakeReady()
	check(d, err)
	names, err := d.batch.Chunks()
	check(d, err)
	d.chunk = names[0]
}

// put uploads a chunk of the batch.
func (d *desk) put(names ...string) {
	d.Helper()
	for _, chunk := range names {
		data, err := d.batch.ReadChunk(chunk)
		check(d, err)
		d.remote.Chunks[chunk] = data
	}
}

// putAll uploads and removes all chunks of the batch, and uploads the manifest.
func (d *desk) putAll() {
	d.Helper()
	names, err := d.batch.Chunks()
	check(d, err)
	d.put(names...)
	for _, chunk := range names {
		check(d, d.batch.RemoveChunk(chunk))
	}
	check(d, d.batch.ChunksDone())
	d.remote.Manifests[name], err = d.batch.ReadManifest(name)
	check(d, err)
}

// drained lets a copier upload what is ready, so that what is staged may be.
func (d *desk) drained() {
	d.Helper()
	d.two()
	d.consume()
	b, err := d.cons.TakeReady()
	check(d, err)
	d.batch = b
	d.putAll()
	check(d, b.RemoveManifest(name))
	check(d, b.Finish())
	names, err := d.cons.StagedChunks()
	check(d, err)
	d.chunk = names[0]
	d.remote.Chunks[d.chunk], err = d.cons.ReadStagedChunk(d.chunk)
	check(d, err)
	d.staged, err = d.cons.StagedManifests()
	check(d, err)
}

func second[T any](_ T, err error) error { return err }

// spoolOps are all operations of package spool that reach files.
var spoolOps = []struct {
	name    string
	prepare func(d *desk)
	do      func(d *desk) error
}{
	{"Root.Producer, new", nil, func(d *desk) (err error) { d.prod, err = d.root.Producer(db, target); return err }},
	{"Root.Producer, existing", (*desk).two, func(d *desk) (err error) { d.prod, err = d.root.Producer(db, target); return err }},
	{"Root.Consumer", (*desk).two, func(d *desk) error { return second(d.root.Consumer(key)) }},
	{"Root.Spools", (*desk).two, func(d *desk) error { return second(d.root.Spools()) }},
	{"Root.WriteTap, new", nil, func(d *desk) error { return d.root.WriteTap(target.ID, name, []byte("x")) }},
	{"Root.WriteTap", func(d *desk) { check(d, d.root.WriteTap(target.ID, name, []byte("old"))) }, func(d *desk) error {
		return d.root.WriteTap(target.ID, name, []byte("new"))
	}},
	{"Root.Tap", func(d *desk) { check(d, d.root.WriteTap(target.ID, name, []byte("x"))) }, func(d *desk) error {
		_, _, err := d.root.Tap(target.ID, name)
		return err
	}},
	{"Root.RenewTapToken", nil, func(d *desk) error { return d.root.RenewTapToken(target.ID, name) }},
	{"Root.TapToken", func(d *desk) { check(d, d.root.RenewTapToken(target.ID, name)) }, func(d *desk) error {
		d.root.TapToken(target.ID, name)
		return nil
	}},
	{"Root.WritePages", func(d *desk) { check(d, d.root.WritePages(target.ID, name, []byte("old"))) }, func(d *desk) error {
		return d.root.WritePages(target.ID, name, []byte("new"))
	}},
	{"Root.Pages", func(d *desk) { check(d, d.root.WritePages(target.ID, name, []byte("x"))) }, func(d *desk) error {
		return second(d.root.Pages(target.ID, name))
	}},
	{"Root.WriteReport", func(d *desk) { check(d, d.root.WriteReport(spool.KeyOf(db, target.ID), []byte("old"))) }, func(d *desk) error {
		return d.root.WriteReport(spool.KeyOf(db, target.ID), []byte("new"))
	}},
	{"Root.Report", func(d *desk) { check(d, d.root.WriteReport(spool.KeyOf(db, target.ID), []byte("x"))) }, func(d *desk) error {
		return second(d.root.Report(spool.KeyOf(db, target.ID)))
	}},
	{"Root.Owner, new", nil, func(d *desk) error { return second(d.root.Owner()) }},
	{"Root.Owner", func(d *desk) { check(d, second(d.root.Owner())) }, func(d *desk) error { return second(d.root.Owner()) }},
	{"Root.CleanStale", func(d *desk) {
		d.two()
		other, err := d.root.Producer(spool.DB{Path: db.Path, Dev: 1, Ino: 3}, target) // a file that was replaced
		check(d, err)
		check(d, other.Close())
		gone, err := d.root.Producer(spool.DB{Path: "/none/such.db", Dev: 1, Ino: 4}, target)
		check(d, err)
		check(d, gone.Close())
	}, func(d *desk) error { d.root.CleanStale(db); return nil }},
	{"Producer.Staged", (*desk).two, (*desk).read},
	{"Producer.Staged, all is gone", func(d *desk) { d.two(); check(d, d.mem.RemoveAll("spool")); d.watch.Reboot() }, (*desk).read},
	{"Producer.StageChunk", func(d *desk) { d.two(); d.begin(content(4, 3)) }, (*desk).stageChunks},
	{"Producer.StageManifest", func(d *desk) { d.two(); d.begin(content(4, 3)); check(d, d.stageChunks()) }, func(d *desk) error {
		return d.prod.StageManifest(name, d.enc)
	}},
	{"Producer.PublishReady", func(d *desk) {
		d.open()
		d.begin(content(4, 3))
		check(d, d.stageChunks())
		check(d, d.prod.StageManifest(name, d.enc))
	}, func(d *desk) error { return second(d.prod.PublishReady(name, d.refs)) }},
	{"Producer.PublishReady, occupied", (*desk).two, func(d *desk) error { return second(d.prod.PublishReady(name, d.refs)) }},
	{"Producer.PrepareReady", (*desk).begun, func(d *desk) error { return d.prod.PrepareReady() }},
	{"Producer.PublishReady, begun", (*desk).begun, func(d *desk) error { return second(d.prod.PublishReady(name, d.refs)) }},
	{"Producer.CollectGarbage, published", func(d *desk) {
		d.open()
		d.begin(content(4, 3))
		check(d, d.stageChunks())
		check(d, d.prod.StageManifest(name, d.enc))
		check(d, second(d.prod.PublishReady(name, d.refs)))
	}, func(d *desk) error { return d.prod.CollectGarbage(true, 4, 4, d.refs) }},
	{"Producer.CollectGarbage, not published", func(d *desk) {
		d.two()
		d.begin(content(4, 3))
		check(d, d.stageChunks())
		check(d, d.prod.StageManifest(name, d.enc))
	}, func(d *desk) error { return d.prod.CollectGarbage(false, 4, 99, d.refs) }},
	{"Producer.StageBlock", (*desk).two, func(d *desk) error {
		return d.prod.StageBlock(manifest.Sum(indexBlock), indexBlock, false)
	}},
	{"Producer.ReadBlock", func(d *desk) {
		d.two()
		check(d, d.prod.StageBlock(manifest.Sum(indexBlock), indexBlock, true))
	}, func(d *desk) error { return second(d.prod.ReadBlock(manifest.Sum(indexBlock))) }},
	{"Producer.CollectIndex", func(d *desk) {
		d.two()
		check(d, d.prod.StageBlock(manifest.Sum(indexBlock), indexBlock, true))
	}, func(d *desk) error { return d.prod.CollectIndex(func(manifest.Fingerprint) bool { return false }) }},
	{"Producer.CleanScratch", func(d *desk) {
		d.two()
		scratch := "spool/boule-" + d.boot.String() + "-v2/" + key.String() + "/staging/scratch/"
		check(d, d.mem.MkdirAll(scratch+"dir/u/meta", 0o700))
		check(d, fsx.Publish(d.mem, scratch+"x", scratch+"file", []byte("x"), 0o444, true))
	}, func(d *desk) error { return d.prod.CleanScratch() }},
	{"Producer.Backlog", (*desk).two, func(d *desk) error { return second(d.prod.Backlog()) }},
	{"Producer.Finish", (*desk).two, func(d *desk) error { return d.prod.Finish() }},
	{"Producer.DropStaged", (*desk).two, func(d *desk) error { return d.prod.DropStaged(name) }},
	{"Producer, a whole snapshot", (*desk).two, func(d *desk) error { return d.snapshot(content(5, 3)) }},
	{"Consumer.Metadata", func(d *desk) { d.two(); d.consume() }, func(d *desk) error { return second(d.cons.Metadata()) }},
	{"Consumer.Tidy", func(d *desk) { d.two(); d.consume() }, func(d *desk) error { return d.cons.Tidy() }},
	{"Consumer.TakeReady", func(d *desk) { d.two(); d.consume() }, func(d *desk) error { return second(d.cons.TakeReady()) }},
	{"Consumer.Busy", func(d *desk) { d.two(); d.consume() }, func(d *desk) error { return second(d.cons.Busy()) }},
	{"Consumer.Quiescent", (*desk).drained, func(d *desk) error { return second(d.cons.Quiescent()) }},
	{"Consumer.StagedChunks", (*desk).drained, func(d *desk) error { return second(d.cons.StagedChunks()) }},
	{"Consumer.ReadStagedChunk", (*desk).drained, func(d *desk) error { return second(d.cons.ReadStagedChunk(d.chunk)) }},
	{"Consumer.ReadIndexBlock", func(d *desk) {
		d.drained()
		check(d, d.mem.MkdirAll(d.index(), 0o700))
		check(d, fsx.Publish(d.mem, d.index()+"/x", d.index()+"/"+manifest.Sum(indexBlock).ChunkName(), indexBlock, 0o444, true))
	}, func(d *desk) error { return second(d.cons.ReadIndexBlock(manifest.Sum(indexBlock))) }},
	{"Consumer.RemoveStagedChunk", (*desk).drained, func(d *desk) error { return d.cons.RemoveStagedChunk(d.chunk) }},
	{"Consumer.StagedManifests", (*desk).drained, func(d *desk) error {
		all, err := d.cons.StagedManifests()
		for _, m := range all {
			err = errors.Join(err, second(m.Bytes()), m.Close())
		}
		return err
	}},
	{"Consumer.Unchanged", (*desk).drained, func(d *desk) error { return second(d.cons.Unchanged(d.staged[0])) }},
	{"Consumer.LockMeta", (*desk).drained, func(d *desk) error {
		unlock, err := d.cons.LockMeta(d.Context())
		if err == nil {
			unlock()
		}
		return err
	}},
	{"Consumer.LockTap", (*desk).drained, func(d *desk) error { d.cons.LockTap()(); return nil }},
	{"Batch.Chunks", (*desk).take, func(d *desk) error { return second(d.batch.Chunks()) }},
	{"Batch.ReadChunk", (*desk).take, func(d *desk) error { return second(d.batch.ReadChunk(d.chunk)) }},
	{"Batch.RemoveChunk", func(d *desk) { d.take(); d.put(d.chunk) }, func(d *desk) error { return d.batch.RemoveChunk(d.chunk) }},
	{"Batch.ChunksDone", func(d *desk) {
		d.take()
		names, err := d.batch.Chunks()
		check(d, err)
		d.put(names...)
		for _, chunk := range names {
			check(d, d.batch.RemoveChunk(chunk))
		}
	}, func(d *desk) error { return d.batch.ChunksDone() }},
	{"Batch.Manifests", (*desk).take, func(d *desk) error { return second(d.batch.Manifests()) }},
	{"Batch.ReadManifest", (*desk).take, func(d *desk) error { return second(d.batch.ReadManifest(name)) }},
	{"Batch.RemoveManifest", func(d *desk) { d.take(); d.putAll() }, func(d *desk) error { return d.batch.RemoveManifest(name) }},
	{"Batch.Finish", func(d *desk) { d.take(); d.putAll(); check(d, d.batch.RemoveManifest(name)) }, func(d *desk) error {
		return d.batch.Finish()
	}},
}

// indexBlock is a list of two fingerprints.
var indexBlock = manifest.AppendList(nil, []manifest.Fingerprint{{Lo: 1}, {Lo: 2}})

// index is where trackers keep index blocks.
func (d *desk) index() string {
	return "spool/boule-" + d.boot.String() + "-v2/" + key.String() + "/staging/index"
}

func TestSpool(t *testing.T) {
	var runs atomic.Int64
	start := time.Now()
	t.Run("each", func(t *testing.T) { // that is, all of it in parallel
		for _, op := range spoolOps {
			t.Run(op.name, func(t *testing.T) {
				runs.Add(int64(each(t, func(t *testing.T, plan *fsx.Plan, dies, reboots bool) {
					d := newDesk(t, plan)
					if op.prepare != nil {
						op.prepare(d)
					}
					d.judge("before")
					d.armed = true
					err := op.do(d)
					d.armed = false
					if plan.Hit() == "" && err != nil {
						t.Fatalf("without a fault: %v", err)
					}
					d.judge("after the fault")
					if dies {
						d.die(reboots)
						d.judge("in the next life")
					}
					d.goOn(dies)
				})))
			})
		}
	})
	t.Logf("%d operations, %d points of failure in %v", len(spoolOps), runs.Load(), time.Since(start).Round(time.Millisecond))
}

// goOn takes one more snapshot and uploads it.
func (d *desk) goOn(anew bool) {
	d.Helper()
	d.root = d.machine.root(d.actor(doctor.Producer), false)
	if anew || d.prod == nil {
		d.open()
	}
	last := content(3, 9)
	err := d.snapshot(last)
	if errors.Is(err, spool.ErrVanished) { // what an error had made of the spool was found now
		err = d.snapshot(last)
	}
	check(d, err)
	d.judge("after one more snapshot")
	d.uploaded(key, name, last)
}
