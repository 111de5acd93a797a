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
	SyncDir func(dir string) error
	Track   func(path string, f tracker.File, mode tracker.Mode) Tracked
}

// NewWith is New with other ends.
func NewWith(m *tracker.Manager, opts *Options, s Seams) vfs.VFS {
	v := New(m, opts).(*replicating)
	if s.Inner != nil {
		v.inner = s.Inner
	}
	if s.SyncDir != nil {
		v.syncDir = s.SyncDir
	}
	if s.Track != nil {
		v.track = s.Track
	}
	return v
}

// SyncDir is how directories are synced.
var SyncDir = syncDir

// Connections counts the connections that v knows.
func Connections(v vfs.VFS) int {
	c := &v.(*replicating).conns
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.m)
}
