package doctor

import (
	"io"

	"github.com/boule-db/boule/manifest"
)

// A Stored is what a store holds of one target, uncompressed, by name. The bytes are never
// changed in place.
type Stored struct {
	// Chunks are those that are there; the bytes are nil where they are not known.
	Chunks    map[string][]byte
	Manifests map[string][]byte
	// Partial says that only what is in the maps, or named in Absent, is known.
	Partial bool
	Absent  map[string]bool
	// OwnIndex says that the store describes chunks in its own way, so that the index blocks that manifests in a spool name
	// need to be there or in the spool, not in both.
	OwnIndex bool

	decoded map[string]decoded
	summed  map[string]summed
}

type decoded struct {
	data *byte
	m    *manifest.Manifest
}

type summed struct {
	data *byte
	sum  manifest.Fingerprint
}

// NewStored returns an empty Stored.
func NewStored() *Stored {
	return &Stored{
		Chunks: map[string][]byte{}, Manifests: map[string][]byte{},
		decoded: map[string]decoded{}, summed: map[string]summed{},
	}
}

// lacks says that the store is known not to hold a chunk. A store that is not known lacks nothing.
func (s *Stored) lacks(f manifest.Fingerprint) bool {
	if s == nil {
		return false
	}
	name := f.ChunkName()
	if _, ok := s.Chunks[name]; ok {
		return false
	}
	return !s.Partial || s.Absent[name]
}

// knows says whether it is known which manifest of that name the store has, if any.
func (s *Stored) knows(name string) bool {
	if s == nil {
		return false
	}
	_, ok := s.Manifests[name]
	return ok || !s.Partial || s.Absent[name]
}

// manifest returns a stored manifest, nil if there is none that can be read.
func (s *Stored) manifest(name string) *manifest.Manifest {
	if s == nil || len(s.Manifests[name]) == 0 {
		return nil
	}
	data := s.Manifests[name]
	if d, ok := s.decoded[name]; ok && d.data == &data[0] {
		return d.m
	}
	m, err := manifest.Decode(data)
	if err != nil {
		m = nil
	}
	if s.decoded == nil {
		s.decoded = map[string]decoded{}
	}
	s.decoded[name] = decoded{&data[0], m}
	return m
}

// sequence returns that of a stored manifest, zero if there is none.
func (s *Stored) sequence(name string) uint64 {
	if m := s.manifest(name); m != nil {
		return m.Sequence
	}
	return 0
}

func (s *Stored) sum(name string) (manifest.Fingerprint, bool) {
	data := s.Chunks[name]
	if len(data) == 0 {
		return manifest.Fingerprint{}, false
	}
	if d, ok := s.summed[name]; ok && d.data == &data[0] {
		return d.sum, true
	}
	sum := manifest.Sum(data)
	if s.summed == nil {
		s.summed = map[string]summed{}
	}
	s.summed[name] = summed{&data[0], sum}
	return sum, true
}

// sequences returns those of all manifests that are known to be there.
func (s *Stored) sequences() map[string]uint64 {
	all := make(map[string]uint64, len(s.Manifests))
	for name := range s.Manifests {
		all[name] = s.sequence(name)
	}
	return all
}

// A Database is what is known of a database while it was locked.
type Database struct {
	Size int64
	// ID is its version id, empty if that is not known.
	ID []byte
	// Sums are the fingerprints of the chunks that were read, by index.
	Sums map[int]manifest.Fingerprint
	// States, if not nil, are the contents that the database ever had in a committed state, as of
	// manifest.Manifest.Contents.
	States map[manifest.Fingerprint]bool
}

// DatabaseOf describes a database by its bytes.
func DatabaseOf(data io.ReaderAt, size int64, id []byte) (*Database, error) {
	db := &Database{Size: size, ID: id, Sums: map[int]manifest.Fingerprint{}}
	buf := make([]byte, manifest.ChunkSize)
	for i := range manifest.Count(size) {
		part := buf[:manifest.ChunkLen(size, i)]
		if n, err := data.ReadAt(part, int64(i)*manifest.ChunkSize); n < len(part) {
			return nil, err
		}
		db.Sums[i] = manifest.Sum(part)
	}
	return db, nil
}
