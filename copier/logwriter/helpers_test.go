package logwriter_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/boule-db/boule/copier/logwriter"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/mem"
)

const (
	testName = "a1b2-boule:host:c3d4/%2Fdata%2Fdb"
	pageSize = remotelog.PageSize
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func owner(n byte) remotelog.Owner {
	return remotelog.Owner{Spool: [16]byte{n, 1}, Database: [16]byte{n, 2}}
}

// random returns n bytes that do not compress.
func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// A snap is a snapshot of a database in memory, and the Source of it.
type snap struct {
	data []byte
	m    *manifest.Manifest
	at   map[manifest.Fingerprint]int
	only map[manifest.Fingerprint]bool // if not nil, the chunks that are at hand
}

// take takes a snapshot of data, which must not be changed until it was appended.
func take(data []byte, sequence uint64) *snap {
	s := &snap{data: data, at: make(map[manifest.Fingerprint]int)}
	m := &manifest.Manifest{
		Header: manifest.HeaderSum(data), VersionID: []byte("v"), Sequence: sequence, Size: int64(len(data)),
		Generator: "test", Writer: "host 1", First: data[:min(len(data), manifest.ChunkSize)],
	}
	for i := range manifest.Count(m.Size) {
		sum := manifest.Sum(s.chunk(i))
		m.Chunks = append(m.Chunks, sum)
		s.at[sum] = i
	}
	s.m = m
	return s
}

func (s *snap) chunk(i int) []byte {
	return s.data[i*manifest.ChunkSize : min((i+1)*manifest.ChunkSize, len(s.data))]
}

func (s *snap) Block(_ context.Context, f manifest.Fingerprint) ([]byte, error) {
	return nil, fmt.Errorf("block %v: %w", f, fs.ErrNotExist)
}

func (s *snap) Chunk(_ context.Context, f manifest.Fingerprint) ([]byte, error) {
	i, ok := s.at[f]
	if !ok || s.only != nil && !s.only[f] {
		return nil, fmt.Errorf("chunk %v: %w", f, fs.ErrNotExist)
	}
	return bytes.Clone(s.chunk(i)), nil
}

// counter is a store that counts requests and the bytes sent.
type counter struct {
	store.Store
	mu    sync.Mutex
	verbs map[store.Verb]int
	bytes int64
}

func count(s store.Store) *counter { return &counter{Store: s, verbs: make(map[store.Verb]int)} }

func (c *counter) add(v store.Verb, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verbs[v]++
	c.bytes += int64(n)
}

func (c *counter) requests() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.verbs {
		n += k
	}
	return n
}

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.verbs)
	c.bytes = 0
}

func (c *counter) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	c.add(store.VerbPut, len(body))
	return c.Store.Put(ctx, key, body, cond)
}

func (c *counter) Get(ctx context.Context, key string, o *store.GetOptions) (*store.Object, error) {
	c.add(store.VerbGet, 0)
	return c.Store.Get(ctx, key, o)
}

func (c *counter) Head(ctx context.Context, key string) (store.Info, error) {
	c.add(store.VerbHead, 0)
	return c.Store.Head(ctx, key)
}

func (c *counter) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	c.add(store.VerbList, 0)
	return c.Store.List(ctx, prefix)
}

func (c *counter) Delete(ctx context.Context, key string) error {
	c.add(store.VerbDelete, 0)
	return c.Store.Delete(ctx, key)
}

// object reads a whole object.
func object(t testing.TB, s store.Store, key string) []byte {
	t.Helper()
	b, _, err := store.ReadAll(context.Background(), s, key, 1<<30)
	check(t, err)
	return b
}

// entryOf reads an entry and the frames in it.
func entryOf(t testing.TB, s store.Store, number uint64) (*remotelog.Entry, []byte) {
	t.Helper()
	b := object(t, s, remotelog.EntryKey(testName, number))
	e, n, _, err := remotelog.DecodeEntry(b)
	check(t, err)
	check(t, e.Check(testName, number))
	return e, b[n:]
}

// restore returns the state that an entry describes, read in the plainest way there is.
func restore(t testing.TB, s store.Store, number uint64) []byte {
	t.Helper()
	r := newReading(t, s, number)
	out := make([]byte, 0, r.e.Size)
	for i := range manifest.Count(r.e.Size) {
		out = append(out, r.chunk(i)...)
	}
	return out
}

