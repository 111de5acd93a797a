package wasmvfs_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/tracker"
	"github.com/boule-db/boule/wasmvfs"
)

// A recorder stands below the VFS under test, in place of the os VFS, and beside
// it, in place of its tracker, and notes what happens in which order.
type recorder struct {
	vfs.VFSFilename

	// openErr may refuse an open before it is tried.
	openErr func(name string, flags vfs.OpenFlag) error
	extra   vfs.DeviceCharacteristic

	mu     sync.Mutex // guards the following
	events []string
}

func newRecorder() *recorder {
	return &recorder{VFSFilename: vfs.Find("os").(vfs.VFSFilename)}
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, fmt.Sprintf(format, args...))
}

// take returns the events since the last call, but for those that begin with
// one of the words.
func (r *recorder) take(but ...string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kept []string
next:
	for _, e := range r.events {
		for _, word := range but {
			if strings.HasPrefix(e, word) {
				continue next
			}
		}
		kept = append(kept, e)
	}
	r.events = nil
	return strings.Join(kept, "\n")
}

// kind says which of a database's files a name is.
func kind(name string) string {
	base := filepath.Base(name)
	switch {
	case name == "":
		return "temp"
	case strings.Contains(base, "-mj"):
		return "super"
	}
	if _, suffix, ok := strings.Cut(base, "-"); ok {
		return suffix
	}
	return "db"
}

func (r *recorder) Delete(name string, syncDir bool) error {
	r.note("delete %s %v", kind(name), syncDir)
	return r.VFSFilename.Delete(name, syncDir)
}

func (r *recorder) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	n := name.String()
	if err := r.opens(n, flags); err != nil {
		return nil, flags, err
	}
	f, flags, err := r.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &recordedFile{f, r, kind(n)}, flags, nil
}

// opens notes that a file is opened, and says whether that is refused.
func (r *recorder) opens(name string, flags vfs.OpenFlag) error {
	how := ""
	if flags&vfs.OPEN_CREATE != 0 {
		how += "+create"
	}
	if flags&vfs.OPEN_EXCLUSIVE != 0 {
		how += "+exclusive"
	}
	r.note("open %s%s", kind(name), how)
	if r.openErr == nil {
		return nil
	}
	return r.openErr(name, flags)
}

func (r *recorder) syncDir(dir string) error {
	r.note("sync directory")
	return wasmvfs.OSSystem.SyncDir(dir)
}

type recordedFile struct {
	vfs.File
	r    *recorder
	kind string
}

func (f *recordedFile) WriteAt(p []byte, off int64) (int, error) {
	f.r.note("write %s", f.kind)
	return f.File.WriteAt(p, off)
}

func (f *recordedFile) Truncate(size int64) error {
	f.r.note("truncate %s", f.kind)
	return f.File.Truncate(size)
}

func (f *recordedFile) Sync(flags vfs.SyncFlag) error {
	f.r.note("sync %s", f.kind)
	return f.File.Sync(flags)
}

func (f *recordedFile) Lock(level vfs.LockLevel) error {
	f.r.note("lock %d", level)
	return f.File.Lock(level)
}

func (f *recordedFile) Unlock(level vfs.LockLevel) error {
	f.r.note("unlock %d", level)
	return f.File.Unlock(level)
}

func (f *recordedFile) Close() error {
	f.r.note("close %s", f.kind)
	return f.File.Close()
}

func (f *recordedFile) SizeHint(size int64) error {
	f.r.note("size hint")
	return vfsutil.WrapSizeHint(f.File, size)
}

func (f *recordedFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return f.File.DeviceCharacteristics() | f.r.extra
}

func (f *recordedFile) LockState() vfs.LockLevel { return vfsutil.WrapLockState(f.File) }
func (f *recordedFile) PersistWAL() bool         { return vfsutil.WrapPersistWAL(f.File) }
func (f *recordedFile) SetPersistWAL(on bool)    { vfsutil.WrapSetPersistWAL(f.File, on) }
func (f *recordedFile) PowersafeOverwrite() bool { return vfsutil.WrapPowersafeOverwrite(f.File) }

func (f *recordedFile) SetPowersafeOverwrite(on bool)  { vfsutil.WrapSetPowersafeOverwrite(f.File, on) }
func (f *recordedFile) HasMoved() (bool, error)        { return vfsutil.WrapHasMoved(f.File) }
func (f *recordedFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *recordedFile) BeginAtomicWrite() error        { panic("batch atomic write") }
func (f *recordedFile) CommitAtomicWrite() error       { panic("batch atomic write") }
func (f *recordedFile) RollbackAtomicWrite() error     { panic("batch atomic write") }

func (f *recordedFile) Fd() uintptr {
	return f.File.(interface{ Fd() uintptr }).Fd()
}

// track stands for [tracker.Manager.Track].
func (r *recorder) track(path string, f tracker.File, mode tracker.Mode) wasmvfs.Tracked {
	r.note("track %s %d", filepath.Base(path), mode)
	return &recordedTracker{r: r, file: f}
}

// recordedTracker wants a snapshot after each change.
type recordedTracker struct {
	r       *recorder
	file    tracker.File
	pending bool
	current []tracker.StagedInfo
}

func (t *recordedTracker) LockedExclusive() { t.r.note("tracker: locked") }

func (t *recordedTracker) WillWrite(off int64, n int) {
	t.r.note("tracker: will write")
	t.pending = true
}

func (t *recordedTracker) WillTruncate(oldSize, newSize int64) {
	t.r.note("tracker: will truncate %d to %d", oldSize, newSize)
	t.pending = true
}

func (t *recordedTracker) NeedsSnapshot() bool { return t.pending }

func (t *recordedTracker) Claim()   { t.r.note("tracker: claim") }
func (t *recordedTracker) Unclaim() { t.r.note("tracker: unclaim") }

func (t *recordedTracker) Snapshot(held tracker.Held) {
	t.r.note("tracker: snapshot %d", held)
	t.pending = false
}

func (t *recordedTracker) Unlocked() { t.r.note("tracker: unlocked") }

func (t *recordedTracker) Current() ([]tracker.StagedInfo, error) { return t.current, nil }
func (t *recordedTracker) LastChance() bool                       { return false }
func (t *recordedTracker) Close()                                 { t.r.note("tracker: close") }
