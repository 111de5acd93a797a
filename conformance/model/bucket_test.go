//go:build linux || darwin || freebsd

package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
)

// A bucket is what one target holds. Each manifest that is put there must find its chunks, and
// describe a state of the database that existed.
type bucket struct {
	w         *world
	id        string
	chunks    map[manifest.Fingerprint]bool
	objects   map[string]int    // to their sizes
	bodies    map[string][]byte // of all objects
	manifests map[string]*manifest.Manifest
	raced     bool // a manifest was put without the lock, or late: sequences may go back
	late      bool // a manifest was put by nobody who still knows of it
}

func newBucket(w *world, id string) *bucket {
	return &bucket{
		w: w, id: id, chunks: map[manifest.Fingerprint]bool{}, objects: map[string]int{}, bodies: map[string][]byte{},
		manifests: map[string]*manifest.Manifest{},
	}
}

// A request is a put on its way. It may be carried out after whoever sent it has gone.
type request struct {
	b    *bucket
	key  string
	body []byte
	p    *process
}

func (r *request) manifest() bool { return strings.HasPrefix(r.key, "m/") }

// carryOut puts the object.
func (r *request) carryOut(late bool) {
	b := r.b
	b.w.count.puts++
	b.w.watch.put(r, late)
	if name, ok := strings.CutPrefix(r.key, "m/"); ok {
		b.putManifest(name, r, late)
	} else {
		sum, err := manifest.ParseChunkName(strings.TrimPrefix(r.key, "c/"))
		if err != nil {
			b.w.bad("I2", "put of chunk %s: %v", r.key, err)
		}
		b.chunks[sum] = true
	}
	b.bodies[r.key] = r.body
	b.objects[r.key] = len(r.body)
}

func (b *bucket) putManifest(name string, r *request, late bool) {
	b.w.count.manifests++
	m, err := manifest.Decode(r.body)
	if err != nil {
		b.w.bad("I1", "put of manifest: %v", err)
		return
	}
	for i := range m.Blocks {
		if f := m.Blocks[i].Stored; f != manifest.NoBlock && !b.chunks[f] {
			b.w.bad("I13", "manifest %d was put, and its index block %d is not in the store", m.Sequence, i)
		}
	}
	list, err := m.List(func(f manifest.Fingerprint) ([]byte, error) {
		return manifest.DecompressChunk(b.bodies["c/"+f.ChunkName()], f)
	})
	if err != nil {
		b.w.bad("I13", "manifest %d was put, and its chunks can't be told: %v", m.Sequence, err)
	}
	for i, sum := range list {
		if i > 0 && sum != manifest.ZeroChunk && !b.chunks[sum] {
			b.w.bad("I13", "manifest %d was put, and its chunk %d of %d is not in the store", m.Sequence, i, len(list))
		}
	}
	if !b.w.db.existed(m) {
		b.w.bad("I19", "manifest %d was put, and the database never was like that", m.Sequence)
	}
	b.late = b.late || late
	b.raced = b.raced || late || !b.w.holds(r.p, b.id)
	if old := b.manifests[name]; old != nil && m.Sequence < old.Sequence && !b.raced {
		b.w.bad("I14", "manifest %d was put after %d", m.Sequence, old.Sequence)
	}
	b.manifests[name] = m
}

// restores says whether the newest manifest describes the database as it is. What it refers to
// was there when it was put, and nothing is deleted.
func (b *bucket) restores() error {
	m := b.manifests[b.w.name]
	if m == nil {
		return errors.New("the store holds nothing")
	}
	if m.Contents() != b.w.db.contents() {
		return fmt.Errorf("the store holds manifest %d, which is not of the database as it is", m.Sequence)
	}
	return nil
}

// A client is the bucket as one copier reaches it: each request stops at the gate.
type client struct {
	*bucket
	p *process
}

var _ store.Store = client{}

func (c client) stop(ctx context.Context, what string, cl class, put *request) error {
	return c.w.gate.pass(ctx, &stop{who: c.p.copier(c.id), what: what, class: cl, put: put, p: c.p})
}

// Put implements store.Store.
func (c client) Put(ctx context.Context, key string, body []byte, _ store.Condition) (store.Info, error) {
	r := &request{b: c.bucket, key: key, body: body, p: c.p}
	cl := putChunk
	if r.manifest() {
		cl = putManifest
	}
	err := c.stop(ctx, "put "+key, cl, r)
	switch {
	case errors.Is(err, errLost): // carried out, but nobody learns that
		r.carryOut(false)
		return store.Info{}, err
	case errors.Is(err, errKilled): // see process.kill
		return store.Info{}, err
	case err != nil:
		if ctx.Err() != nil || errors.Is(err, errLate) {
			c.w.afloat(r)
		}
		return store.Info{}, fmt.Errorf("put %s: %w", key, err)
	}
	r.carryOut(false)
	return store.Info{Key: key, Size: int64(len(body))}, nil
}

// Head implements store.Store.
func (c client) Head(ctx context.Context, key string) (store.Info, error) {
	if err := c.stop(ctx, "head "+key, head, nil); err != nil {
		return store.Info{}, fmt.Errorf("head %s: %w", key, err)
	}
	size, ok := c.objects[key]
	if !ok {
		return store.Info{}, fmt.Errorf("head %s: %w", key, store.ErrNotExist)
	}
	return store.Info{Key: key, Size: int64(size)}, nil
}

var errNotHere = errors.New("model: copiers do not do that")

// Get implements store.Store.
func (c client) Get(ctx context.Context, key string, _ *store.GetOptions) (*store.Object, error) {
	if err := c.stop(ctx, "get "+key, head, nil); err != nil {
		return nil, fmt.Errorf("get %s: %w", key, err)
	}
	body, ok := c.bodies[key]
	if !ok {
		return nil, fmt.Errorf("get %s: %w", key, store.ErrNotExist)
	}
	return &store.Object{Info: store.Info{Key: key, Size: int64(len(body))}, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// List implements store.Store.
func (c client) List(context.Context, string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) { yield(store.Info{}, errNotHere) }
}

// Delete implements store.Store.
func (c client) Delete(context.Context, string) error { return errNotHere }

// Touch implements store.Store.
func (c client) Touch(context.Context, string) (store.Info, error) { return store.Info{}, errNotHere }

func (c client) String() string { return "model://" + c.id }
