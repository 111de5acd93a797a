package embed

import (
	_ "embed"
	"unsafe"
)

// Facts about the binary, checked by this package's tests against the binary
// itself.
const (
	// Version is the release of SQLite.
	Version = "3.53.4"
	// SourceID is the check-in that SQLite was built from.
	SourceID = "2026-07-24 19:02:57 bf7c7f30031888f4e796e429ab3978879485813aaca6f641c7b33e4e09459bcc"
	// SHA256 is the checksum of the binary, in hexadecimal.
	SHA256 = "12942848126b1022e84c979245c0e9e1550fdc7ddd51574b0f85f782a83a70a0"
)

//go:embed sqlite3.wasm
var wasm string

// Wasm returns the binary. It lies in read-only memory: writing to it is fatal.
func Wasm() []byte { return unsafe.Slice(unsafe.StringData(wasm), len(wasm)) }
