package remotelog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"time"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/internal/wire"
	"github.com/boule-db/boule/manifest"
)

// Version is the major version of the format that this package reads and writes.
const Version = 1

// An object of an entry begins with the magic and the length of the message.
const (
	magic      = "boulelog"
	headerHead = len(magic) + 4
)

// Numbers of the fields; see FORMAT.md. Those that every entry has come first, for they have short tags.
const (
	fieldMajor         protowire.Number = 1
	fieldName          protowire.Number = 2
	fieldNumber        protowire.Number = 3
	fieldPrevious      protowire.Number = 4
	fieldSeconds       protowire.Number = 5
	fieldNanos         protowire.Number = 6
	fieldSpool         protowire.Number = 7
	fieldDatabase      protowire.Number = 8
	fieldHeader        protowire.Number = 9
	fieldVersionID     protowire.Number = 10
	fieldSequence      protowire.Number = 11
	fieldSize          protowire.Number = 12
	fieldSourceSeconds protowire.Number = 13
	fieldSourceNanos   protowire.Number = 14
	fieldBlocks        protowire.Number = 15
	fieldGenerator     protowire.Number = 16
	fieldWriter        protowire.Number = 17
	fieldTakeover      protowire.Number = 18
	fieldBundled       protowire.Number = 19
	fieldBundles       protowire.Number = 20
	fieldSealed        protowire.Number = 21
	fieldInline        protowire.Number = 22
	fieldLast          protowire.Number = 22 // the last one that is known, but for the check
	fieldCheck         protowire.Number = 31 // always the last one
)

// types of the known fields.
var types = [fieldLast + 1]protowire.Type{
	0:                  wire.Unknown,
	fieldMajor:         protowire.VarintType,
	fieldName:          protowire.BytesType,
	fieldNumber:        protowire.VarintType,
	fieldPrevious:      protowire.BytesType,
	fieldSeconds:       protowire.VarintType,
	fieldNanos:         protowire.VarintType,
	fieldSpool:         protowire.BytesType,
	fieldDatabase:      protowire.BytesType,
	fieldHeader:        protowire.BytesType,
	fieldVersionID:     protowire.BytesType,
	fieldSequence:      protowire.VarintType,
	fieldSize:          protowire.VarintType,
	fieldSourceSeconds: protowire.VarintType,
	fieldSourceNanos:   protowire.VarintType,
	fieldBlocks:        protowire.BytesType,
	fieldGenerator:     protowire.BytesType,
	fieldWriter:        protowire.BytesType,
	fieldTakeover:      protowire.VarintType,
	fieldBundled:       protowire.VarintType,
	fieldBundles:       protowire.BytesType,
	fieldSealed:        protowire.VarintType,
	fieldInline:        protowire.VarintType,
}

const checkSize = 8

// EncodeEntry returns the header that the object of an entry begins with. Frames follow it directly. Their offsets
// count from the END of the header, whose length depends on them. Equal entries have equal headers. It fails
// with [ErrCorrupt] if the entry does not [Entry.Validate], and with [ErrTooLarge] if the header would have more than
// MaxHeader bytes.
func EncodeEntry(e *Entry) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	b := encode(e)
	if len(b) > MaxHeader {
		return nil, fmt.Errorf("encode entry: %w: it would have %d bytes", ErrTooLarge, len(b))
	}
	return b, nil
}

