//go:build linux || darwin || freebsd

package wasmvfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/boule-db/boule/internal/fsx"
	"github.com/boule-db/boule/wasmvfs"
)

// A powerDisk is a disk in memory that can lose its power, in place of the os VFS
// and of the system beside it. It is to the VFS above what these are on Linux, but
// for WAL-indexes in shared memory, which it has not.
type powerDisk struct {
	mem *fsx.Mem

	// changing is called before every change, and before what makes one durable.
	changing func(what string)
	// forgetful disks do not sync the directory after a file: the fault of
	// go-sqlite3's own VFS.
	forgetful bool
	synced    bool // the last thing that happened is the sync of a file

	mu    sync.Mutex
	locks map[uint64]*diskLocks // by inode
}

var (
	_ vfs.VFSFilename = (*powerDisk)(nil)
	_ wasmvfs.System  = (*powerDisk)(nil)
)

// put replaces what is on the disk; nobody may have it open.
func (d *powerDisk) put(mem *fsx.Mem) { d.mem, d.locks = mem, map[uint64]*diskLocks{} }

func (d *powerDisk) before(op, name string) {
	if d.changing != nil {
		d.changing(op + " " + name)
	}
	d.synced = op == "sync"
}

// below returns a name as the Mem knows it.
func below(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }

func (d *powerDisk) FullPathname(name string) (string, error) { return path.Clean("/" + name), nil }

func (d *powerDisk) Access(name string, _ vfs.AccessFlag) (bool, error) {
	_, err := d.mem.Stat(below(name))
	return err == nil, nil
}

func (d *powerDisk) Delete(name string, _ bool) error {
	d.before("delete", name)
	err := d.mem.Remove(below(name))
	if errors.Is(err, fs.ErrNotExist) {
		return vfs.SystemError(err, sqlite3.IOERR_DELETE_NOENT)
	}
	return err
}

func (d *powerDisk) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, sqlite3.CANTOPEN
}

func (d *powerDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if name == nil || flags&vfs.OPEN_DELETEONCLOSE != 0 {
		return &vfsutil.SliceFile{}, flags | vfs.OPEN_MEMORY, nil // nobody looks for it after a crash
	}
	f, err := d.open(name.String(), flags, 0o644)
	if err != nil {
		return nil, flags, err
	}
	return f, flags, nil
}

func (d *powerDisk) open(name string, flags vfs.OpenFlag, perm fs.FileMode) (*diskFile, error) {
	how := os.O_RDONLY
	if flags&vfs.OPEN_READWRITE != 0 {
		how = os.O_RDWR
	}
	if flags&vfs.OPEN_CREATE != 0 {
		how |= os.O_CREATE
		if _, err := d.mem.Stat(below(name)); err != nil {
			d.before("create", name)
		}
	}
	f, err := d.mem.OpenFile(below(name), how, perm)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &diskFile{MemFile: f, disk: d, name: name, locks: d.locksOf(info.Ino)}, nil
}

func (d *powerDisk) Exists(name string) (bool, error) {
	info, err := d.mem.Stat(below(name))
	return err == nil && info.Size > 0, nil
}

func (d *powerDisk) PermissionsOf(name string) wasmvfs.Permissions {
	info, err := d.mem.Stat(below(name))
	if err != nil {
		return wasmvfs.Permissions{Mode: 0o600}
	}
	return wasmvfs.Permissions{Mode: uint32(info.Mode.Perm())}
}

func (d *powerDisk) OpenFile(name string, flags vfs.OpenFlag, perm wasmvfs.Permissions) (vfs.File, error) {
	f, err := d.open(name, flags, fs.FileMode(perm.Mode))
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *powerDisk) SyncDir(dir string) error {
	if d.forgetful && d.synced {
		return nil
	}
	d.before("syncdir", dir)
	if dir = below(dir); dir == "" {
		dir = "."
	}
	return d.mem.SyncDir(dir)
}

// diskFile is an open file.
type diskFile struct {
	*fsx.MemFile
	disk  *powerDisk
	name  string
	locks *diskLocks
	level vfs.LockLevel
}

var (
	_ vfs.FileLockState          = (*diskFile)(nil)
	_ vfs.FileSizeHint           = (*diskFile)(nil)
	_ vfs.FilePowersafeOverwrite = (*diskFile)(nil)
)

func (f *diskFile) Close() error {
	_ = f.Unlock(vfs.LOCK_NONE)
	return f.MemFile.Close()
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.before(fmt.Sprintf("write %d+%d", off, len(p)), f.name)
	return f.MemFile.WriteAt(p, off)
}

func (f *diskFile) Truncate(size int64) error {
	f.disk.before("truncate", f.name)
	return f.MemFile.Truncate(size)
}

func (f *diskFile) SizeHint(size int64) error {
	if have, err := f.Size(); err != nil || have >= size {
		return err
	}
	return f.Truncate(size)
}

func (f *diskFile) Sync(vfs.SyncFlag) error {
	f.disk.before("sync", f.name)
	return f.MemFile.Sync()
}

func (f *diskFile) Size() (int64, error) {
	info, err := f.Stat()
	return info.Size, err
}

// These are what the os VFS says on Linux.
func (f *diskFile) SectorSize() int { return 4096 }

func (f *diskFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_SUBPAGE_READ | vfs.IOCAP_POWERSAFE_OVERWRITE
}

func (f *diskFile) PowersafeOverwrite() bool   { return true }
func (f *diskFile) SetPowersafeOverwrite(bool) {}

// diskLocks are the locks of a file.
type diskLocks struct {
	mu       sync.Mutex
	readers  int       // with at least SHARED
	reserved *diskFile // has at least RESERVED
	pending  *diskFile // keeps new readers away
}

func (d *powerDisk) locksOf(ino uint64) *diskLocks {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locks[ino] == nil {
		d.locks[ino] = &diskLocks{}
	}
	return d.locks[ino]
}

func (f *diskFile) LockState() vfs.LockLevel { return f.level }

func (f *diskFile) Lock(level vfs.LockLevel) error {
	l := f.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.level >= level {
		return nil
	}
	switch level {
	case vfs.LOCK_SHARED:
		if l.pending != nil {
			return sqlite3.BUSY
		}
		l.readers++
	default:
		if l.reserved != nil && l.reserved != f || l.pending != nil && l.pending != f {
			return sqlite3.BUSY
		}
		if level == vfs.LOCK_RESERVED {
			l.reserved = f
			break
		}
		l.pending = f
		if f.level < vfs.LOCK_PENDING {
			f.level = vfs.LOCK_PENDING
		}
		if l.readers > 1 {
			return sqlite3.BUSY
		}
		l.reserved = f
	}
	f.level = level
	return nil
}

func (f *diskFile) Unlock(level vfs.LockLevel) error {
	l := f.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.level <= level {
		return nil
	}
	if l.reserved == f {
		l.reserved = nil
	}
	if l.pending == f {
		l.pending = nil
	}
	if level == vfs.LOCK_NONE {
		l.readers--
	}
	f.level = level
	return nil
}

func (f *diskFile) CheckReservedLock() (bool, error) {
	f.locks.mu.Lock()
	defer f.locks.mu.Unlock()
	return f.locks.reserved != nil, nil
}
