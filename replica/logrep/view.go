package logrep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
	"github.com/boule-db/boule/store"
)

// View shows the newest states of logs as if they lay in the layout chunks, to those who want to look at one as at the other. The
// stores that it returns can only be asked for objects by their names:
//   - manifests has, under the name of a replica, a manifest of its newest entry, whose index blocks are all stored;
//   - chunks has the chunks and the index blocks of those entries that were got from manifests last.
//
// What is damaged is there, with other bytes than it should have. Head also says whether the frames of a chunk are there, without reading them.
// It remembers some bytes for every chunk of those entries.
func View(packs, entries store.Store) (chunks, manifests store.Store) {
	v := &view{packs: packs, entries: entries, states: map[string]*viewed{}}
	return viewedChunks{readOnly{packs}, v}, viewedManifests{readOnly{entries}, v}
}

type view struct {
	packs, entries store.Store

	mu     sync.Mutex // guards the following, and is held while states are read
	states map[string]*viewed
}

// A viewed is the newest entry of a log as it was got last.
type viewed struct {
	log  *Log
	head *Head

	chunks map[manifest.Fingerprint]int // which chunk has it; -1-b is index block b. Nil until somebody asks
	sizes  map[string]int64             // of objects, -1 if there is none
}

// get returns a manifest of the newest entry of a log.
func (v *view) get(ctx context.Context, name string) ([]byte, store.Info, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	state := v.states[name]
	if state == nil {
		state = &viewed{log: New(v.packs, v.entries, name)}
	}
	head, err := state.log.Head(ctx, nil)
	if errors.Is(err, store.ErrNotExist) {
		delete(v.states, name)
	}
	if err != nil {
		return nil, store.Info{}, err
	}
	if state.head == nil || state.head.Entry.Number != head.Entry.Number {
		state = &viewed{log: state.log, head: head}
		v.states[name] = state
	}
	m, err := state.log.Manifest(ctx, head.Entry)
	if err != nil {
		return nil, store.Info{}, err
	}
	b, err := manifest.Encode(m)
	return b, store.Info{Key: name, Size: int64(len(b)), ModTime: head.Info.ModTime, ETag: head.Sum().String()}, err
}

// Manifest returns a manifest of the state that e describes, whose index blocks are stored. It reads the first chunk.
func (l *Log) Manifest(ctx context.Context, e *remotelog.Entry) (*manifest.Manifest, error) {
	m := &manifest.Manifest{
		Header: e.Header, VersionID: e.VersionID, Sequence: e.Sequence, Size: e.Size, SourceTime: e.SourceTime,
		Generator: e.Generator, Writer: e.Writer, Blocks: []manifest.Block{},
	}
	for b := range e.Blocks {
		m.Blocks = append(m.Blocks, manifest.Block{Stored: e.Blocks[b].Digest, Digest: e.Blocks[b].Digest})
	}
	if e.Size == 0 {
		return m, nil
	}
	var err error
	m.First, err = l.Chunk(ctx, e, 0)
	return m, err
}

// find returns the state that has a chunk or an index block, and which that is; nil if none has it.
func (v *view) find(ctx context.Context, f manifest.Fingerprint) (*viewed, int, error) {
	for _, state := range v.states {
		if err := state.index(ctx); err != nil {
			return nil, 0, err
		}
		if i, ok := state.chunks[f]; ok {
			return state, i, nil
		}
	}
	return nil, 0, nil
}

// index makes the index of the chunks, as far as index blocks are sound.
func (s *viewed) index(ctx context.Context) error {
	if s.chunks != nil {
		return nil
	}
	all := map[manifest.Fingerprint]int{}
	for b := range s.head.Entry.Blocks {
		all[s.head.Entry.Blocks[b].Digest] = -1 - b
		chunks, err := s.log.Block(ctx, s.head.Entry, b)
		if err != nil && !isFault(err) {
			return err
		}
		for place := range chunks {
			all[chunks[place].Sum] = b*manifest.BlockChunks + place
		}
	}
	s.chunks, s.sizes = all, map[string]int64{}
	return nil
}

// content returns a chunk or an index block.
func (s *viewed) content(ctx context.Context, i int) ([]byte, error) {
	if i >= 0 {
		return s.log.Chunk(ctx, s.head.Entry, i)
	}
	chunks, err := s.log.Block(ctx, s.head.Entry, -1-i)
	if err != nil {
		return nil, err
	}
	var list []byte
	for place := range chunks {
		list = manifest.AppendList(list, []manifest.Fingerprint{chunks[place].Sum})
	}
	return list, nil
}

