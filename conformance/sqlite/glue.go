package main

import (
	"context"
	"reflect"
	_ "unsafe" // for go:linkname

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// glue holds go-sqlite3's host functions by what SQLite calls them for.
var glue = func() (g struct {
	fullPathname, remove, access, open, close, read, write, truncate, sync, size,
	control, sectorSize, characteristics, lock, unlock, checkReserved api.GoModuleFunction
},
) {
	b := &builder{functions: map[string]api.GoModuleFunction{}}
	vfs.ExportHostFunctions(b)
	for name, to := range map[string]*api.GoModuleFunction{
		"go_full_pathname":          &g.fullPathname,
		"go_delete":                 &g.remove,
		"go_access":                 &g.access,
		"go_open":                   &g.open,
		"go_close":                  &g.close,
		"go_read":                   &g.read,
		"go_write":                  &g.write,
		"go_truncate":               &g.truncate,
		"go_sync":                   &g.sync,
		"go_file_size":              &g.size,
		"go_file_control":           &g.control,
		"go_sector_size":            &g.sectorSize,
		"go_device_characteristics": &g.characteristics,
		"go_lock":                   &g.lock,
		"go_unlock":                 &g.unlock,
		"go_check_reserved_lock":    &g.checkReserved,
	} {
		if *to = b.functions[name]; *to == nil {
			panic("go-sqlite3 has no host function " + name)
		}
	}
	return g
}()

// A builder notes what go-sqlite3 exports to WebAssembly.
type builder struct {
	wazero.HostModuleBuilder // nil: whatever else is asked for panics

	functions map[string]api.GoModuleFunction
}

type functionBuilder struct {
	wazero.HostFunctionBuilder // nil, as above

	to *builder
	fn api.GoModuleFunction
}

func (b *builder) NewFunctionBuilder() wazero.HostFunctionBuilder { return &functionBuilder{to: b} }

func (f *functionBuilder) WithGoModuleFunction(fn api.GoModuleFunction, _, _ []api.ValueType) wazero.HostFunctionBuilder {
	f.fn = fn
	return f
}

func (f *functionBuilder) Export(name string) wazero.HostModuleBuilder {
	f.to.functions[name] = f.fn
	return f.to
}

// newContext returns a context that holds the files of one module. It is the only way to have
// one, and go-sqlite3 keeps it to itself.
//
//go:linkname newContext github.com/ncruces/go-sqlite3/internal/util.NewContext
func newContext(ctx context.Context) context.Context

// getHandle returns a file that go_open has opened.
//
//go:linkname getHandle github.com/ncruces/go-sqlite3/internal/util.GetHandle
func getHandle(ctx context.Context, id uint32) any

// addHandle makes a file one that belongs to a context, and returns what it is called there.
//
//go:linkname addHandle github.com/ncruces/go-sqlite3/internal/util.AddHandle
func addHandle(ctx context.Context, file any) uint32

// ofConnection is a context in which a connection calls.
type ofConnection struct {
	context.Context

	conn *sqlite3.Conn
}

func (c ofConnection) Value(key any) any {
	if t := reflect.TypeOf(key); t.Name() == "ConnKey" && t.PkgPath() == "github.com/ncruces/go-sqlite3/internal/util" {
		return c.conn
	}
	return c.Context.Value(key)
}
