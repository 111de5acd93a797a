package host

import (
	"context"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/tetratelabs/wazero"

	"github.com/boule-db/boule/embed"
)

// Details describe the engine of this process.
type Details struct {
	SQLite      string `json:"sqlite"`                 // version of SQLite
	SourceID    string `json:"source_id"`              // check-in of SQLite
	WasmSHA256  string `json:"wasm_sha256"`            // of the binary, in hexadecimal
	Foreign     string `json:"foreign,omitempty"`      // how another part of the program came first, if one did
	Wazero      string `json:"wazero"`                 // version of wazero
	Engine      string `json:"engine"`                 // "compiler" or "interpreter"
	Cache       string `json:"cache"`                  // one of the Cache constants; empty before Init
	CacheDir    string `json:"cache_dir,omitempty"`    // empty when there is none in use
	CacheReason string `json:"cache_reason,omitempty"` // why it is off, or was healed
}

// What became of the compilation cache.
const (
	CacheHit    = "hit"    // the machine code came from the cache
	CacheMiss   = "miss"   // it had to be compiled, and is in the cache now
	CacheHealed = "healed" // what was in the cache was unusable, and has been replaced
	// CacheOff, too, when there is no usable cache.
)

// Names of wazero's engines.
const (
	engineCompiler    = "compiler"
	engineInterpreter = "interpreter"
)

// Info returns what is known of the engine. It initialises nothing: before
// [Init] the cache has no state yet.
func Info() Details {
	select {
	case <-process.done:
		return process.details
	default:
		return describe()
	}
}

func describe() Details {
	return Details{
		SQLite:     embed.Version,
		SourceID:   embed.SourceID,
		WasmSHA256: embed.SHA256,
		Wazero:     wazeroVersion(),
		Engine:     engineName(wazero.NewRuntimeConfig()),
	}
}

// ask replaces the description of our binary by what the running one says.
func (d *Details) ask() error {
	conn, err := sqlite3.Open(":memory:")
	if err != nil {
		return err
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`SELECT sqlite_version(), sqlite_source_id()`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	if stmt.Step() {
		d.SQLite, d.SourceID = stmt.ColumnText(0), stmt.ColumnText(1)
	}
	return stmt.Err()
}

func wazeroVersion() string {
	const path = "github.com/tetratelabs/wazero"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path != path {
			continue
		}
		if dep.Replace != nil && dep.Replace.Version != "" {
			return dep.Replace.Version
		}
		return dep.Version
	}
	return "unknown"
}

// engineName says which engine wazero takes for cfg. There is no such question
// in its interface, and its answer depends on the processor and on whether the
// system allows executable memory; so look at what it took.
func engineName(cfg wazero.RuntimeConfig) string {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, cfg)
	defer rt.Close(ctx)
	v := reflect.ValueOf(rt)
	for _, field := range []string{"store", "Engine"} {
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return "unknown"
		}
		v = v.FieldByName(field)
	}
	if v.Kind() != reflect.Interface || v.IsNil() {
		return "unknown"
	}
	if strings.Contains(v.Elem().Type().String(), engineInterpreter) {
		return engineInterpreter
	}
	return engineCompiler
}
