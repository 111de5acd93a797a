package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/store"
)

// A work is what an actor has done in a spool lately.
type work struct {
	// A producer's, since it read the staged manifest.
	began   bool
	base    *manifest.Manifest            // what it found; nil if nothing usable
	touched map[manifest.Fingerprint]bool // chunks that it staged, or found staged
	staged  *manifest.Manifest            // what it staged

	published bool                   // what it staged last it also made ready
	linked    bool                   // it linked the staged manifest since
	upcoming  []manifest.Fingerprint // chunks that it linked for the next ready snapshot

	// A consumer's.
	source string          // where it read the last manifest: "staging" or "consuming"
	looked []string        // directories that it listed since it opened the staged manifest
	busy   map[string]bool // those in which it found something, when it listed them last
}

type workKey struct {
	actor Actor
	path  string
}

// memory is what has been seen so far.
type memory struct {
	works     map[workKey]*work
	sources   map[Actor]string                         // spool in which a consumer last read a manifest
	exclusive map[Actor][]byte                         // version ids when producers took their EXCLUSIVE lock
	reads     map[Actor]map[int64]bool                 // chunks of the database that producers read, by index
	uniques   map[string]*unique                       // by spool and name
	identity  map[string]sighting                      // of staged manifests, by path: when first seen
	peak      map[string]int64                         // greatest size of the database of a spool
	passes    map[string]Actor                         // by process and spool
	readers   map[string][]byte                        // what readers saw
	doubt     map[string]bool                          // spools whose store lost or refused something
	left      map[string]map[manifest.Fingerprint]bool // by spool: chunks that left the staging area once, for ready or for the store
	sequences map[string]map[string]uint64             // of the manifests in stores, by target and name
}

type unique struct {
	dev, ino uint64
	place    string // "ready", "consuming", or "" when it is gone
}

type sighting struct {
	dev, ino uint64
	changed  int64
}

func newMemory() *memory {
	return &memory{
		works: map[workKey]*work{}, sources: map[Actor]string{}, exclusive: map[Actor][]byte{},
		reads: map[Actor]map[int64]bool{}, uniques: map[string]*unique{}, identity: map[string]sighting{},
		peak: map[string]int64{}, passes: map[string]Actor{}, readers: map[string][]byte{},
		doubt: map[string]bool{}, left: map[string]map[manifest.Fingerprint]bool{}, sequences: map[string]map[string]uint64{},
	}
}

func (m *memory) work(a Actor, path string) *work {
	k := workKey{a, path}
	w := m.works[k]
	if w == nil {
		w = &work{touched: map[manifest.Fingerprint]bool{}, busy: map[string]bool{}}
		m.works[k] = w
	}
	return w
}

// An occurrence is an event, and what its actor did before.
type occurrence struct {
	Event
	path, rest string // the spool, and what is below
	w          *work
	upload     *manifest.Manifest // of a put of a manifest
}

func (m *memory) occurrence(e Event) *occurrence {
	o := &occurrence{Event: e}
	switch {
	case !e.Op.store():
		o.path, o.rest = split(e.Name)
	case e.Op == StoreOp(store.VerbPut) && len(e.Data) > 0:
		o.path = m.sources[e.Actor]
		o.upload, _ = manifest.Decode(e.Data)
	}
	o.w = m.work(e.Actor, o.path)
	return o
}

// split takes the name of a file in a spool apart: the spool, and what is below.
func split(name string) (path, rest string) {
	if !strings.HasPrefix(name, "boule-") {
		return "", name
	}
	n := 0
	for i := range len(name) {
		if name[i] == '/' {
			if n++; n == 3 {
				return name[:i], name[i+1:]
			}
		}
	}
	if n == 2 {
		return name, ""
	}
	return "", name
}

// stagedChunk returns the chunk that the event is about, if it is a staged one.
func (o *occurrence) stagedChunk() (manifest.Fingerprint, bool) {
	name, ok := strings.CutPrefix(o.rest, "staging/chunks/")
	if !ok {
		return manifest.Fingerprint{}, false
	}
	f, err := manifest.ParseChunkName(name)
	return f, err == nil
}

func (o *occurrence) stagedManifest() bool { return strings.HasPrefix(o.rest, "staging/meta/") }

