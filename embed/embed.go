package embed

import (
	_ "embed"
	"unsafe"
)

// Facts about the binary, checked by this package's tests against the binary
// itself.
const (
	// Version is the release of SQLite.
	Version = "3.51.3"
	// SourceID is the check-in that SQLite was built from.
	SourceID = "2026-03-13 10:38:09 737ae4a34738ffa0c3ff7f9bb18df914dd1cad163f28fd6b6e114a344fe6d618"
	// SHA256 is the checksum of the binary, in hexadecimal.
	SHA256 = "4bd039600eae69059a672ef1c063f4d8ecc94e6367cf742ea903ca412035e0f8"
)

//go:embed sqlite3.wasm
var wasm string

// Wasm returns the binary. It lies in read-only memory: writing to it is fatal.
func Wasm() []byte { return unsafe.Slice(unsafe.StringData(wasm), len(wasm)) }
