package boule

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/boule-db/boule/host"
)

// versionString is the version of this module; releases set it with -ldflags, and
// programs that import Boule find it in their build information.
var versionString = ""

// Versions tells what runs: see [Version].
type Versions struct {
	Boule          string `json:"boule"`
	SQLite         string `json:"sqlite_version"`
	SQLiteSourceID string `json:"sqlite_source_id"`
	Wazero         string `json:"wazero"`
	Engine         string `json:"engine"` // "compiler" or "interpreter"
	WasmSHA256     string `json:"wasm_sha256"`
	Cache          string `json:"wasm_cache"`
	CacheReason    string `json:"wasm_cache_reason,omitempty"`
	Go             string `json:"go"`
	OS             string `json:"os"`
	Arch           string `json:"arch"`
}

// Version starts SQLite and tells what runs.
func Version(cfg *Config) (*Versions, error) {
	if cfg == nil {
		cfg = new(Config)
	}
	if err := host.Init(&host.Options{CacheDir: cfg.CacheDir, Logger: cfg.logger()}); err != nil {
		return nil, fmt.Errorf("boule: start SQLite: %w", err)
	}
	info := host.Info()
	return &Versions{
		Boule:          ownVersion(),
		SQLite:         info.SQLite,
		SQLiteSourceID: info.SourceID,
		Wazero:         info.Wazero,
		Engine:         info.Engine,
		WasmSHA256:     info.WasmSHA256,
		Cache:          info.Cache,
		CacheReason:    info.CacheReason,
		Go:             runtime.Version(),
		OS:             runtime.GOOS,
		Arch:           runtime.GOARCH,
	}, nil
}

func ownVersion() string {
	if versionString != "" {
		return versionString
	}
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	const self = "github.com/boule-db/boule"
	if bi.Main.Path == self && bi.Main.Version != "" {
		return bi.Main.Version
	}
	for _, dep := range bi.Deps {
		if dep.Path == self {
			return dep.Version
		}
	}
	return "devel"
}
