package doctor

import (
	"context"
	"io"
	"io/fs"
	"maps"
	"path"
	"strings"
	"sync"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
)

// A Recorder notes what is done through the file systems and stores that it gives out, as an
// Observer wants to know it, and what the stores hold. It is safe for concurrent use.
type Recorder struct {
	mu     sync.Mutex // guards what follows
	events []Event
	stored map[string]*Stored
}

// Note adds an event.
func (r *Recorder) Note(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Take returns the events since the last Take.
func (r *Recorder) Take() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

// Stores returns what was put in the stores so far, by target. What it returns may be used by one
// goroutine at a time.
func (r *Recorder) Stores() map[string]*Stored {
	r.mu.Lock()
	defer r.mu.Unlock()
	stores := map[string]*Stored{}
	for target, s := range r.stored {
		c := *s // with what is known of the bytes, which never change
		c.Chunks, c.Manifests = maps.Clone(s.Chunks), maps.Clone(s.Manifests)
		stores[target] = &c
	}
	return stores
}

func (r *Recorder) of(target string) *Stored {
	if r.stored == nil {
		r.stored = map[string]*Stored{}
	}
	if r.stored[target] == nil {
		r.stored[target] = NewStored()
	}
	return r.stored[target]
}

// FS returns fsys, a prefix of spools, as the actor sees it. A Consumer's opening and closing of a
// spool is noted as the begin and end of a pass.
func (r *Recorder) FS(actor Actor, fsys fsx.FS) fsx.FS {
	return &recorded{FS: fsys, r: r, actor: actor}
}

type recorded struct {
	fsx.FS
	r     *Recorder
	actor Actor
	dir   string
	pass  bool
}

func (f *recorded) note(op fsx.Op, name string, err error) error {
	f.r.Note(Event{Actor: f.actor, Op: Op(op), Name: path.Join(f.dir, name), Err: err})
	return err
}

func (f *recorded) ReadFile(name string) ([]byte, error) {
	data, err := f.FS.ReadFile(name)
	e := Event{Actor: f.actor, Op: Op(fsx.OpReadFile), Name: path.Join(f.dir, name), Err: err}
	if strings.Contains(e.Name, "/meta/") {
		e.Data = data
	}
	f.r.Note(e)
	return data, err
}

func (f *recorded) Open(name string) (fsx.File, error) {
	file, err := f.FS.Open(name)
	e := Event{Actor: f.actor, Op: Op(fsx.OpOpen), Name: path.Join(f.dir, name), Err: err}
	if err == nil && f.actor.Role == Producer && strings.Contains(e.Name, "/meta/") {
		if info, err := file.Stat(); err == nil {
			e.Data = make([]byte, info.Size)
			_, _ = io.ReadFull(io.NewSectionReader(file, 0, info.Size), e.Data) // whoever decodes it will see
		}
	}
	if f.r.Note(e); err != nil {
		return nil, err
	}
	return &recordedFile{file, f, name}, nil
}

func (f *recorded) Create(name string, perm fs.FileMode) (fsx.WFile, error) {
	file, err := f.FS.Create(name, perm)
	if f.note(fsx.OpCreate, name, err) != nil {
		return nil, err
	}
	return &recordedWFile{file, f, name}, nil
}

func (f *recorded) Stat(name string) (fsx.Info, error) {
	info, err := f.FS.Stat(name)
	return info, f.note(fsx.OpStat, name, err)
}

func (f *recorded) ReadDir(name string) ([]string, error) {
	names, err := f.FS.ReadDir(name)
	f.listed(name, len(names), err)
	return names, err
}

func (f *recorded) ReadDirBatch(name string, n int) ([]string, error) {
	names, err := f.FS.ReadDirBatch(name, n)
	f.listed(name, len(names), err)
	return names, err
}

func (f *recorded) listed(name string, n int, err error) {
	f.r.Note(Event{Actor: f.actor, Op: Op(fsx.OpReadDir), Name: path.Join(f.dir, name), Err: err, Count: n})
}

func (f *recorded) Mkdir(name string, perm fs.FileMode) error {
	return f.note(fsx.OpMkdir, name, f.FS.Mkdir(name, perm))
}

func (f *recorded) MkdirAll(name string, perm fs.FileMode) error {
	return f.note(fsx.OpMkdirAll, name, f.FS.MkdirAll(name, perm))
}

func (f *recorded) Link(oldname, newname string) error {
	return f.note(fsx.OpLink, newname, f.FS.Link(oldname, newname))
}

func (f *recorded) Rename(oldname, newname string) error {
	e := Event{Actor: f.actor, Op: Op(fsx.OpRename), Name: path.Join(f.dir, newname)}
	if strings.Contains(e.Name, "/meta/") {
		e.Data, _ = f.FS.ReadFile(oldname)
	}
	e.Err = f.FS.Rename(oldname, newname)
	f.r.Note(e)
	return e.Err
}

func (f *recorded) RenameNew(oldname, newname string) error {
	return f.note(fsx.OpRenameNew, newname, f.FS.RenameNew(oldname, newname))
}

func (f *recorded) RenameDir(oldname, newname string) error {
	return f.note(fsx.OpRenameDir, newname, f.FS.RenameDir(oldname, newname))
}

func (f *recorded) Remove(name string) error { return f.note(fsx.OpRemove, name, f.FS.Remove(name)) }

func (f *recorded) RemoveAll(name string) error {
	return f.note(fsx.OpRemoveAll, name, f.FS.RemoveAll(name))
}

func (f *recorded) Chmod(name string, perm fs.FileMode) error {
	return f.note(fsx.OpChmod, name, f.FS.Chmod(name, perm))
}

func (f *recorded) SyncDir(name string) error {
	return f.note(fsx.OpSyncDir, name, f.FS.SyncDir(name))
}

func (f *recorded) TryLock(name string) (io.Closer, error) {
	lock, err := f.FS.TryLock(name)
	return lock, f.note(fsx.OpLock, name, err)
}

func (f *recorded) Sub(name string) (fsx.FS, error) {
	sub, err := f.FS.Sub(name)
	if f.note(fsx.OpSub, name, err) != nil {
		return nil, err
	}
	s := &recorded{FS: sub, r: f.r, actor: f.actor, dir: path.Join(f.dir, name)}
	if spool, rest := split(s.dir); f.actor.Role == Consumer && spool != "" && rest == "" {
		s.pass = true
		f.r.Note(Event{Actor: f.actor, Op: OpPassBegin, Name: spool})
	}
	return s, nil
}

func (f *recorded) Close() error {
	if f.pass {
		f.pass = false
		f.r.Note(Event{Actor: f.actor, Op: OpPassEnd, Name: f.dir})
	}
	return f.FS.Close()
}

type recordedFile struct {
	fsx.File
	fs   *recorded
	name string
}

func (f *recordedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err != nil && n == len(p) {
		err = nil
	}
	return n, f.fs.note(fsx.OpReadAt, f.name, err)
}

func (f *recordedFile) Stat() (fsx.Info, error) {
	info, err := f.File.Stat()
	return info, f.fs.note(fsx.OpStat, f.name, err)
}

type recordedWFile struct {
	fsx.WFile
	fs   *recorded
	name string
}

func (f *recordedWFile) Write(p []byte) (int, error) {
	n, err := f.WFile.Write(p)
	return n, f.fs.note(fsx.OpWrite, f.name, err)
}

func (f *recordedWFile) Chmod(perm fs.FileMode) error {
	return f.fs.note(fsx.OpFileChmod, f.name, f.WFile.Chmod(perm))
}

func (f *recordedWFile) Sync() error { return f.fs.note(fsx.OpSync, f.name, f.WFile.Sync()) }

func (f *recordedWFile) Close() error { return f.fs.note(fsx.OpClose, f.name, f.WFile.Close()) }

// unreadable stands for the content of an object that is not the chunk that its name says.
var unreadable = []byte("not a chunk")

// Chunks returns the store of the chunks of a target as the actor sees it.
func (r *Recorder) Chunks(actor Actor, target string, s store.Store) store.Store {
	return &recordedStore{Store: s, r: r, actor: actor, target: target, chunks: true}
}

// Manifests returns the store of the manifests of a target as the actor sees it.
func (r *Recorder) Manifests(actor Actor, target string, s store.Store) store.Store {
	return &recordedStore{Store: s, r: r, actor: actor, target: target}
}

type recordedStore struct {
	store.Store
	r      *Recorder
	actor  Actor
	target string
	chunks bool
}

func (s *recordedStore) note(verb store.Verb, key string, err error) {
	s.r.Note(Event{Actor: s.actor, Op: StoreOp(verb), Name: key, Target: s.target, Err: err})
}

func (s *recordedStore) Put(ctx context.Context, key string, body []byte, cond store.Condition) (store.Info, error) {
	e := Event{Actor: s.actor, Op: StoreOp(store.VerbPut), Name: key, Target: s.target}
	var data []byte
	if s.chunks {
		data = unreadable
		if sum, err := manifest.ParseChunkName(key); err == nil {
			if chunk, err := manifest.DecompressChunk(body, sum); err == nil {
				data = chunk
			}
		}
	} else if m, err := manifest.Decode(body); err == nil {
		data, _ = manifest.Encode(m)
		e.Data = data
	}
	info, err := s.Store.Put(ctx, key, body, cond)
	if e.Err = err; err == nil {
		s.r.mu.Lock()
		if s.chunks {
			s.r.of(s.target).Chunks[key] = data
		} else {
			s.r.of(s.target).Manifests[key] = data
		}
		s.r.mu.Unlock()
	}
	s.r.Note(e)
	return info, err
}

func (s *recordedStore) Get(ctx context.Context, key string, opts *store.GetOptions) (*store.Object, error) {
	obj, err := s.Store.Get(ctx, key, opts)
	s.note(store.VerbGet, key, err)
	return obj, err
}

func (s *recordedStore) Head(ctx context.Context, key string) (store.Info, error) {
	info, err := s.Store.Head(ctx, key)
	s.note(store.VerbHead, key, err)
	return info, err
}

func (s *recordedStore) Delete(ctx context.Context, key string) error {
	err := s.Store.Delete(ctx, key)
	if s.note(store.VerbDelete, key, err); err == nil {
		s.r.mu.Lock()
		delete(s.r.of(s.target).Chunks, key)
		delete(s.r.of(s.target).Manifests, key)
		s.r.mu.Unlock()
	}
	return err
}

func (s *recordedStore) Touch(ctx context.Context, key string) (store.Info, error) {
	info, err := s.Store.Touch(ctx, key)
	s.note(store.VerbCopy, key, err)
	return info, err
}
