package manifest

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"
)

// Sizes of the format.
const (
	// ChunkSize is how many bytes a chunk has. The last one may be shorter.
	ChunkSize = 64 << 10
	// HeaderSize is how many bytes of a database HeaderSum covers: SQLite's header.
	HeaderSize = 100
	// MaxSize is the size of the largest database that has manifests.
	MaxSize = 1 << 40
)

// fingerprintSize is the length of a fingerprint's binary form.
const fingerprintSize = 16

// A Fingerprint is the XXH3-128 of some bytes. Equal bytes have equal
// fingerprints; the reverse is true of all bytes that were not made to deceive.
type Fingerprint struct{ Hi, Lo uint64 }

// ZeroChunk is the fingerprint of ChunkSize zero bytes. That chunk is well known:
// it is never stored and never fetched.
var ZeroChunk = Fingerprint{Hi: 0xfd5ee061c8433a0f, Lo: 0x33b202d302b65caa}

// Sum returns the fingerprint of b.
func Sum(b []byte) Fingerprint {
	h := xxh3.Hash128(b)
	return Fingerprint{Hi: h.Hi, Lo: h.Lo}
}

// HeaderSum returns the fingerprint of a database's header: the first HeaderSize
// bytes of b, or all of it if it is shorter.
func HeaderSum(b []byte) Fingerprint { return Sum(b[:min(len(b), HeaderSize)]) }

// String returns the fingerprint as 32 hexadecimal digits.
func (f Fingerprint) String() string { return fmt.Sprintf("%016x%016x", f.Hi, f.Lo) }

// AppendBinary appends the fingerprint's binary form, 16 bytes, big-endian. The
// error is nil; it is there for encoding.BinaryAppender.
func (f Fingerprint) AppendBinary(b []byte) ([]byte, error) { return f.append(b), nil }

func (f Fingerprint) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, f.Hi)
	return binary.BigEndian.AppendUint64(b, f.Lo)
}

// fingerprintOf reads the binary form in the first 16 bytes of b.
func fingerprintOf(b []byte) Fingerprint {
	return Fingerprint{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}

// Count returns how many chunks a database of size bytes has.
func Count(size int64) int {
	n := size / ChunkSize
	if size%ChunkSize > 0 {
		n++
	}
	return int(n)
}

// ChunkLen returns the length of chunk i of a database of size bytes, or 0 if it
// has no such chunk.
func ChunkLen(size int64, i int) int {
	if i < 0 {
		return 0
	}
	return int(max(0, min(size-int64(i)*ChunkSize, ChunkSize)))
}
