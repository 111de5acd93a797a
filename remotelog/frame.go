package remotelog

import "github.com/boule-db/boule/manifest"

// A Kind is what is in a frame.
type Kind byte

// The kinds of frames.
const (
	KindChunk Kind = 1 // a whole chunk, of 1 to 65536 bytes
	KindDelta Kind = 2 // some pages of some chunks
	KindIndex Kind = 3 // an index block with places
)

// Bounds of frames, before they are compressed.
const (
	MaxDelta = 1 << 20 // a writer makes deltas of about 256 KiB
	MaxIndex = 1 << 20
)

// AppendFrame appends a frame: kind, length and XXH3-128 of raw, and raw compressed.
func AppendFrame(b []byte, kind Kind, raw []byte) []byte { panic("not yet") }

// DecodeFrame returns what a frame has, verified by its own fingerprint. b is exactly the frame. It allocates no more than
// what the kind allows, whatever b says.
func DecodeFrame(b []byte, want Kind) (raw []byte, err error) { panic("not yet") }

// AppendIndex appends the raw content of a frame of kind KindIndex: 1 to manifest.BlockChunks chunks.
func AppendIndex(b []byte, chunks []Chunk) []byte { panic("not yet") }

// DecodeIndex is the reverse of AppendIndex.
func DecodeIndex(raw []byte) ([]Chunk, error) { panic("not yet") }

// A Delta is the pages of one chunk in a frame of kind KindDelta.
type Delta struct {
	Chunk int64  // number of the chunk in the database
	Pages uint16 // which
	Data  []byte // their bytes, in order; only page 15, or the last of the database, may be shorter than PageSize
}

// AppendDeltas appends the raw content of a frame of kind KindDelta: chunks ascending.
func AppendDeltas(b []byte, deltas []Delta) []byte { panic("not yet") }

// DecodeDeltas is the reverse of AppendDeltas. Data are parts of raw.
func DecodeDeltas(raw []byte) ([]Delta, error) { panic("not yet") }

// Names of objects. The name of a replica is that of its manifest (manifest.Name).

// EntryKey is the key, in the store for manifests, of an entry: log/NAME/NUMBER in 16 hex digits.
func EntryKey(name string, number uint64) string { panic("not yet") }

// EntryPrefix is what the keys of the entries of a replica begin with.
func EntryPrefix(name string) string { panic("not yet") }

// ParseEntryKey is the reverse of EntryKey, for what is under EntryPrefix.
func ParseEntryKey(name, key string) (number uint64, ok bool) { panic("not yet") }

// LatestKey is the key, in the store for manifests, of a copy of the header of a recent entry: latest/NAME.
func LatestKey(name string) string { panic("not yet") }

// PackKey is the key, in the store for chunks, of a pack: packs/NAME/ENTRY-PART-NONCE in 16, 8 and 16 hex digits.
func PackKey(name string, id ObjectID) string { panic("not yet") }

// PackPrefix is what the keys of the packs of a replica begin with.
func PackPrefix(name string) string { panic("not yet") }

// ParsePackKey is the reverse of PackKey, for what is under PackPrefix.
func ParsePackKey(name, key string) (id ObjectID, ok bool) { panic("not yet") }

var _ = manifest.ChunkSize
