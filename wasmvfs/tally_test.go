//go:build unix

package wasmvfs_test

import (
	"fmt"
	"maps"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/wasmvfs"
)

// A tally stands below a VFS, in place of the os VFS and of the system beside it,
// or is itself the VFS of a connection. It counts the calls, but for those that only
// look at what the os VFS has in memory.
type tally struct {
	vfs.VFSFilename
	wasmvfs.System
	calls map[string]int // by what and on which file; one connection uses it

	writeErr func(name string) error // may refuse a write
}

func newTally() *tally {
	return &tally{VFSFilename: vfs.Find("os").(vfs.VFSFilename), System: wasmvfs.OSSystem, calls: map[string]int{}}
}

func (y *tally) count(call, name string) { y.calls[call+" "+kind(name)]++ }

// take returns the calls since the last time.
func (y *tally) take() map[string]int {
	calls := maps.Clone(y.calls)
	clear(y.calls)
	return calls
}

func (y *tally) FullPathname(name string) (string, error) {
	y.count("full pathname", name)
	return y.VFSFilename.FullPathname(name)
}

func (y *tally) Delete(name string, syncDir bool) error {
	y.count("delete", name)
	return y.VFSFilename.Delete(name, syncDir)
}

func (y *tally) Access(name string, flags vfs.AccessFlag) (bool, error) {
	y.count("access", name)
	return y.VFSFilename.Access(name, flags)
}

func (y *tally) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	y.count("open", name.String())
	f, flags, err := y.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &talliedFile{f, y, name.String()}, flags, nil
}

// Exists is to our VFS what Access is to another.
func (y *tally) Exists(name string) (bool, error) {
	y.count("access", name)
	return y.System.Exists(name)
}

func (y *tally) PermissionsOf(path string) wasmvfs.Permissions {
	y.count("permissions of", path)
	return y.System.PermissionsOf(path)
}

func (y *tally) OpenFile(path string, flags vfs.OpenFlag, perm wasmvfs.Permissions) (vfs.File, error) {
	y.count("open", path)
	f, err := y.System.OpenFile(path, flags, perm)
	if err != nil {
		return nil, err
	}
	return &talliedFile{f, y, path}, nil
}

func (y *tally) SyncDir(dir string) error {
	y.calls["sync directory"]++
	return y.System.SyncDir(dir)
}

type talliedFile struct {
	vfs.File
	y    *tally
	name string
}

func (f *talliedFile) ReadAt(p []byte, off int64) (int, error) {
	f.y.count(fmt.Sprintf("read %d", len(p)), f.name)
	return f.File.ReadAt(p, off)
}

func (f *talliedFile) WriteAt(p []byte, off int64) (int, error) {
	f.y.count(fmt.Sprintf("write %d", len(p)), f.name)
	if f.y.writeErr != nil {
		if err := f.y.writeErr(f.name); err != nil {
			return 0, err
		}
	}
	return f.File.WriteAt(p, off)
}

func (f *talliedFile) Truncate(size int64) error {
	f.y.count("truncate", f.name)
	return f.File.Truncate(size)
}

func (f *talliedFile) Sync(flags vfs.SyncFlag) error {
	f.y.count("sync", f.name)
	return f.File.Sync(flags)
}

func (f *talliedFile) Size() (int64, error) {
	f.y.count("size", f.name)
	return f.File.Size()
}

func (f *talliedFile) Lock(level vfs.LockLevel) error {
	f.y.count(fmt.Sprintf("lock %d", level), f.name)
	return f.File.Lock(level)
}

func (f *talliedFile) Unlock(level vfs.LockLevel) error {
	f.y.count(fmt.Sprintf("unlock %d", level), f.name)
	return f.File.Unlock(level)
}

func (f *talliedFile) CheckReservedLock() (bool, error) {
	f.y.count("check reserved lock", f.name)
	return f.File.CheckReservedLock()
}

func (f *talliedFile) SizeHint(size int64) error {
	f.y.count("size hint", f.name)
	return vfsutil.WrapSizeHint(f.File, size)
}

func (f *talliedFile) HasMoved() (bool, error) {
	f.y.count("has moved", f.name)
	return vfsutil.WrapHasMoved(f.File)
}

func (f *talliedFile) Close() error {
	f.y.count("close", f.name)
	return f.File.Close()
}

func (f *talliedFile) LockState() vfs.LockLevel { return vfsutil.WrapLockState(f.File) }
func (f *talliedFile) PersistWAL() bool         { return vfsutil.WrapPersistWAL(f.File) }
func (f *talliedFile) SetPersistWAL(on bool)    { vfsutil.WrapSetPersistWAL(f.File, on) }
func (f *talliedFile) PowersafeOverwrite() bool { return vfsutil.WrapPowersafeOverwrite(f.File) }

func (f *talliedFile) SetPowersafeOverwrite(on bool)  { vfsutil.WrapSetPowersafeOverwrite(f.File, on) }
func (f *talliedFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
