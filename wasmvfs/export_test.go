package wasmvfs

import (
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/tracker"
)

// Tracked is what a VFS needs of a tracker.
type Tracked = tracked

// Seams of a VFS; those that are nil stay as they are.
type Seams struct {
	Inner   vfs.VFSFilename
	System  System
	SyncDir func(dir string) error
	Track   func(path string, f tracker.File, mode tracker.Mode) Tracked
}

// NewWith is New with other ends.
func NewWith(m *tracker.Manager, opts *Options, s Seams) vfs.VFS {
	v := New(m, opts).(*replicating)
	if s.Inner != nil {
		v.inner = s.Inner
	}
	if s.System != nil {
		v.system = s.System
	}
	if s.SyncDir != nil {
		v.system = otherSyncDir{v.system, s.SyncDir}
	}
	if s.Track != nil {
		v.track = s.Track
	}
	return v
}

// OSSystem is the operating system.
var OSSystem System = osSystem{}

// System is what a disk is to a VFS, beside a VFS below.
type System = system

type otherSyncDir struct {
	system
	syncDir func(dir string) error
}

func (o otherSyncDir) SyncDir(dir string) error { return o.syncDir(dir) }

// Connections counts the connections that v knows.
func Connections(v vfs.VFS) int {
	c := &v.(*replicating).conns
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.m)
}

// Waiting counts the writers that wait for visitors of a database.
func Waiting(v vfs.VFS, path string) int {
	s := &v.(*replicating).visits
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.byPath[path]; at != nil {
		return int(at.waiting.Load())
	}
	return 0
}

// Parked counts the files that are kept open.
func Parked(v vfs.VFS) int {
	s := &v.(*replicating).visits
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.parked)
}

// Wrap returns a database and another file on top of inner.
func Wrap(inner vfs.File) (db, other vfs.File) {
	v := New(nil, nil).(*replicating)
	return &dbFile{file: file{File: inner, vfs: v}}, &file{File: inner, vfs: v}
}
