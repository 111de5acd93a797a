package tracker

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/spool"
)

// maxIdle bounds how many databases without connections are remembered.
const maxIdle = 4096

// A Manager is what all connections of one configuration share. It is safe for concurrent use.
type Manager struct {
	opts   Options
	log    *slog.Logger
	writer string // of manifests
	wake   chan struct{}
	warmth warmth

	mu      sync.Mutex // guards what follows
	dbs     map[dbKey]*database
	byPath  map[string]*database // the one tracked last
	refused map[string]error     // why the path could not be tracked
	idle    int                  // databases without trackers
	closed  bool
}

type dbKey struct {
	path     string
	dev, ino uint64
}

// New returns a Manager.
func New(opts *Options) *Manager {
	m := &Manager{
		opts:    opts.withDefaults(),
		wake:    make(chan struct{}, 1),
		dbs:     map[dbKey]*database{},
		byPath:  map[string]*database{},
		refused: map[string]error{},
	}
	m.log = m.opts.Logger
	host := strings.ToValidUTF8(m.opts.Hostname, "?")
	if len(host) > 255 {
		host = strings.ToValidUTF8(host[:255], "")
	}
	m.writer = host + " " + strconv.Itoa(os.Getpid())
	return m
}

// Track returns the Tracker of a connection that opened the database. It never fails: what cannot
// be tracked is not, see [Tracker.Untracked], and its version id is kept honest nevertheless.
// path is the absolute path under which SQLite opened it, beside which the journal is.
func (m *Manager) Track(path string, f File, mode Mode) *Tracker {
	t := &Tracker{m: m, file: f, path: path, log: m.log.With("db", path), noAttr: m.opts.noAttr}
	t.dirty.reset()
	t.guard("track", func() {
		db, err := m.attach(path, f, mode)
		if err != nil {
			t.untracked = fmt.Errorf("%w: %w", ErrUntracked, err)
			return
		}
		t.db, t.mode, t.eager = db, mode, mode == Eager
	}, func(err error) { t.untracked = err })
	return t
}

// attach finds or makes the record of the database.
func (m *Manager) attach(path string, f File, mode Mode) (*database, error) {
	if len(m.opts.Targets) == 0 {
		return nil, errNoReplication
	}
	db, err := m.identify(path, f)
	if err != nil {
		m.refuse(path, err)
		return nil, err
	}
	if mode == Eager {
		m.opts.Root.CleanStale(db) // no lock is held yet
	}
	key := dbKey{db.Path, db.Dev, db.Ino}
	wal := m.mayBeWAL(key) && inWAL(f)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errClosed
	}
	d := m.dbs[key]
	if d == nil {
		d = newDatabase(m, db)
		m.dbs[key] = d
		m.idle++
		d.sight(wal, mode)
	} else if d.inWAL() && !wal {
		d.sight(false, mode) // somebody else ended it
	}
	delete(m.refused, path)
	m.byPath[db.Path] = d
	if d.attach(mode) == 1 {
		m.idle--
	}
	return d, nil
}

// mayBeWAL says whether it is worth the look of inWAL.
func (m *Manager) mayBeWAL(key dbKey) bool {
	m.mu.Lock()
	d := m.dbs[key]
	m.mu.Unlock()
	return d == nil || d.inWAL()
}

// inWAL says whether the header, as far as it can be read, says WAL mode.
func inWAL(f File) (wal bool) {
	defer func() {
		if recover() != nil {
			wal = false // whoever evaluates it will report that
		}
	}()
	var version [2]byte
	n, err := readAt(f, version[:], 18)
	return err == nil && n == len(version) && (version[0] == 2 || version[1] == 2)
}

// identify finds out which database this is.
func (m *Manager) identify(path string, f File) (spool.DB, error) {
	info, err := statFile(f.Fd())
	if err != nil {
		return spool.DB{}, err
	}
	return spool.DB{Path: canonical(path), Dev: info.dev, Ino: info.ino}, nil
}

func canonical(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path
}

