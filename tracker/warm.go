package tracker

import (
	"container/list"
	"slices"
	"sync"

	"github.com/boule-db/boule/internal/instance"
)

// filesPerSpool is how many files a spool keeps open: its directory, and the staged manifest.
const filesPerSpool = 2

// A warmth is the list of databases whose spools are open although nothing is written, so that the next commit need not read them.
// The application needs file descriptors more.
type warmth struct {
	mu   sync.Mutex // guards what follows; taken after all others
	used list.List  // of *database, the one that was used last at the end
	at   map[*database]*list.Element
}

// defaultOpenSpools lets them have an eighth of the file descriptors.
func defaultOpenSpools() int { return max(instance.OpenFiles()/8/filesPerSpool, 1) }

// warm notes that the spools of a database are open, and closes those of others, if there are too many. The caller holds d.staging.
func (m *Manager) warm(d *database) {
	if !slices.ContainsFunc(d.targets, func(ts *target) bool { return ts.producer != nil }) {
		return
	}
	w := &m.warmth
	w.mu.Lock()
	if w.at == nil {
		w.at = map[*database]*list.Element{}
	}
	if e := w.at[d]; e != nil {
		w.used.MoveToBack(e)
	} else {
		w.at[d] = w.used.PushBack(d)
	}
	var others []*database
	for e := w.used.Front(); e != nil && len(w.at)-len(others) > max(m.opts.OpenSpools/len(d.targets), 1); e = e.Next() {
		if e.Value != d {
			others = append(others, e.Value.(*database))
		}
	}
	w.mu.Unlock()
	for _, o := range others {
		o.chill()
	}
}

// cold notes that the spools of a database are closed.
func (m *Manager) cold(d *database) {
	m.warmth.mu.Lock()
	defer m.warmth.mu.Unlock()
	if e := m.warmth.at[d]; e != nil {
		m.warmth.used.Remove(e)
		delete(m.warmth.at, d)
	}
}

// Spare closes all files that are open only to make later commits faster: the process has no file descriptors left. It may
// be called within a commit.
func (m *Manager) Spare() {
	for _, d := range m.all() {
		d.chill()
	}
}

// chill closes the spools, unless something is being done in them, or is to be gone on with.
func (d *database) chill() {
	if !d.staging.TryLock() {
		return
	}
	defer d.staging.Unlock()
	d.mu.Lock()
	rest := !d.restAt.IsZero()
	d.mu.Unlock()
	if d.deferred == nil && !rest {
		d.releaseProducers()
	}
}
