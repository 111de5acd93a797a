package copier_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// A history is the states that a database was ever in.
type history struct {
	mu     sync.Mutex
	states map[uint64]manifest.Fingerprint // sequence to the contents
}

func (h *history) add(m *manifest.Manifest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states[m.Sequence] = m.Contents()
}

func (h *history) has(m *manifest.Manifest) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum, ok := h.states[m.Sequence]
	return ok && sum == m.Contents()
}

// A database is contents and what a tracker would do about them.
type database struct {
	t    testing.TB
	root *spool.Root
	key  spool.Key
	name string

	mu      sync.Mutex // stands for the lock of the database
	prod    *spool.Producer
	rand    *rand.Rand
	content []byte
	dirty   map[int]bool
	seq     uint64
	history *history

	fold   bool                   // the next snapshot stores its index block
	stored []manifest.Fingerprint // what the index block says that is stored; nil if none is
}

const cs = manifest.ChunkSize

// logTarget is the id of a target with the layout log; all others have chunks.
const logTarget = "logs"

// layouts are targets of all layouts.
var layouts = []struct{ name, target string }{{"chunks", "t1"}, {"log", logTarget}}

// spec is the specification of the target with that id.
func spec(targetID string) json.RawMessage {
	layout := "chunks"
	if targetID == logTarget {
		layout = "log"
	}
	return json.RawMessage(`{"file":{"directory":"/` + targetID + `"},"layout":"` + layout + `"}`)
}

// newDatabase returns a database of the given number of chunks, the last of them short.
func newDatabase(t testing.TB, root *spool.Root, path, targetID string, chunks int) *database {
	t.Helper()
	db := spool.DB{Path: path, Dev: 1, Ino: 2}
	target := spool.Target{ID: targetID, Spec: spec(targetID)}
	prod, err := root.Producer(db, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prod.Close() })
	d := &database{
		t: t, root: root, key: prod.Key(), name: manifest.Name("host.example", path), prod: prod,
		rand:    rand.New(rand.NewPCG(manifest.Sum([]byte(path)).Lo, 2)),
		content: make([]byte, chunks*cs-1000),
		dirty:   make(map[int]bool),
		history: &history{states: make(map[uint64]manifest.Fingerprint)},
	}
	for i := range chunks {
		d.write(i)
	}
	return d
}

// write changes a chunk.
func (d *database) write(chunk int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	part := d.content[chunk*cs : min((chunk+1)*cs, len(d.content))]
	for i := 0; i+8 <= len(part); i += 512 {
		for j := range 8 {
			part[i+j] = byte(d.rand.Uint32())
		}
	}
	d.dirty[chunk] = true
}

func (d *database) bytes() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.content)
}

// A step is one call of the producer's; tests stop between steps.
type step struct {
	name string
	do   func() error
}

// steps returns the steps of a snapshot.
func (d *database) steps() []step {
	full := false
	m := &manifest.Manifest{
		Header: manifest.HeaderSum(d.content), VersionID: []byte("v"),
		Size: int64(len(d.content)), SourceTime: time.Unix(0, 0).UTC(), Generator: "test", Writer: "test",
		First: bytes.Clone(d.content[:min(cs, len(d.content))]),
	}
	var parts [][]byte
	for off := 0; off < len(d.content); off += cs {
		part := bytes.Clone(d.content[off:min(off+cs, len(d.content))])
		parts = append(parts, part)
		m.Chunks = append(m.Chunks, manifest.Sum(part))
	}
	d.seq = max(d.seq+1, uint64(time.Now().UnixNano()))
	m.Sequence = d.seq
	d.history.add(m)
	refs := m.Chunks[1:]
	folded := d.fold
	if folded {
		d.fold, d.stored = false, slices.Clone(m.Chunks)
	}
	var index manifest.Fingerprint
	if d.stored != nil {
		m.Blocks = []manifest.Block{{Digest: manifest.Sum(manifest.AppendList(nil, m.Chunks))}}
		index = manifest.Sum(manifest.AppendList(nil, d.stored))
		m.Blocks[0].Stored = index
		for i, sum := range m.Chunks {
			if i > 0 && d.stored[i] != sum {
				m.Blocks[0].Overrides = append(m.Blocks[0].Overrides, manifest.Override{Place: i, Sum: sum})
			}
		}
		refs = append(slices.Clone(refs), index)
	}
	copied := 0
	published := false
	data, err := manifest.Encode(m)
	if err != nil {
		d.t.Error(err)
	}

	steps := []step{{"staged", func() error {
		_, err := d.prod.Staged(d.name)
		if errors.Is(err, fs.ErrNotExist) {
			full, err = true, nil
		}
		return err
	}}}
	for i := 1; i < len(parts); i++ {
		steps = append(steps, step{"chunk", func() error {
			if m.Chunks[i] == manifest.ZeroChunk || !full && !d.dirty[i] {
				return nil
			}
			copied++
			return d.prod.StageChunk(m.Chunks[i], parts[i])
		}})
	}
	if index != manifest.NoBlock {
		steps = append(steps, step{"index", func() error {
			if !full && !folded {
				return nil
			}
			copied++
			return d.prod.StageBlock(index, manifest.AppendList(nil, d.stored), false)
		}})
	}
	return append(steps,
		step{"manifest", func() error { return d.prod.StageManifest(d.name, data) }},
		step{"ready", func() (err error) {
			published, err = d.prod.PublishReady(d.name, func(f manifest.Fingerprint) bool { return slices.Contains(refs, f) })
			return err
		}},
		step{"garbage", func() error {
			return d.prod.CollectGarbage(published, len(refs), copied, func(f manifest.Fingerprint) bool { return slices.Contains(refs, f) })
		}},
		step{"scratch", func() error {
			clear(d.dirty)
			return d.prod.CleanScratch()
		}})
}

// snapshot takes all steps.
func (d *database) snapshot() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.steps() {
		if err := s.do(); err != nil {
			d.t.Errorf("%s: %v", s.name, err)
		}
	}
}

// commit changes chunks and takes a snapshot.
func (d *database) commit(chunks ...int) {
	d.t.Helper()
	for _, c := range chunks {
		d.write(c)
	}
	d.snapshot()
}

// desync does what a tracker does when it is told.
func (d *database) desync() {
	d.mu.Lock()
	err := d.prod.DropStaged(d.name)
	d.mu.Unlock()
	if err != nil {
		d.t.Error(err)
	}
	d.snapshot()
}

// same fails the test unless the bucket holds the database as it is.
func (d *database) same(b *bucket) {
	d.t.Helper()
	if got := b.restore(d.t, d.name); !bytes.Equal(got, d.bytes()) {
		d.t.Errorf("restored %d bytes, which are not the %d bytes of the database", len(got), len(d.content))
	}
	b.verify(d.t)
}

// empty fails the test unless nothing is pending in the spool.
func (d *database) empty() {
	d.t.Helper()
	infos, err := d.root.Spools()
	if err != nil {
		d.t.Fatal(err)
	}
	i := slices.IndexFunc(infos, func(i spool.Info) bool { return i.Key == d.key })
	if i < 0 {
		d.t.Fatalf("no spool %v", d.key)
	}
	in := infos[i]
	if in.Staged.Chunks+in.Ready.Chunks+in.Consuming.Chunks+in.Ready.Manifests+in.Consuming.Manifests > 0 {
		d.t.Errorf("left in the spool: %+v", in)
	}
}
