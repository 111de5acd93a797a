package remotelog

import (
	"time"

	"github.com/boule-db/boule/manifest"
)

// An Owner says on whose behalf an entry was appended. Equal Spool or equal Database: the same owner.
type Owner struct {
	Spool    [16]byte // drawn at random once per spool prefix
	Database [16]byte // of the machine and the file; says that a lost spool was that of the same database
}

// An Entry is one state of a database, a recovery point: what it is, and where in the store each of its
// chunks is. It needs no other entry but for the frames that it names.
type Entry struct {
	Name     manifest.Fingerprint // of the name of the replica, so that no entry is taken for one of another
	Number   uint64               // from 1, without gaps when appended
	Previous manifest.Fingerprint // of the header of the entry before; zero in the first
	Appended time.Time            // by the clock of the writer, UTC
	Owner    Owner
	Takeover bool // the owner took the name over from the previous one deliberately

	// As in manifest.Manifest.
	Header     manifest.Fingerprint
	VersionID  []byte
	Sequence   uint64
	Size       int64
	SourceTime time.Time
	Generator  string
	Writer     string

	Blocks []Block // manifest.BlockCount(manifest.Count(Size)) of them
}

// Contents is the tree digest, as that of a manifest of the same database is.
func (e *Entry) Contents() manifest.Fingerprint { panic("not yet") }

// A Block says where the chunks of an index block are: of manifest.BlockChunks successive ones.
type Block struct {
	// Digest is the fingerprint of the list of the fingerprints of the chunks, as they are now:
	// manifest.Block's Digest.
	Digest manifest.Fingerprint
	// Stored is the frame of kind KindIndex with the block as it once was, maybe longer or shorter; the zero Place
	// if there is none.
	Stored Place
	// Overrides are the chunks that Stored does not have or has differently, by ascending place.
	Overrides []Override
}

// An Override is one chunk of a block.
type Override struct {
	Place int // in the block
	Chunk Chunk
}

// A Chunk is where one is: its pages in the order of Layers, each in exactly one of them.
// The chunk of zeros (manifest.ZeroChunk) has no layers.
type Chunk struct {
	Sum    manifest.Fingerprint
	Layers []Layer
}

// A Layer is the pages of a chunk that one frame has. Bit i of Pages is page i; a page has PageSize bytes, the last
// of a database may have fewer. The frame may have more pages of the chunk, which others have replaced.
type Layer struct {
	Frame Place
	Pages uint16
}

// PageSize is the granularity of deltas, whatever the page size of the database.
const PageSize = 4096

// An ObjectID names an object that has frames: an entry, or a pack.
type ObjectID struct {
	Entry uint64 // number of the entry; a pack was made for the entry of that number
	Part  uint32 // 0 is the entry itself, packs count from 1
	Nonce uint64 // random, in the key of a pack, so that two writers never write the same; 0 for an entry
}

// A Place is where a frame is.
type Place struct {
	Object         ObjectID
	Offset, Length int64
}

// IsZero says that there is no frame.
func (p Place) IsZero() bool { return p == Place{} }

// EncodeEntry returns the header that the object of an entry begins with. Frames follow it directly, so that the places
// of frames in the entry itself are offsets in the object: inline frames come behind the header, whose length
// depends on those offsets. That is why offsets within an entry count from the END of its header: Place.Offset of a
// frame whose object is an entry (Part 0) is relative to the first byte behind the header.
func EncodeEntry(e *Entry) ([]byte, error) { panic("not yet") }

// DecodeEntry decodes and validates the header at the beginning of an object, and returns its length. It fails with
// ErrShort if b ends before the header does: need is then how many bytes have to be there, or 0 if even that
// is not known yet. ErrVersion, ErrCorrupt.
func DecodeEntry(b []byte) (e *Entry, length, need int, err error) { panic("not yet") }
