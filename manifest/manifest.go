package manifest

import (
	"errors"
	"time"
)

// Sizes of the format.
const (
	ChunkSize  = 64 << 10 // bytes per chunk; the last may be shorter
	HeaderSize = 100      // bytes of a database that HeaderSum covers
)

// A Fingerprint is the XXH3-128 of some bytes.
type Fingerprint struct{ Hi, Lo uint64 }

// Sum returns the fingerprint of b.
func Sum(b []byte) Fingerprint { return Fingerprint{} }

// String returns the fingerprint as 32 hexadecimal digits.
func (f Fingerprint) String() string { return "" }

// ChunkName returns the name of the chunk in a spool or a store.
func (f Fingerprint) ChunkName() string { return "" }

// ParseChunkName is the inverse of ChunkName.
func ParseChunkName(s string) (Fingerprint, error) { return Fingerprint{}, errors.New("todo") }

// ZeroChunk is the fingerprint of ChunkSize zero bytes, never stored or fetched.
var ZeroChunk Fingerprint

// HeaderSum returns the fingerprint of the first HeaderSize bytes of header, or
// of all of it if it is shorter.
func HeaderSum(header []byte) Fingerprint { return Fingerprint{} }

// Name returns the name of a database's manifest in a store.
func Name(hostname, path string) string { return "" }

// ParseName is the inverse of Name; it fails for shortened names.
func ParseName(name string) (hostname, path string, ok bool) { return "", "", false }

// Shorten returns s, or 240 bytes made from it if it has 230 bytes or more.
func Shorten(s string) string { return s }

// Errors of this package.
var (
	ErrCorrupt  = errors.New("manifest: corrupt")
	ErrVersion  = errors.New("manifest: unknown format version")
	ErrTooLarge = errors.New("manifest: database too large")
)

// A Manifest describes one snapshot of a database.
type Manifest struct {
	Header     Fingerprint
	VersionID  []byte
	Sequence   uint64
	Size       int64
	SourceTime time.Time
	Generator  string
	Writer     string
	Chunks     []Fingerprint
	First      []byte
}

// Validate checks every rule of the format.
func (m *Manifest) Validate() error { return nil }

// Contents returns the fingerprint of the list of fingerprints.
func (m *Manifest) Contents() Fingerprint { return Fingerprint{} }

// Encode returns the manifest's bytes.
func Encode(m *Manifest) ([]byte, error) { return nil, errors.New("todo") }

// Decode parses and validates a manifest, compressed or not.
func Decode(b []byte) (*Manifest, error) { return nil, errors.New("todo") }

// Compress returns b as a zstd frame.
func Compress(b []byte) []byte { return nil }

// DecompressChunk returns the chunk want that b is the compressed form of.
func DecompressChunk(b []byte, want Fingerprint) ([]byte, error) { return nil, errors.New("todo") }

// DecompressManifest returns the encoded manifest that b is the compressed form of.
func DecompressManifest(b []byte) ([]byte, error) { return nil, errors.New("todo") }
