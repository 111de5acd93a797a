package manifest

import (
	"time"
	"unicode/utf8"
)

// Bounds of the fields of a manifest.
const (
	// MaxVersionID is the length of the longest version id.
	MaxVersionID = 256
	// MaxString is the length of the longest Generator and Writer.
	MaxString = 1024
	// MaxSequence is the greatest Sequence: half of what fits, so that counting
	// on from a hostile value cannot overflow.
	MaxSequence = 1<<63 - 1
	// MaxManifest is the length of the longest encoded manifest, not compressed: an
	// override needs 19 bytes at most.
	MaxManifest = 4 << 20

	maxSeconds = 253402300799 // the end of the year 9999
)

// A Manifest describes one snapshot of a database.
type Manifest struct {
	// Header is the HeaderSum of the database.
	Header Fingerprint
	// VersionID is the tracker's id of the database at the time of the snapshot.
	// An empty one matches nothing, not even another empty one.
	VersionID []byte
	// Sequence orders the snapshots of one database: a hybrid clock, the greater of
	// the previous sequence plus one and the nanoseconds of the Unix time.
	Sequence uint64
	// Size is the length of the database in bytes.
	Size int64
	// SourceTime is when the database file last changed, in UTC. The zero time
	// means unknown.
	SourceTime time.Time
	// Generator is the program that took the snapshot, as "boule v0.1.0".
	Generator string
	// Writer is who took the snapshot, as "<hostname> <pid>"; for people to read.
	Writer string
	// Blocks describe the fingerprints of the database's chunks.
	Blocks []Block
	// Chunks are those fingerprints, Count(Size) of them. If Blocks is nil, Encode
	// makes blocks of them; otherwise it ignores them. Decode sets Chunks only if no stored
	// block is needed to know them; [Manifest.Expand] does it for the others.
	Chunks []Fingerprint
	// First holds the bytes of the first chunk, which is in no store. It is empty
	// if and only if the database is.
	First []byte
}

// Validate checks every rule of the format but those about the lists that the blocks describe,
// which [Manifest.Block] checks. It fails with [ErrCorrupt], or [ErrTooLarge] if only that is
// wrong with the size.
func (m *Manifest) Validate() error {
	switch {
	case m.Size > MaxSize:
		return ErrTooLarge
	case m.Size < 0:
		return corrupt("size %d is negative", m.Size)
	case m.Blocks == nil && len(m.Chunks) != Count(m.Size), m.Chunks != nil && len(m.Chunks) != Count(m.Size):
		return corrupt("%d fingerprints for %d bytes, which have %d chunks", len(m.Chunks), m.Size, Count(m.Size))
	case m.Blocks != nil && len(m.Blocks) != BlockCount(Count(m.Size)):
		return corrupt("%d index blocks for %d bytes, which have %d", len(m.Blocks), m.Size, BlockCount(Count(m.Size)))
	case len(m.First) != ChunkLen(m.Size, 0):
		return corrupt("first chunk has %d bytes, not %d", len(m.First), ChunkLen(m.Size, 0))
	case HeaderSum(m.First) != m.Header:
		return corrupt("header differs from its fingerprint %v", m.Header)
	case len(m.Chunks) > 0 && Sum(m.First) != m.Chunks[0]:
		return corrupt("first chunk differs from its fingerprint %v", m.Chunks[0])
	case m.Size%ChunkSize != 0 && len(m.Chunks) > 0 && m.Chunks[len(m.Chunks)-1] == ZeroChunk:
		return corrupt("last chunk is short, but has the fingerprint of a whole one")
	case m.Sequence > MaxSequence:
		return corrupt("sequence %d is out of range", m.Sequence)
	case len(m.VersionID) > MaxVersionID:
		return corrupt("version id has %d bytes", len(m.VersionID))
	}
	if err := m.validateBlocks(); err != nil {
		return err
	}
	if err := checkString("generator", m.Generator); err != nil {
		return err
	}
	if err := checkString("writer", m.Writer); err != nil {
		return err
	}
	if s := m.SourceTime.Unix(); !m.SourceTime.IsZero() && (s < 0 || s > maxSeconds) {
		return corrupt("source time %d seconds is out of range", s)
	}
	return nil
}

func (m *Manifest) validateBlocks() error {
	chunks, overrides := Count(m.Size), 0
	for b := range m.Blocks {
		last := -1
		if b == 0 {
			last = 0
		}
		n := BlockLen(chunks, b)
		for _, o := range m.Blocks[b].Overrides {
			if o.Place <= last || o.Place >= n {
				return corrupt("override %d of index block %d, which has %d places, after %d", o.Place, b, n, last)
			}
			last = o.Place
		}
		if k := len(m.Blocks[b].Overrides); b == len(m.Blocks)-1 && k > 0 && m.Size%ChunkSize != 0 &&
			m.Blocks[b].Overrides[k-1] == (Override{n - 1, ZeroChunk}) {
			return corrupt("last chunk is short, but has the fingerprint of a whole one")
		}
		overrides += len(m.Blocks[b].Overrides)
		if m.Blocks[b].Digest == NoBlock {
			return corrupt("index block %d has no digest", b)
		}
		if m.Blocks[b].Stored == m.Blocks[b].Digest && len(m.Blocks[b].Overrides) > 0 {
			return corrupt("index block %d is stored as it is, and has overrides", b)
		}
	}
	if overrides > MaxOverrides || m.Blocks == nil && len(m.Chunks)-1 > MaxOverrides {
		return corrupt("more than %d overrides", MaxOverrides)
	}
	return nil
}

func checkString(what, s string) error {
	switch {
	case len(s) > MaxString:
		return corrupt("%s has %d bytes", what, len(s))
	case !utf8.ValidString(s):
		return corrupt("%s is not UTF-8", what)
	}
	return nil
}