// there fails with store.ErrNotExist unless all frames of a chunk lie within objects that there are.
func (s *viewed) there(ctx context.Context, i int) error {
	if i < 0 {
		_, err := s.log.Block(ctx, s.head.Entry, -1-i)
		return err
	}
	chunks, err := s.log.Block(ctx, s.head.Entry, i/manifest.BlockChunks)
	if err != nil {
		return err
	}
	for _, layer := range chunks[i%manifest.BlockChunks].Layers {
		objects, key := s.log.object(layer.Frame.Object)
		size, known := s.sizes[key]
		if !known {
			info, err := objects.Head(ctx, key)
			if err != nil && !errors.Is(err, store.ErrNotExist) {
				return err
			}
			if size = info.Size; err != nil {
				size = -1
			}
			s.sizes[key] = size
		}
		if size < layer.Frame.End() { // of an entry, its header comes before that
			return s.log.inFrame(layer.Frame, store.ErrNotExist)
		}
	}
	return nil
}

// chunk returns the object that a chunk or an index block would be.
func (v *view) chunk(ctx context.Context, key string, read bool) ([]byte, store.Info, error) {
	absent := fmt.Errorf("%q in the logs of %s: %w", key, v.entries, store.ErrNotExist)
	f, err := manifest.ParseChunkName(key)
	if err != nil {
		return nil, store.Info{}, absent
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	state, i, err := v.find(ctx, f)
	if err != nil {
		return nil, store.Info{}, err
	}
	if state == nil {
		return nil, store.Info{}, absent
	}
	info := store.Info{Key: key, Size: manifest.ChunkSize, ModTime: state.head.Info.ModTime, ETag: f.String()}
	if !read {
		return nil, info, state.there(ctx, i)
	}
	data, err := state.content(ctx, i)
	if err != nil {
		return nil, store.Info{}, err
	}
	body := manifest.Compress(data)
	info.Size = int64(len(body))
	return body, info, nil
}

// damaged makes what is damaged an object, which is something else.
func damaged(body []byte, info store.Info, key string, err error) ([]byte, store.Info, error) {
	if errors.Is(err, remotelog.ErrCorrupt) && !errors.Is(err, store.ErrNotExist) {
		body = []byte(err.Error())
		return body, store.Info{Key: key, Size: int64(len(body)), ETag: "damaged"}, nil
	}
	return body, info, err
}

func opened(body []byte, info store.Info, opts *store.GetOptions) (*store.Object, error) {
	if opts != nil && opts.IfNoneMatch != "" && opts.IfNoneMatch == info.ETag {
		return nil, store.ErrNotModified
	}
	offset, length, err := opts.Range(info.Size)
	if err != nil {
		return nil, err
	}
	return &store.Object{Info: info, Body: io.NopCloser(bytes.NewReader(body[offset : offset+length]))}, nil
}

type viewedManifests struct {
	readOnly
	v *view
}

// Get implements [store.Store].
func (s viewedManifests) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	body, info, err := s.v.get(ctx, key)
	if body, info, err = damaged(body, info, key, err); err != nil {
		return nil, err
	}
	return opened(body, info, opts)
}

// Head implements [store.Store].
func (s viewedManifests) Head(ctx context.Context, key string) (store.Info, error) {
	body, info, err := s.v.get(ctx, key)
	_, info, err = damaged(body, info, key, err)
	return info, err
}

type viewedChunks struct {
	readOnly
	v *view
}

// OwnIndex says that index blocks which manifests elsewhere name need not be among the chunks.
func (viewedChunks) OwnIndex() bool { return true }

// Get implements [store.Store].
func (s viewedChunks) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	body, info, err := s.v.chunk(ctx, key, true)
	if body, info, err = damaged(body, info, key, err); err != nil {
		return nil, err
	}
	return opened(body, info, opts)
}

// Head implements [store.Store].
func (s viewedChunks) Head(ctx context.Context, key string) (store.Info, error) {
	body, info, err := s.v.chunk(ctx, key, false)
	_, info, err = damaged(body, info, key, err)
	return info, err
}

// readOnly refuses all but Get and Head, which it does not have.
type readOnly struct{ s store.Store }

var errView = errors.New("logrep: a view of a log can only be asked for objects")

// Put implements [store.Store].
func (readOnly) Put(context.Context, string, []byte, store.Condition) (store.Info, error) {
	return store.Info{}, errView
}

// List implements [store.Store].
func (readOnly) List(context.Context, string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) { yield(store.Info{}, errView) }
}

// Delete implements [store.Store].
func (readOnly) Delete(context.Context, string) error { return errView }

// Touch implements [store.Store].
func (readOnly) Touch(context.Context, string) (store.Info, error) { return store.Info{}, errView }

// String implements [store.Store].
func (r readOnly) String() string { return r.s.String() }