// refuse remembers why a path is not tracked.
func (m *Manager) refuse(path string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.refused) > maxIdle {
		clear(m.refused)
	}
	if m.refused[path] == nil {
		m.log.Warn("database is not replicated", "db", path, "err", err)
	}
	m.refused[path] = err
}

// detach ends the use of the record by one tracker.
func (m *Manager) detach(d *database, mode Mode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.detach(mode) > 0 {
		return
	}
	d.closeProducers()
	m.idle++
	if m.idle <= maxIdle {
		return
	}
	for key, d := range m.dbs {
		if d.forgettable() {
			m.forget(key, d)
		}
	}
}

// forget drops the record of an idle database. m.mu is held.
func (m *Manager) forget(key dbKey, d *database) {
	delete(m.dbs, key)
	if m.byPath[key.path] == d {
		delete(m.byPath, key.path)
	}
	m.idle--
}

// Wake returns a channel that receives when [Manager.Behind] may have become non-empty, or
// [Manager.NextDue] earlier.
func (m *Manager) Wake() <-chan struct{} { return m.wake }

func (m *Manager) rouse() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Behind returns the paths of databases for which an attempt of repair is due now: the last
// snapshot failed, or the database was seen for the first time. Open each with an Eager tracker
// and read something. What is still behind becomes due again after a while.
func (m *Manager) Behind() []string {
	now := time.Now()
	var paths []string
	for key, d := range m.all() {
		if !d.takeDue(now) {
			continue
		}
		info, err := identify(key.path)
		if err == nil && info.dev == key.dev && info.ino == key.ino {
			paths = append(paths, key.path)
			continue
		}
		// The file was deleted or replaced: nobody can repair it by its path.
		m.mu.Lock()
		if m.dbs[key] == d && d.unused() {
			m.forget(key, d)
		}
		m.mu.Unlock()
	}
	return paths
}

// NextDue returns when Behind becomes non-empty next, unless it is woken before.
func (m *Manager) NextDue() (at time.Time, ok bool) {
	for _, d := range m.all() {
		if next, some := d.nextDue(); some && (!ok || next.Before(at)) {
			at, ok = next, true
		}
	}
	return at, ok
}

// all returns the records as they are now.
func (m *Manager) all() map[dbKey]*database {
	m.mu.Lock()
	defer m.mu.Unlock()
	dbs := make(map[dbKey]*database, len(m.dbs))
	for key, d := range m.dbs {
		dbs[key] = d
	}
	return dbs
}

// find returns the record of a path.
func (m *Manager) find(path string) *database {
	real := canonical(path)
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.byPath[real]; d != nil {
		return d
	}
	return m.byPath[path]
}

// Desync says that the target lacks data that its spool takes to be there. What is staged is
// forgotten, and the database is due for a full snapshot at once.
func (m *Manager) Desync(key spool.Key, reason error) {
	m.log.Warn("replica lacks data: a full snapshot follows", "spool", key.String(), "err", reason)
	for _, d := range m.all() {
		if d.desync(key, reason) {
			d.dropStaged(key)
			m.rouse()
			return
		}
	}
	// Not tracked here, but its next user shall know.
	if m.opts.Root == nil {
		return
	}
	c, err := m.opts.Root.Consumer(key)
	if err != nil {
		return
	}
	defer c.Close()
	meta, err := c.Metadata()
	if err != nil {
		return
	}
	db := spool.DB{Path: meta.Path, Dev: key.Dev, Ino: key.Ino}
	if spool.KeyOf(db, key.Target) == key {
		m.drop(db, meta.Target)
	}
}

// drop forgets what is staged, by a producer of its own.
func (m *Manager) drop(db spool.DB, target spool.Target) {
	p, err := m.opts.Root.Producer(db, target)
	if err == nil {
		defer p.Close()
		err = p.DropStaged(manifest.Name(m.opts.Hostname, db.Path))
	}
	if err != nil {
		m.log.Warn("staged snapshot not dropped", "db", db.Path, "err", err)
	}
}

// Close ends all tracking: trackers still open only keep version ids honest from now on.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	for _, d := range m.all() {
		d.close()
	}
	return nil
}
