package host

import (
	"bytes"
	"fmt"
	"math/bits"
	"runtime/debug"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/boule-db/boule/embed"
)

const (
	defaultMemoryPages = 512 + (4096-512)*(bits.UintSize/64)
	maxMemoryPages     = 1 << 16

	// Decoding the binary alone takes go-sqlite3 several milliseconds.
	alreadyInitialised = 200 * time.Microsecond
)

// start gives SQLite to go-sqlite3. Another part of the program may have done so
// before: then that stays, and is reported.
func start(opts Options) (Details, error) {
	d := describe()
	if d.Foreign = configuredElsewhere(); d.Foreign != "" {
		return startForeign(d, opts)
	}
	sqlite3.Binary = embed.Wasm()
	cfg := wazero.NewRuntimeConfig().
		WithMemoryLimitPages(uint32(opts.MemoryPages)).
		WithCoreFeatures(api.CoreFeaturesV2)
	if d.Engine == engineInterpreter {
		d.Cache, d.CacheReason = CacheOff, "the interpreter has nothing to keep"
	} else {
		code, found := compile(cfg, opts)
		d.Cache, d.CacheDir, d.CacheReason = found.state, found.dir, found.reason
		if code != nil {
			defer code.close()
			cfg = cfg.WithCompilationCache(code.cache)
		}
	}
	sqlite3.RuntimeConfig = cfg

	began := time.Now()
	err := initialize()
	if err != nil {
		return d, err
	}
	if time.Since(began) < alreadyInitialised {
		d.Foreign = "SQLite was running already"
		d.Cache, d.CacheDir, d.CacheReason = CacheOff, "", d.Foreign
		opts.Logger.Info("sqlite was started by another part of the program")
		return d, d.ask()
	}
	if d.Cache != CacheHit {
		debug.FreeOSMemory() // some 50 MB that the compiler has left
	}
	return d, nil
}

// configuredElsewhere says what another part of the program has chosen for
// go-sqlite3, if it differs from what we would.
func configuredElsewhere() string {
	switch {
	case sqlite3.Binary != nil && !bytes.Equal(sqlite3.Binary, embed.Wasm()):
		return "another SQLite binary was configured"
	case sqlite3.Binary == nil && sqlite3.Path != "":
		return "the path of a SQLite binary was configured"
	case sqlite3.RuntimeConfig != nil:
		return "another runtime configuration was set"
	}
	return ""
}

// startForeign only adds what is missing.
func startForeign(d Details, opts Options) (Details, error) {
	d.Cache, d.CacheReason, d.Engine = CacheOff, d.Foreign, "unknown"
	if sqlite3.RuntimeConfig != nil {
		d.Engine = engineName(sqlite3.RuntimeConfig)
	}
	if sqlite3.Binary == nil && sqlite3.Path == "" {
		sqlite3.Binary = embed.Wasm()
	}
	if !bytes.Equal(sqlite3.Binary, embed.Wasm()) {
		d.WasmSHA256 = ""
	}
	opts.Logger.Info("sqlite is configured by another part of the program", "what", d.Foreign)
	if err := initialize(); err != nil {
		return d, err
	}
	return d, d.ask()
}

func initialize() error {
	if err := sqlite3.Initialize(); err != nil {
		return fmt.Errorf("host: initialise SQLite: %w", err)
	}
	return nil
}