// A reading reads the state of an entry.
type reading struct {
	t       testing.TB
	s       store.Store
	e       *remotelog.Entry
	objects map[remotelog.ObjectID][]byte
	blocks  map[int][]remotelog.Chunk
}

func newReading(t testing.TB, s store.Store, number uint64) *reading {
	t.Helper()
	e, _ := entryOf(t, s, number)
	return &reading{t, s, e, map[remotelog.ObjectID][]byte{}, map[int][]remotelog.Chunk{}}
}

func (r *reading) frame(p remotelog.Place) (remotelog.Kind, []byte, error) {
	r.t.Helper()
	b, ok := r.objects[p.Object]
	if !ok {
		if p.Object.Part == 0 {
			_, b = entryOf(r.t, r.s, p.Object.Entry)
		} else {
			b = object(r.t, r.s, remotelog.PackKey(testName, p.Object))
		}
		r.objects[p.Object] = b
	}
	if p.End() > int64(len(b)) {
		r.t.Fatalf("entry %d: %v is not in the object", r.e.Number, p)
	}
	return remotelog.OpenFrame(b[p.Offset:p.End()])
}

func (r *reading) block(b int) []remotelog.Chunk {
	r.t.Helper()
	if chunks, ok := r.blocks[b]; ok {
		return chunks
	}
	var stored []remotelog.Chunk
	if p := r.e.Blocks[b].Stored; !p.IsZero() {
		_, raw, err := r.frame(p)
		check(r.t, err)
		stored, err = remotelog.DecodeIndex(raw)
		check(r.t, err)
	}
	var patch []remotelog.Override
	if p := r.e.Blocks[b].Patch; !p.IsZero() {
		_, raw, err := r.frame(p)
		check(r.t, err)
		patch, err = remotelog.DecodePatch(raw)
		check(r.t, err)
	}
	chunks, err := r.e.Block(b, stored, patch)
	check(r.t, err)
	r.blocks[b] = chunks
	return chunks
}

func (r *reading) chunk(i int) []byte {
	r.t.Helper()
	c := r.block(i / manifest.BlockChunks)[i%manifest.BlockChunks]
	data, err := c.Compose(int64(i), manifest.ChunkLen(r.e.Size, i), r.frame)
	check(r.t, err)
	return data
}

// keyOf is where an object is.
func keyOf(id remotelog.ObjectID) string {
	if id.Part == 0 {
		return remotelog.EntryKey(testName, id.Entry)
	}
	return remotelog.PackKey(testName, id)
}

// keys returns the keys under a prefix.
func keys(t testing.TB, s store.Store, prefix string) (list []string) {
	t.Helper()
	for info, err := range s.List(context.Background(), prefix) {
		check(t, err)
		list = append(list, info.Key)
	}
	return list
}

// entries returns the numbers of the entries.
func entries(t testing.TB, s store.Store) (list []uint64) {
	t.Helper()
	for _, key := range keys(t, s, remotelog.EntryPrefix(testName)) {
		n, ok := remotelog.ParseEntryKey(testName, key)
		if !ok {
			t.Fatalf("the key %s", key)
		}
		list = append(list, n)
	}
	return list
}

// A rig is a writer with a store.
type rig struct {
	t testing.TB
	s *counter // both packs and entries
	w *logwriter.Writer
	o logwriter.Options
	n uint64 // sequence
}

func newRig(t testing.TB, o logwriter.Options) *rig {
	if o.Owner == (remotelog.Owner{}) {
		o.Owner = owner(1)
	}
	r := &rig{t: t, s: count(mem.New()), o: o}
	r.restart()
	return r
}

// restart makes a new writer.
func (r *rig) restart() { r.w = logwriter.New(r.s, r.s, testName, r.o) }

// append appends data as it is, and checks that the newest entry says so.
func (r *rig) append(data []byte) logwriter.Result {
	r.t.Helper()
	res := r.send(data)
	if got := restore(r.t, r.s.Store, res.Entry); !bytes.Equal(got, data) {
		r.t.Fatalf("entry %d restores to something else", res.Entry)
	}
	return res
}

// send is append without that check.
func (r *rig) send(data []byte) logwriter.Result {
	r.t.Helper()
	r.n++
	s := take(data, r.n)
	res, err := r.w.Append(context.Background(), s.m, s)
	check(r.t, err)
	return res
}

// clock is one that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now.IsZero() {
		return time.Now()
	}
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}
