package main

/*
#include <sqlite3.h>
#include <stdlib.h>
*/
import "C"

import (
	"unsafe"

	"github.com/ncruces/go-sqlite3/vfs"
)

func bytesAt(p unsafe.Pointer, n C.int) []byte {
	if p == nil {
		return nil
	}
	return unsafe.Slice((*byte)(p), n)
}

// bouleStart reads the environment, and returns the name to register; nil for none.
//
//export bouleStart
func bouleStart() *C.char {
	if name := start(); name != "" {
		return C.CString(name)
	}
	return nil
}

//export bouleOpen
func bouleOpen(name unsafe.Pointer, n, flags C.int, index, outFlags *C.int) C.int {
	var text []byte
	if name != nil {
		text = bytesAt(name, n)
	}
	i, out, rc := open(text, vfs.OpenFlag(flags))
	*index, *outFlags = C.int(i), C.int(out)
	return C.int(rc)
}

//export bouleDelete
func bouleDelete(path unsafe.Pointer, n, syncDir C.int) C.int {
	m := borrow()
	defer m.giveBack()
	return C.int(m.call(outside, glue.remove, addrVFS, uint64(m.put(bytesAt(path, n))), uint64(syncDir)))
}

//export bouleAccess
func bouleAccess(path unsafe.Pointer, n, flags C.int, out *C.int) C.int {
	m := borrow()
	defer m.giveBack()
	rc := m.call(outside, glue.access, addrVFS, uint64(m.put(bytesAt(path, n))), uint64(flags), addrOut)
	*out = C.int(m.u32(addrOut))
	return C.int(rc)
}

//export bouleFullPathname
func bouleFullPathname(path unsafe.Pointer, n, size C.int, out unsafe.Pointer) C.int {
	m := borrow()
	defer m.giveBack()
	m.memory.buffer = bytesAt(out, size)
	return C.int(m.call(outside, glue.fullPathname, addrVFS, uint64(m.put(bytesAt(path, n))), uint64(size), addrBuffer))
}

//export bouleClose
func bouleClose(i C.int) C.int {
	f := getFile(int(i))
	rc := f.closing(f.close)
	dropFile(int(i))
	return C.int(rc)
}

//export bouleRead
func bouleRead(i C.int, p unsafe.Pointer, n C.int, off C.longlong) C.int {
	f := getFile(int(i))
	return C.int(f.call(func(m *module) int32 {
		m.memory.buffer = bytesAt(p, n)
		return m.call(f.ctx, glue.read, addrFile, addrBuffer, uint64(n), uint64(off))
	}))
}

//export bouleWrite
func bouleWrite(i C.int, p unsafe.Pointer, n C.int, off C.longlong) C.int {
	f := getFile(int(i))
	f.changes()
	if f.loses() {
		return 0
	}
	return C.int(f.call(func(m *module) int32 {
		m.memory.buffer = bytesAt(p, n)
		return m.call(f.ctx, glue.write, addrFile, addrBuffer, uint64(n), uint64(off))
	}))
}

//export bouleTruncate
func bouleTruncate(i C.int, size C.longlong) C.int {
	f := getFile(int(i))
	f.changes()
	return C.int(f.call(func(m *module) int32 { return m.call(f.ctx, glue.truncate, addrFile, uint64(size)) }))
}

//export bouleSync
func bouleSync(i, flags C.int) C.int {
	f := getFile(int(i))
	return C.int(f.call(func(m *module) int32 { return m.call(f.ctx, glue.sync, addrFile, uint64(flags)) }))
}

//export bouleSize
func bouleSize(i C.int, size *C.longlong) C.int {
	f := getFile(int(i))
	return C.int(f.call(func(m *module) int32 {
		rc := m.call(f.ctx, glue.size, addrFile, addrOut)
		*size = C.longlong(m.u64(addrOut))
		return rc
	}))
}

//export bouleLock
func bouleLock(i, level C.int) C.int {
	f := getFile(int(i))
	if planted == locksNothing {
		return 0
	}
	return C.int(f.call(func(m *module) int32 { return m.call(f.ctx, glue.lock, addrFile, uint64(level)) }))
}

