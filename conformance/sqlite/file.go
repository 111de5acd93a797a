package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// A file is open in SQLite.
type file struct {
	ctx   context.Context // holds the file, as id
	id    uint32
	path  string // empty for a temporary file
	main  bool   // a database with a name
	file  vfs.File
	fd    uintptr
	state vfs.FileLockState // nil if the file has no locks to tell of
	watch *watch            // nil unless the database is replicated
}

// files are those open in the process. SQLite has their indexes.
var files struct {
	sync.RWMutex // guards the following

	open []*file
	free []int
}

func addFile(f *file) int {
	files.Lock()
	defer files.Unlock()
	if n := len(files.free); n > 0 {
		i := files.free[n-1]
		files.free = files.free[:n-1]
		files.open[i] = f
		return i
	}
	files.open = append(files.open, f)
	return len(files.open) - 1
}

func getFile(i int) *file {
	files.RLock()
	defer files.RUnlock()
	return files.open[i]
}

func dropFile(i int) {
	files.Lock()
	defer files.Unlock()
	files.open[i] = nil
	files.free = append(files.free, i)
}

// ownerOf returns the database that a journal belongs to, if it is open. SQLite has a function
// for that, but test programs put VFSes of their own above ours, and then its answer is theirs.
func ownerOf(path string, flags vfs.OpenFlag) *file {
	if flags&(vfs.OPEN_MAIN_JOURNAL|vfs.OPEN_WAL) == 0 {
		return nil
	}
	path = strings.TrimSuffix(strings.TrimSuffix(path, "-journal"), "-wal")
	files.RLock()
	defer files.RUnlock()
	for _, f := range files.open {
		if f != nil && f.main && f.path == path {
			return f
		}
	}
	return nil
}

// open opens a file. The name, if there is one, is followed by a zero and the parameters of its
// URI.
func open(name []byte, flags vfs.OpenFlag) (i int, out vfs.OpenFlag, rc int32) {
	m := borrow()
	defer m.giveBack()
	f := &file{main: name != nil && flags&vfs.OPEN_MAIN_DB != 0}
	var ptr uint32
	if name != nil {
		ptr = m.put(name)
		f.path = string(m.text(ptr))
		if len(name) > len(f.path)+1 {
			m.params = ptr + uint32(len(f.path)) + 1
		}
	}
	f.ctx = newContext(context.Background())
	if of := ownerOf(f.path, flags); of != nil {
		m.setU32(addrMain+4, addHandle(f.ctx, of.file))
	}
	rc = m.call(f.ctx, glue.open, addrVFS, uint64(ptr), addrFile, uint64(flags), addrOut, 0)
	if rc != 0 {
		return -1, flags, rc
	}
	f.id = m.u32(addrFile + 4)
	var ok bool
	if f.file, ok = getHandle(f.ctx, f.id).(vfs.File); !ok {
		panic("go-sqlite3 keeps no file")
	}
	if f.main {
		// go-sqlite3 wraps databases in its checksum VFS, which takes the last bytes of pages
		// for checksums if eight are reserved. What is tested here is the VFS below.
		f.file = f.file.(vfs.FileUnwrap).Unwrap()
		f.id = addHandle(f.ctx, f.file)
	}
	f.fd = ^uintptr(0)
	if with, ok := f.file.(interface{ Fd() uintptr }); ok {
		f.fd = with.Fd()
	}
	f.state, _ = f.file.(vfs.FileLockState)
	if f.main {
		f.watch = watching(f, params(name))
	}
	return addFile(f), vfs.OpenFlag(m.u32(addrOut)), 0
}

// params returns the parameters of a URI as one string: "key=value&...".
func params(name []byte) string {
	parts := strings.Split(string(name), "\x00")[1:]
	var s []string
	for i := 0; i+1 < len(parts) && parts[i] != ""; i += 2 {
		s = append(s, parts[i]+"="+parts[i+1])
	}
	return strings.Join(s, "&")
}

// call calls a host function that has the file and perhaps more arguments.
func (f *file) call(fn func(*module) int32) int32 {
	m := borrow()
	defer m.giveBack()
	m.setU32(addrFile+4, f.id)
	return fn(m)
}

func (f *file) close() int32 {
	return f.call(func(m *module) int32 { return m.call(f.ctx, glue.close, addrFile) })
}

func (f *file) held() vfs.LockLevel {
	if f.state == nil {
		return vfs.LOCK_NONE
	}
	return f.state.LockState()
}

// conns maps SQLite's connections to what stands for them in Go. An address may be used again
// for another connection, which then stands for the same: it comes after the first was closed.
var conns struct {
	sync.Mutex // guards m

	m map[uintptr]*sqlite3.Conn
}

func connOf(ptr uintptr) *sqlite3.Conn {
	conns.Lock()
	defer conns.Unlock()
	c := conns.m[ptr]
	if c == nil {
		c = new(sqlite3.Conn)
		if conns.m == nil {
			conns.m = map[uintptr]*sqlite3.Conn{}
		}
		conns.m[ptr] = c
	}
	return c
}

// fatal ends the process: the test program must not go on as if nothing were wrong.
func fatal(format string, args ...any) { abort(fmt.Sprintf(format, args...)) }
