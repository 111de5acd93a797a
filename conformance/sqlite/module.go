package main

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/tetratelabs/wazero/api"
)

// Addresses in the memory of a call. Nothing is at zero, which is the null pointer.
const (
	addrVFS     = 16  // a sqlite3_vfs: only its name, 16 bytes in, is looked at
	addrVFSName = 48  // that name
	addrFile    = 64  // the sqlite3_file of the call: its handle is 4 bytes in
	addrMain    = 80  // that of the database a journal belongs to
	addrOut     = 96  // results
	addrHeap    = 128 // strings, until the call returns
	addrBuffer  = 1 << 30

	arenaSize = 16 << 10
)

// A module is, for the length of one call, what go-sqlite3 takes for a WebAssembly module: a
// memory with the arguments in it, whose upper half is SQLite's own buffer.
type module struct {
	api.Module // nil: whatever else is asked for panics

	memory memory
	params uint32 // where the parameters of the file's URI begin; 0 for none
	stack  [8]uint64
}

type memory struct {
	api.Memory // nil, as above

	arena  []byte
	top    uint32
	buffer []byte
}

var modules = sync.Pool{New: func() any {
	m := &module{memory: memory{arena: make([]byte, arenaSize)}}
	binary.LittleEndian.PutUint32(m.memory.arena[addrVFS+16:], addrVFSName)
	copy(m.memory.arena[addrVFSName:], registered)
	return m
}}

func borrow() *module {
	m := modules.Get().(*module)
	clear(m.memory.arena[addrFile:addrHeap])
	m.memory.top, m.memory.buffer, m.params = addrHeap, nil, 0
	return m
}

func (m *module) giveBack() {
	m.memory.buffer = nil
	modules.Put(m)
}

// call calls a host function and returns its result, one of SQLite's codes.
func (m *module) call(ctx context.Context, fn api.GoModuleFunction, args ...uint64) int32 {
	n := copy(m.stack[:], args)
	fn.Call(ctx, m, m.stack[:max(n, 1)])
	return int32(uint32(m.stack[0]))
}

// put copies bytes into the memory, followed by a zero.
func (m *module) put(b []byte) uint32 {
	p := m.alloc(uint32(len(b)) + 1)
	copy(m.memory.arena[p:], b)
	return p
}

func (m *module) alloc(n uint32) uint32 {
	p := m.memory.top
	m.memory.top = (p + n + 7) &^ 7
	if need := int(m.memory.top); need > len(m.memory.arena) {
		m.memory.arena = append(m.memory.arena, make([]byte, need-len(m.memory.arena)+arenaSize)...)
	}
	clear(m.memory.arena[p : p+n])
	return p
}

// text returns the string at p, up to its zero.
func (m *module) text(p uint32) []byte {
	b := m.memory.arena[p:]
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}

func (m *module) u32(p uint32) uint32 { return binary.LittleEndian.Uint32(m.memory.arena[p:]) }

func (m *module) u64(p uint32) uint64       { return binary.LittleEndian.Uint64(m.memory.arena[p:]) }
func (m *module) setU32(p uint32, v uint32) { binary.LittleEndian.PutUint32(m.memory.arena[p:], v) }
func (m *module) setU64(p uint32, v uint64) { binary.LittleEndian.PutUint64(m.memory.arena[p:], v) }

func (m *module) Memory() api.Memory { return &m.memory }

// ExportedFunction returns the few functions of SQLite that go-sqlite3 calls back from a VFS.
func (m *module) ExportedFunction(name string) api.Function {
	switch name {
	case "sqlite3_uri_key":
		return function{do: func(stack []uint64) { stack[0] = uint64(m.params) }}
	case "sqlite3_database_file_object":
		return function{do: func(stack []uint64) { stack[0] = addrMain }}
	case "sqlite3_malloc64":
		return function{do: func(stack []uint64) { stack[0] = uint64(m.alloc(uint32(stack[0]))) }}
	}
	panic("go-sqlite3 calls " + name)
}

type function struct {
	api.Function // nil, as above

	do func(stack []uint64)
}

func (f function) CallWithStack(_ context.Context, stack []uint64) error {
	f.do(stack)
	return nil
}

// at returns n bytes at an address.
func (m *memory) at(p, n uint32) ([]byte, bool) {
	b := m.arena
	if p >= addrBuffer {
		b, p = m.buffer, p-addrBuffer
	}
	if uint64(p)+uint64(n) > uint64(len(b)) {
		return nil, false
	}
	return b[p : p+n : p+n], true
}

func (m *memory) Size() uint32 { return uint32(len(m.arena)) }

func (m *memory) Read(p, n uint32) ([]byte, bool) { return m.at(p, n) }

func (m *memory) ReadUint32Le(p uint32) (uint32, bool) {
	b, ok := m.at(p, 4)
	if !ok {
		return 0, false
	}
	return binary.LittleEndian.Uint32(b), true
}

func (m *memory) WriteUint32Le(p, v uint32) bool {
	b, ok := m.at(p, 4)
	if ok {
		binary.LittleEndian.PutUint32(b, v)
	}
	return ok
}

func (m *memory) ReadUint64Le(p uint32) (uint64, bool) {
	b, ok := m.at(p, 8)
	if !ok {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

func (m *memory) WriteUint64Le(p uint32, v uint64) bool {
	b, ok := m.at(p, 8)
	if ok {
		binary.LittleEndian.PutUint64(b, v)
	}
	return ok
}
