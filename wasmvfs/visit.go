package wasmvfs

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// Boule's own connections, which only read and take snapshots (boule_eager=1), are
// visitors: the application did not ask for them and must not notice them. So a
// writer of this process that meets one waits for it, instead of being told that
// the database is busy; the visitor is asked to give way meanwhile; and what a
// visitor has opened is not closed, see park.
const (
	// visitPatience bounds how long a writer waits for a visitor.
	visitPatience = 10 * time.Second
	// maxParked bounds the files that are kept open, as an eighth of the file descriptors that the process may have does.
	maxParked = 256
)

// visits knows the visitors of all databases of a VFS.
type visits struct {
	mu     sync.Mutex // guards what follows, and the marked fields of visit
	byPath map[string]*visit
	parked []parkedFile
	room   int // for them
}

// A visit is what concerns the visitors of one database.
type visit struct {
	open    int           // visitors that may come in; guarded by visits.mu
	inside  int           // those that hold a lock; guarded by visits.mu
	left    chan struct{} // closed when inside becomes 0; guarded by visits.mu
	waiting atomic.Int32  // writers that wait
}

// A visitor is what a connection of Boule's own has besides.
type visitor struct {
	*visit
	yields     bool // its snapshot gives way to writers
	asked, got vfs.OpenFlag
}

type parkedFile struct {
	path       string
	asked, got vfs.OpenFlag
	file       vfs.File
}

// arrive notes a visitor of a database.
func (v *visits) arrive(path string) *visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := v.byPath[path]
	if at == nil {
		at = &visit{}
		if v.byPath == nil {
			v.byPath = map[string]*visit{}
		}
		v.byPath[path] = at
	}
	at.open++
	return at
}

// depart undoes arrive.
func (v *visits) depart(path string, at *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at.open--; at.open == 0 {
		delete(v.byPath, path)
	}
}

func (v *visits) enter(at *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at.inside++; at.inside == 1 {
		at.left = make(chan struct{})
	}
}

func (v *visits) leave(at *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at.inside--; at.inside == 0 {
		close(at.left)
	}
}

// await waits until no visitor of the database holds a lock, if one does. It
// reports whether one did, and left.
func (v *visits) await(path string, until <-chan time.Time) bool {
	v.mu.Lock()
	at := v.byPath[path]
	var left chan struct{}
	if at != nil && at.inside > 0 {
		left = at.left
		at.waiting.Add(1)
	}
	v.mu.Unlock()
	if left == nil {
		return false
	}
	defer at.waiting.Add(-1)
	select {
	case <-left:
		return true
	case <-until:
		return false
	}
}

// lockPastVisitors takes a lock that only visitors are in the way of, perhaps.
func (f *dbFile) lockPastVisitors(level vfs.LockLevel) error {
	err := f.File.Lock(level)
	if err == nil {
		return nil
	}
	patience := time.NewTimer(visitPatience)
	defer patience.Stop()
	for err != nil && f.vfs.visits.await(f.path, patience.C) {
		err = f.File.Lock(level)
	}
	return err
}

// lockVisiting takes a lock for a visitor, which lets writers go first.
func (f *dbFile) lockVisiting(level vfs.LockLevel) error {
	if f.LockState() != vfs.LOCK_NONE {
		return f.File.Lock(level)
	}
	if f.yield() {
		return sqlite3.BUSY
	}
	f.vfs.visits.enter(f.visit.visit)
	err := f.File.Lock(level)
	if err == nil {
		// The journal beside the name would be another database's, and SQLite would roll it back
		// into this one.
		if moved, merr := vfsutil.WrapHasMoved(f.File); merr == nil && moved {
			_ = f.File.Unlock(vfs.LOCK_NONE) // closing does it again
			err = sqlite3.READONLY_DBMOVED
		}
	}
	if err != nil {
		f.vfs.visits.leave(f.visit.visit)
	}
	return err
}

// yield reports whether somebody waits for the snapshot to end.
func (f *dbFile) yield() bool {
	return f.visit != nil && f.visit.yields && f.visit.waiting.Load() > 0
}

// park keeps the file of a visitor open, for the next one. To close any descriptor
// of a file drops all POSIX locks of the process on it, and another copy of SQLite
// in this process may have some; see https://sqlite.org/howtocorrupt.html, 2.2.
// It reports whether it did.
func (v *visits) park(p parkedFile) bool {
	if inWAL(p.file) {
		return false // its shared memory ends with it
	}
	v.mu.Lock()
	v.parked = append(v.parked, p)
	var old vfs.File
	if len(v.parked) > v.room {
		old = v.parked[0].file
		v.parked = append(v.parked[:0], v.parked[1:]...)
	}
	v.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	return true
}

// unpark returns a file that was parked, if it is still that of the path.
func (v *visits) unpark(path string, asked vfs.OpenFlag) (file vfs.File, got vfs.OpenFlag) {
	for {
		p, ok := v.take(path, asked)
		if !ok {
			return nil, 0
		}
		if gone, err := vfsutil.WrapHasMoved(p.file); err == nil && !gone && !inWAL(p.file) {
			return p.file, p.got
		}
		_ = p.file.Close() // the file was deleted or replaced
	}
}

func (v *visits) take(path string, asked vfs.OpenFlag) (parkedFile, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, p := range v.parked {
		if p.path == path && p.asked == asked {
			v.parked = append(v.parked[:i], v.parked[i+1:]...)
			return p, true
		}
	}
	return parkedFile{}, false
}

// inWAL says whether the header, as far as it can be read, says WAL mode.
func inWAL(file vfs.File) bool {
	var version [2]byte
	n, _ := file.ReadAt(version[:], 18)
	return n == len(version) && (version[0] == 2 || version[1] == 2)
}