// encode encodes an entry as it is.
func encode(e *Entry) []byte {
	blocks := appendBlocks(nil, e)
	const fixed = 512 // more than all fields of fixed size and all tags need
	b := make([]byte, 0, fixed+len(e.VersionID)+len(e.Generator)+len(e.Writer)+len(blocks))
	b = append(b, magic...)
	b = append(b, 0, 0, 0, 0)
	b = appendUint(b, fieldMajor, Version)
	b = appendSumField(b, fieldName, e.Name)
	b = appendUint(b, fieldNumber, e.Number)
	b = appendSumField(b, fieldPrevious, e.Previous)
	b = appendTime(b, fieldSeconds, e.Appended)
	b = appendBytes(b, fieldSpool, e.Owner.Spool[:])
	if e.Owner.Database != [16]byte{} {
		b = appendBytes(b, fieldDatabase, e.Owner.Database[:])
	}
	b = appendSumField(b, fieldHeader, e.Header)
	b = appendBytes(b, fieldVersionID, e.VersionID)
	b = appendUint(b, fieldSequence, e.Sequence)
	b = appendUint(b, fieldSize, uint64(e.Size))
	b = appendTime(b, fieldSourceSeconds, e.SourceTime)
	b = appendBytes(b, fieldBlocks, blocks)
	b = appendBytes(b, fieldGenerator, []byte(e.Generator))
	b = appendBytes(b, fieldWriter, []byte(e.Writer))
	if e.Takeover {
		b = appendUint(b, fieldTakeover, 1)
	}
	if e.Bundled > 0 {
		b = appendUint(b, fieldBundled, e.Number-e.Bundled)
	}
	b = appendBytes(b, fieldBundles, appendBundles(nil, e))
	b = appendUint(b, fieldSealed, e.Sealed)
	b = appendUint(b, fieldInline, uint64(e.Inline))
	const tail = 2 + 1 + checkSize
	binary.BigEndian.PutUint32(b[len(magic):], uint32(len(b)+tail-headerHead))
	check := xxh3.Hash(b)
	b = protowire.AppendTag(b, fieldCheck, protowire.BytesType)
	b = protowire.AppendVarint(b, checkSize)
	return binary.BigEndian.AppendUint64(b, check)
}

func appendUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func appendSumField(b []byte, num protowire.Number, f manifest.Fingerprint) []byte {
	if f == (manifest.Fingerprint{}) {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return appendSum(protowire.AppendVarint(b, sumSize), f)
}

// appendTime appends the seconds, also if they are 0, and the nanoseconds, in the field behind, of a time that is known.
func appendTime(b []byte, seconds protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = protowire.AppendTag(b, seconds, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(t.Unix()))
	return appendUint(b, seconds+1, uint64(t.Nanosecond()))
}

// What appendBlocks adds to four times the number of overrides of a block.
const (
	isStored  = 1
	isPatched = 2
	flags     = isStored | isPatched
	flagBits  = 2
)

// appendBlocks appends all blocks: digests; how many overrides each has, and whether it is stored and patched; steps from override to
// override; then columns of all overrides, whose places come behind those of the stored blocks and the patches.
func appendBlocks(b []byte, e *Entry) []byte {
	var frames []Place
	var chunks []Chunk
	var steps []byte
	for i := range e.Blocks {
		b = appendSum(b, e.Blocks[i].Digest)
	}
	for i := range e.Blocks {
		block := &e.Blocks[i]
		v := uint64(len(block.Overrides)) << flagBits
		if !block.Stored.IsZero() {
			v |= isStored
			frames = append(frames, block.Stored)
		}
		if !block.Patch.IsZero() {
			v |= isPatched
			frames = append(frames, block.Patch)
		}
		b = protowire.AppendVarint(b, v)
		steps = appendSteps(steps, block.Overrides)
		for k := range block.Overrides {
			chunks = append(chunks, block.Overrides[k].Chunk)
		}
	}
	if len(e.Blocks) == 0 {
		return b
	}
	return appendColumns(append(b, steps...), e.Number, frames, chunks)
}

// appendSteps appends the steps from override to override, the first from before the block.
func appendSteps(b []byte, overrides []Override) []byte {
	last := -1
	for i := range overrides {
		b = protowire.AppendVarint(b, uint64(overrides[i].Place-last))
		last = overrides[i].Place
	}
	return b
}

// makeOverrides undoes appendSteps. Whether the places are in any range is for the caller to check.
func makeOverrides(steps []uint64, chunks []Chunk) []Override {
	if len(steps) == 0 {
		return nil
	}
	overrides := make([]Override, len(steps))
	last := -1
	for i := range overrides {
		last += int(steps[i])
		overrides[i] = Override{Place: last, Chunk: chunks[i]}
	}
	return overrides
}

// parseBlocks undoes appendBlocks.
func parseBlocks(b []byte, number uint64, count int) ([]Block, error) {
	fail := func() ([]Block, error) { return nil, corrupt("the blocks are cut short or malformed") }
	if count == 0 {
		if len(b) > 0 {
			return fail()
		}
		return nil, nil
	}
	c := cursor{rest: b}
	digests := c.sums(count)
	counts := c.uints(count, manifest.BlockChunks<<flagBits|flags)
	frames, overrides := 0, 0
	for _, v := range counts {
		frames += bits.OnesCount64(v & flags)
		overrides += int(v >> flagBits)
	}
	steps := c.uints(overrides, manifest.BlockChunks)
	places, chunks := c.columns(number, frames, overrides)
	if c.failed || len(c.rest) > 0 {
		return fail()
	}
	blocks := make([]Block, count)
	for i, v := range counts {
		block := &blocks[i]
		block.Digest = manifest.At(digests, i)
		if v&isStored != 0 {
			block.Stored, places = places[0], places[1:]
		}
		if v&isPatched != 0 {
			block.Patch, places = places[0], places[1:]
		}
		n := int(v >> flagBits)
		block.Overrides = makeOverrides(steps[:n], chunks[:n])
		steps, chunks = steps[n:], chunks[n:]
	}
	return blocks, nil
}

// IsEntry reports whether b begins as entries do.
func IsEntry(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }

// DecodeEntry decodes and validates the header at the beginning of an object, and returns its length. It fails with
// [ErrShort] if b ends before the header does: need is then how many bytes have to be there, or 0 if even that
// is not known yet; with [ErrVersion]; and with [ErrCorrupt]. The entry shares no memory with b.
//
// Whether it is the right entry, [Entry.Check] says.
func DecodeEntry(b []byte) (e *Entry, length, need int, err error) {
	length, need, err = headerLen(b)
	if err == nil {
		e, err = decode(b[:length])
	}
	if err != nil {
		return nil, 0, need, fmt.Errorf("decode entry: %w", err)
	}
	return e, length, 0, nil
}

// headerLen returns the length of the header that b begins with, if all of it is there.
func headerLen(b []byte) (length, need int, err error) {
	if n := min(len(b), len(magic)); string(b[:n]) != magic[:n] {
		return 0, 0, corrupt("it does not begin as an entry does")
	}
	if len(b) < headerHead {
		return 0, 0, ErrShort
	}
	// Another version may have other bounds, so look at that first.
	if err := checkVersion(b[headerHead:]); err != nil {
		return 0, 0, err
	}
	n := binary.BigEndian.Uint32(b[len(magic):])
	if n > MaxHeader-uint32(headerHead) {
		return 0, 0, corrupt("a header of %d bytes", n)
	}
	if length = headerHead + int(n); len(b) < length {
		return 0, length, ErrShort
	}
	return length, 0, nil
}

// checkVersion fails if a message begins with another version than ours, as far as it is there.
func checkVersion(b []byte) error {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != fieldMajor || typ != protowire.VarintType {
		return nil
	}
	major, n := protowire.ConsumeVarint(b[n:])
	switch {
	case n < 0 || major == Version:
		return nil
	case major == 0:
		return corrupt("format version 0")
	}
	return fmt.Errorf("%w: it has version %d, this program knows version %d; upgrade Boule to read it", ErrVersion, major, Version)
}

// decode decodes a header that is exactly b, of our version.
func decode(b []byte) (*Entry, error) {
	d := decoder{wire.NewFields(types[:]), b[headerHead:]}
	if err := d.run(b); err != nil {
		return nil, err
	}
	e, err := d.entry()
	if err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	// One way only to write the same, here as in all that has a check of its own.
	if !bytes.Equal(appendBlocks(nil, e), d.Bytes[fieldBlocks]) {
		return nil, corrupt("the blocks are not in their shortest form")
	}
	if !bytes.Equal(appendBundles(nil, e), d.Bytes[fieldBundles]) {
		return nil, corrupt("the bundles are not in their shortest form")
	}
	return e, nil
}

// A decoder holds the known fields as they are found; what is of type bytes aliases the input.
type decoder struct {
	*wire.Fields
	rest []byte
}

// run reads all fields of the header that is whole.
func (d *decoder) run(whole []byte) error {
	for first := true; len(d.rest) > 0; first = false {
		before := whole[:len(whole)-len(d.rest)]
		num, typ, n := protowire.ConsumeTag(d.rest)
		if n < 0 {
			return corrupt("field: %w", protowire.ParseError(n))
		}
		if first && (num != fieldMajor || typ != protowire.VarintType) {
			return corrupt("it does not begin with a version")
		}
		d.rest = d.rest[n:]
		if num == fieldCheck {
			return d.check(typ, before)
		}
		size, err := d.Consume(num, typ, d.rest)
		if err != nil {
			return corrupt("%w", err)
		}
		d.rest = d.rest[size:]
	}
	return corrupt("it has no check")
}

// check compares all that comes before the last field with the fingerprint there.
func (d *decoder) check(typ protowire.Type, before []byte) error {
	v, n := protowire.ConsumeBytes(d.rest)
	if typ != protowire.BytesType || n != len(d.rest) || len(v) != checkSize {
		return corrupt("its check is not the last that it has")
	}
	if binary.BigEndian.Uint64(v) != xxh3.Hash(before) {
		return corrupt("it differs from its own check")
	}
	return nil
}

// entry makes an entry of the fields. Validate checks what is not checked here.
func (d *decoder) entry() (*Entry, error) {
	e := &Entry{
		Number:    d.Uints[fieldNumber],
		VersionID: append([]byte(nil), d.Bytes[fieldVersionID]...),
		Sequence:  d.Uints[fieldSequence],
		Generator: string(d.Bytes[fieldGenerator]),
		Writer:    string(d.Bytes[fieldWriter]),
		Takeover:  d.Uints[fieldTakeover] == 1,
	}
	if d.Uints[fieldTakeover] > 1 {
		return nil, corrupt("takeover %d", d.Uints[fieldTakeover])
	}
	var spool, database manifest.Fingerprint
	for _, f := range []struct {
		num protowire.Number
		sum *manifest.Fingerprint
	}{{fieldName, &e.Name}, {fieldPrevious, &e.Previous}, {fieldSpool, &spool}, {fieldDatabase, &database}, {fieldHeader, &e.Header}} {
		if v := d.Bytes[f.num]; len(v) == sumSize {
			*f.sum = manifest.At(v, 0)
		} else if d.Seen[f.num] {
			return nil, corrupt("field %d has %d bytes, not %d", f.num, len(v), sumSize)
		}
	}
	appendSum(e.Owner.Spool[:0], spool)
	appendSum(e.Owner.Database[:0], database)
	var err error
	if e.Appended, err = d.time(fieldSeconds); err != nil {
		return nil, err
	}
	if e.SourceTime, err = d.time(fieldSourceSeconds); err != nil {
		return nil, err
	}
	if e.Number > MaxNumber || d.Uints[fieldSize] > manifest.MaxSize {
		return nil, corrupt("number %d, size %d: out of range", e.Number, d.Uints[fieldSize])
	}
	e.Size = int64(d.Uints[fieldSize])
	if back := d.Uints[fieldBundled]; back >= e.Number && back > 0 {
		return nil, corrupt("the entry with bundles is %d before entry %d", back, e.Number)
	} else if back > 0 {
		e.Bundled = e.Number - back
	}
	if err := d.seal(e); err != nil {
		return nil, err
	}
	if e.Bundles, err = parseBundles(d.Bytes[fieldBundles], e.Number); err != nil {
		return nil, err
	}
	e.Blocks, err = parseBlocks(d.Bytes[fieldBlocks], e.Number, manifest.BlockCount(manifest.Count(e.Size)))
	return e, err
}

// seal sets what is said of seals, and of how long the object is.
func (d *decoder) seal(e *Entry) error {
	e.Sealed = d.Uints[fieldSealed]
	switch {
	case d.Seen[fieldSealed] && e.Sealed == 0:
		return corrupt("packs have a seal from 0 on")
	case d.Seen[fieldInline] && !d.Seen[fieldSealed], d.Uints[fieldInline] > MaxOffset:
		return corrupt("%d bytes of frames, and packs have a seal from %d on", d.Uints[fieldInline], e.Sealed)
	}
	e.Inline = int64(d.Uints[fieldInline])
	return nil
}

// time undoes appendTime.
func (d *decoder) time(seconds protowire.Number) (time.Time, error) {
	secs, nanos := d.Uints[seconds], d.Uints[seconds+1]
	switch {
	case secs > maxSeconds || nanos >= 1e9:
		return time.Time{}, corrupt("time %d seconds, %d nanoseconds is out of range", secs, nanos)
	case d.Seen[seconds]:
		return time.Unix(int64(secs), int64(nanos)).UTC(), nil
	case d.Seen[seconds+1]:
		return time.Time{}, corrupt("time has nanoseconds without seconds")
	}
	return time.Time{}, nil
}
