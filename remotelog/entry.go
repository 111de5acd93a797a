package remotelog

import (
	"time"
	"unicode/utf8"

	"github.com/boule-db/boule/manifest"
)

// Bounds of an entry.
const (
	// MaxNumber is the greatest number of an entry: counting on from a hostile value cannot overflow.
	MaxNumber = 1 << 48
	// MaxHeader is the length of the longest header of an entry.
	MaxHeader = 4 << 20

	maxSeconds = 253402300799 // the end of the year 9999
)

// An Owner says on whose behalf an entry was appended.
type Owner struct {
	Spool    [16]byte // drawn at random once per spool prefix; never zero
	Database [16]byte // of the machine and the file; says that a lost spool was that of the same database. Zero if unknown
}

// Same says whether both are the same owner: their Spool is equal, or their Database is and is known.
func (o Owner) Same(other Owner) bool {
	return o.Spool == other.Spool && o.Spool != [16]byte{} || o.Database == other.Database && o.Database != [16]byte{}
}

// An Entry is one state of a database, a recovery point: what it is, and where in the store each of its
// chunks is. It needs no other entry but for the frames that it names.
type Entry struct {
	Name     manifest.Fingerprint // NameSum of the name of the replica, so that no entry is taken for one of another
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

	Bundled uint64   // number of the newest entry before it with a bundle that was made for it; 0 if there is none
	Bundles []Bundle // see [Entry.Own]; they ascend

	// Sealed is the number from which on all packs that are made for entries have a seal, up to that of the entry behind this one; 0 if it
	// is not known. Inline is how many bytes of frames are behind the header, which is only known if Sealed is.
	Sealed uint64
	Inline int64
}

// NameSum is the Name of the entries of the replica with that name.
func NameSum(name string) manifest.Fingerprint { return manifest.Sum([]byte(name)) }

// Check fails with [ErrCorrupt] unless e is an entry of the replica with that name and has that number,
// or any number if that is 0. Everyone who reads one MUST call it.
func (e *Entry) Check(name string, number uint64) error {
	switch {
	case e.Name != NameSum(name):
		return corrupt("the entry is one of another replica")
	case number != 0 && e.Number != number:
		return corrupt("the entry has the number %d, not %d", e.Number, number)
	}
	return nil
}

// CheckInline fails with [ErrCorrupt] unless the object of e has as many bytes behind the header as the header says, if it says so.
func (e *Entry) CheckInline(n int64) error {
	if e.Sealed == 0 || n == e.Inline {
		return nil
	}
	return corrupt("it has %d bytes behind its header, not %d", n, e.Inline)
}

// HasSeal says whether a pack is one of which it is known that it has a seal, if e is the newest entry.
func (e *Entry) HasSeal(pack ObjectID) bool { return e.Sealed > 0 && pack.Entry >= e.Sealed }

// Contents is the tree digest, as that of a manifest of the same database is.
func (e *Entry) Contents() manifest.Fingerprint {
	digests := make([]manifest.Fingerprint, len(e.Blocks))
	for b := range e.Blocks {
		digests[b] = e.Blocks[b].Digest
	}
	return manifest.Sum(manifest.AppendList(nil, digests))
}

// Validate checks every rule of the format but those about what is in stored blocks, which [Entry.Block]
// checks. It fails with [ErrCorrupt].
func (e *Entry) Validate() error {
	if err := e.validateLog(); err != nil {
		return err
	}
	if err := e.validateState(); err != nil {
		return err
	}
	count := manifest.Count(e.Size)
	if len(e.Blocks) != manifest.BlockCount(count) {
		return corrupt("%d index blocks for %d bytes, which have %d", len(e.Blocks), e.Size, manifest.BlockCount(count))
	}
	for b := range e.Blocks {
		if err := e.validateBlock(b, manifest.BlockLen(count, b)); err != nil {
			return err
		}
	}
	return e.validateBundles()
}

// validateLog checks what is about the log.
func (e *Entry) validateLog() error {
	var none manifest.Fingerprint
	switch {
	case e.Name == none:
		return corrupt("no name")
	case e.Number == 0 || e.Number > MaxNumber:
		return corrupt("number %d is out of range", e.Number)
	case (e.Previous == none) != (e.Number == 1):
		return corrupt("number %d, and the entry before it has the fingerprint %v", e.Number, e.Previous)
	case e.Owner.Spool == [16]byte{}:
		return corrupt("no owner")
	case e.Appended.IsZero():
		return corrupt("no time")
	case e.Sealed > e.Number+1:
		return corrupt("number %d, and packs have a seal from %d on", e.Number, e.Sealed)
	case e.Inline < 0 || e.Inline > MaxOffset || e.Inline > 0 && e.Sealed == 0:
		return corrupt("%d bytes of frames, and packs have a seal from %d on", e.Inline, e.Sealed)
	}
	return checkTime("time", e.Appended)
}

// validateState checks what a manifest has too.
func (e *Entry) validateState() error {
	switch {
	case e.Header == manifest.Fingerprint{}:
		return corrupt("no fingerprint of the header")
	case e.Size < 0 || e.Size > manifest.MaxSize:
		return corrupt("size %d is out of range", e.Size)
	case e.Sequence > manifest.MaxSequence:
		return corrupt("sequence %d is out of range", e.Sequence)
	case len(e.VersionID) > manifest.MaxVersionID:
		return corrupt("version id has %d bytes", len(e.VersionID))
	}
	if err := checkString("generator", e.Generator); err != nil {
		return err
	}
	if err := checkString("writer", e.Writer); err != nil {
		return err
	}
	if e.SourceTime.IsZero() {
		return nil
	}
	return checkTime("source time", e.SourceTime)
}

func checkTime(what string, t time.Time) error {
	if s := t.Unix(); s < 0 || s > maxSeconds {
		return corrupt("%s %d seconds is out of range", what, s)
	}
	return nil
}

func checkString(what, s string) error {
	switch {
	case len(s) > manifest.MaxString:
		return corrupt("%s has %d bytes", what, len(s))
	case !utf8.ValidString(s):
		return corrupt("%s is not UTF-8", what)
	}
	return nil
}