//export bouleUnlock
func bouleUnlock(i, level C.int) C.int {
	f := getFile(int(i))
	return C.int(f.unlocking(vfs.LockLevel(level), func() int32 {
		return f.call(func(m *module) int32 { return m.call(f.ctx, glue.unlock, addrFile, uint64(level)) })
	}))
}

//export bouleCheckReserved
func bouleCheckReserved(i C.int, out *C.int) C.int {
	f := getFile(int(i))
	return C.int(f.call(func(m *module) int32 {
		rc := m.call(f.ctx, glue.checkReserved, addrFile, addrOut)
		*out = C.int(m.u32(addrOut))
		return rc
	}))
}

//export bouleSectorSize
func bouleSectorSize(i C.int) C.int {
	f := getFile(int(i))
	return C.int(f.call(func(m *module) int32 { return m.call(f.ctx, glue.sectorSize, addrFile) }))
}

//export bouleCharacteristics
func bouleCharacteristics(i C.int) C.int {
	f := getFile(int(i))
	return C.int(f.call(func(m *module) int32 { return m.call(f.ctx, glue.characteristics, addrFile) }))
}

// bouleControl is xFileControl for those operations that go-sqlite3 may know.
//
//export bouleControl
func bouleControl(i, op C.int, arg unsafe.Pointer) C.int {
	f := getFile(int(i))
	return C.int(f.call(func(m *module) int32 {
		plain := func(p uint64) int32 { return m.call(f.ctx, glue.control, addrFile, uint64(op), p) }
		switch op {
		case C.SQLITE_FCNTL_LOCKSTATE, C.SQLITE_FCNTL_PERSIST_WAL, C.SQLITE_FCNTL_POWERSAFE_OVERWRITE,
			C.SQLITE_FCNTL_CHUNK_SIZE, C.SQLITE_FCNTL_HAS_MOVED:
			m.setU32(addrOut, uint32(*(*C.int)(arg)))
			rc := plain(addrOut)
			*(*C.int)(arg) = C.int(m.u32(addrOut))
			return rc
		case C.SQLITE_FCNTL_SIZE_HINT:
			f.changes()
			m.setU64(addrOut, uint64(*(*C.longlong)(arg)))
			return plain(addrOut)
		case C.SQLITE_FCNTL_COMMIT_PHASETWO:
			return f.committing(func() int32 { return plain(0) })
		case C.SQLITE_FCNTL_SYNC:
			if arg == nil {
				return plain(0)
			}
			return plain(uint64(m.put([]byte(C.GoString((*C.char)(arg))))))
		case C.SQLITE_FCNTL_PDB:
			ctx := ofConnection{f.ctx, connOf(*(*uintptr)(arg))}
			return m.call(ctx, glue.control, addrFile, uint64(op), 0)
		case C.SQLITE_FCNTL_PRAGMA:
			return f.pragma(m, (*[3]*C.char)(arg))
		case C.SQLITE_FCNTL_OVERWRITE, C.SQLITE_FCNTL_NULL_IO, C.SQLITE_FCNTL_BEGIN_ATOMIC_WRITE,
			C.SQLITE_FCNTL_COMMIT_ATOMIC_WRITE, C.SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE,
			C.SQLITE_FCNTL_CKPT_START, C.SQLITE_FCNTL_CKPT_DONE:
			return plain(0)
		}
		return C.SQLITE_NOTFOUND
	}))
}

// pragma hands a pragma on: its answer, its name and its value.
func (f *file) pragma(m *module, arg *[3]*C.char) int32 {
	const words = 4
	p := m.alloc(3 * words)
	name := m.put([]byte(C.GoString(arg[1])))
	m.setU32(p+words, name)
	if arg[2] != nil {
		value := m.put([]byte(C.GoString(arg[2])))
		m.setU32(p+2*words, value)
	}
	rc := m.call(f.ctx, glue.control, addrFile, uint64(C.SQLITE_FCNTL_PRAGMA), uint64(p))
	if out := m.u32(p); out != 0 {
		text := m.text(out)
		answer := (*byte)(C.malloc(C.size_t(len(text) + 1))) // the shim makes it SQLite's
		to := unsafe.Slice(answer, len(text)+1)
		copy(to, text)
		to[len(text)] = 0
		arg[0] = (*C.char)(unsafe.Pointer(answer))
	}
	return rc
}