// learn remembers the event.
func (m *memory) learn(o *occurrence) {
	switch o.Op {
	case OpExclusive:
		m.exclusive[o.Actor] = o.Data
	case OpReadDB:
		if m.reads[o.Actor] == nil {
			m.reads[o.Actor] = map[int64]bool{}
		}
		if len(o.Data) > manifest.HeaderSize || o.Offset > 0 { // else it looks at the header
			m.reads[o.Actor][o.Offset/manifest.ChunkSize] = true
		}
	case OpPassBegin:
		m.passes[passKey(o)] = o.Actor
	case OpPassEnd:
		delete(m.passes, passKey(o))
	case OpRead:
		if _, ok := m.readers[readKey(o)]; !ok {
			m.readers[readKey(o)] = o.Data
		}
	}
	switch o.Actor.Role {
	case Producer:
		m.produced(o)
	case Consumer:
		m.consumed(o)
	}
}

func passKey(o *occurrence) string { return fmt.Sprint(o.Actor.Process, " ", o.Name) }

func readKey(o *occurrence) string {
	return fmt.Sprint(o.Actor, " ", o.Name, " ", o.Offset, " ", len(o.Data))
}

func (m *memory) produced(o *occurrence) {
	w := o.w
	chunk, isChunk := o.stagedChunk()
	switch {
	case o.is("stat") && o.stagedManifest() && w.began && w.staged == nil && (o.Err == nil || errors.Is(o.Err, fs.ErrNotExist)):
		// A snapshot that gave way is taken up again: what was read and staged for it counts. Else an open follows.
	case o.is("open", "stat") && o.stagedManifest(): // a stat says that it is what the producer knows
		base := w.staged
		if base == nil {
			base = w.base
		}
		*w = work{began: true, touched: map[manifest.Fingerprint]bool{}, published: w.published, linked: w.linked, upcoming: w.upcoming}
		switch {
		case errors.Is(o.Err, fs.ErrNotExist):
		case o.Err != nil:
			w.began = false
		case o.is("open"):
			w.base, _ = manifest.Decode(o.Data)
		default:
			w.base = base
		}
		clear(m.reads[o.Actor])
	case o.is("link") && isChunk && errors.Is(o.Err, fs.ErrExist):
		w.touched[chunk] = true
	case o.Err != nil:
	case o.is("stat", "rename", "link") && isChunk:
		w.touched[chunk] = true
	case o.is("rename") && o.stagedManifest():
		w.staged, _ = manifest.Decode(o.Data)
		w.published, w.linked = false, false
	case o.is("link", "rename") && strings.HasPrefix(o.rest, "staging/scratch/") && strings.Contains(o.rest, "/chunks/"):
		if f, err := manifest.ParseChunkName(path.Base(o.rest)); err == nil {
			w.upcoming = append(w.upcoming, f)
		}
	case o.is("link") && strings.HasPrefix(o.rest, "staging/scratch/") && strings.Contains(o.rest, "/meta/"):
		w.linked = true
	case o.is("renamedir") && o.rest == "ready":
		w.published, w.linked = true, false
		m.leaves(o.path, w.upcoming...)
		w.upcoming = nil
	}
}

func (m *memory) leaves(spool string, chunks ...manifest.Fingerprint) {
	if m.left[spool] == nil {
		m.left[spool] = map[manifest.Fingerprint]bool{}
	}
	for _, f := range chunks {
		m.left[spool][f] = true
	}
}

func (m *memory) consumed(o *occurrence) {
	w := o.w
	_, inBatch := strings.CutPrefix(o.rest, "consuming/")
	switch {
	case o.is("readdir") && (o.Err == nil || errors.Is(o.Err, fs.ErrNotExist)):
		switch o.rest {
		case "staging/chunks", "ready", "consuming":
			w.looked = append(w.looked, o.rest)
			w.busy[o.rest] = o.Count > 0
		}
	case o.Err != nil:
	case o.is("remove"):
		if f, ok := o.stagedChunk(); ok {
			m.leaves(o.path, f)
		}
	case o.is("open", "readat") && o.stagedManifest():
		if o.is("open") {
			w.looked = nil
			clear(w.busy)
		}
		w.source, m.sources[o.Actor] = "staging", o.path
	case o.is("readfile", "open", "readat") && inBatch && strings.Contains(o.rest, "/meta/"):
		w.source, m.sources[o.Actor] = "consuming", o.path
	}
}
