package manifest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/internal/wire"
)

// Version is the major version of the format that this package reads and writes.
const Version = 2

// Numbers of the fields; see FORMAT.md.
const (
	fieldMajor         protowire.Number = 1
	fieldHeader        protowire.Number = 2
	fieldContents      protowire.Number = 3
	fieldVersionID     protowire.Number = 4
	fieldSequence      protowire.Number = 5
	fieldSize          protowire.Number = 6
	fieldSourceSeconds protowire.Number = 7
	fieldSourceNanos   protowire.Number = 8
	fieldGenerator     protowire.Number = 9
	fieldWriter        protowire.Number = 10
	fieldBlocks        protowire.Number = 11
	fieldOverrides     protowire.Number = 12
	fieldFirst         protowire.Number = 16
	fieldCheck         protowire.Number = 31 // always the last one
	fieldLast          protowire.Number = 16 // the last one that is known, but for that
)

// types of the known fields.
var types = [fieldLast + 1]protowire.Type{
	fieldMajor:         protowire.VarintType,
	fieldHeader:        protowire.BytesType,
	fieldContents:      protowire.BytesType,
	fieldVersionID:     protowire.BytesType,
	fieldSequence:      protowire.VarintType,
	fieldSize:          protowire.VarintType,
	fieldSourceSeconds: protowire.VarintType,
	fieldSourceNanos:   protowire.VarintType,
	fieldGenerator:     protowire.BytesType,
	fieldWriter:        protowire.BytesType,
	fieldBlocks:        protowire.BytesType,
	fieldOverrides:     protowire.BytesType,
	fieldFirst:         protowire.BytesType,
	13:                 wire.Unknown, 14: wire.Unknown, 15: wire.Unknown, 0: wire.Unknown,
}

// Encode returns the manifest's bytes, not compressed. Equal manifests have equal
// bytes. It fails if the manifest does not [Manifest.Validate].
func Encode(m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	blocks := m.Blocks
	if blocks == nil {
		blocks = InlineBlocks(m.Chunks)
	}
	overrides := 0
	for i := range blocks {
		overrides += len(blocks[i].Overrides)
	}
	const fixed = 256 // more than all fields of fixed size and all tags need
	b := make([]byte, 0, fixed+len(m.VersionID)+len(m.Generator)+len(m.Writer)+len(m.First)+
		len(blocks)*(2*fingerprintSize+4)+overrides*(fingerprintSize+3))
	b = appendUint(b, fieldMajor, Version)
	b = appendSum(b, fieldHeader, m.Header)
	b = appendSum(b, fieldContents, contents(blocks))
	b = appendBytes(b, fieldVersionID, m.VersionID)
	b = appendUint(b, fieldSequence, m.Sequence)
	b = appendUint(b, fieldSize, uint64(m.Size))
	if !m.SourceTime.IsZero() {
		b = protowire.AppendTag(b, fieldSourceSeconds, protowire.VarintType) // also if it is 0
		b = protowire.AppendVarint(b, uint64(m.SourceTime.Unix()))
		b = appendUint(b, fieldSourceNanos, uint64(m.SourceTime.Nanosecond()))
	}
	b = appendBytes(b, fieldGenerator, []byte(m.Generator))
	b = appendBytes(b, fieldWriter, []byte(m.Writer))
	if len(blocks) > 0 {
		b = protowire.AppendTag(b, fieldBlocks, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(blocks)*fingerprintSize))
		for i := range blocks {
			b = blocks[i].Stored.append(b)
		}
	}
	b = appendBytes(b, fieldOverrides, appendGroups(make([]byte, 0, len(blocks)*(fingerprintSize+4)+overrides*(fingerprintSize+3)), blocks))
	b = appendBytes(b, fieldFirst, m.First)
	check := xxh3.Hash(b)
	b = protowire.AppendTag(b, fieldCheck, protowire.BytesType)
	b = protowire.AppendVarint(b, checkSize)
	return binary.BigEndian.AppendUint64(b, check), nil
}

const checkSize = 8

func appendSum(b []byte, num protowire.Number, f Fingerprint) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, fingerprintSize)
	return f.append(b)
}

// appendGroups appends what the blocks have that is not in the stored ones.
func appendGroups(b []byte, blocks []Block) []byte {
	last := -1
	for i := range blocks {
		block := &blocks[i]
		if block.Digest == block.Stored {
			continue
		}
		b = protowire.AppendVarint(b, uint64(i-last))
		last = i
		b = block.Digest.append(b)
		b = protowire.AppendVarint(b, uint64(len(block.Overrides)))
		place := firstPlace(i)
		for _, o := range block.Overrides {
			b = protowire.AppendVarint(b, uint64(o.Place-place))
			place = o.Place
			b = o.Sum.append(b)
		}
	}
	return b
}

// firstPlace is the place before the first that an override of block i may have.
func firstPlace(i int) int {
	if i == 0 {
		return 0
	}
	return -1
}

// parseGroups undoes appendGroups.
func parseGroups(b []byte, blocks []Block) error {
	fail := func() error { return corrupt("the overrides are cut short or malformed") }
	number := func(limit uint64) (int, bool) {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 || v > limit {
			return 0, false
		}
		b = b[n:]
		return int(v), true
	}
	sum := func() (f Fingerprint, ok bool) {
		if len(b) < fingerprintSize {
			return f, false
		}
		f, b = fingerprintOf(b), b[fingerprintSize:]
		return f, true
	}
	last := -1
	for len(b) > 0 {
		step, ok := number(uint64(len(blocks)))
		if last += step; !ok || step == 0 || last >= len(blocks) {
			return fail()
		}
		block := &blocks[last]
		if block.Digest, ok = sum(); !ok {
			return fail()
		}
		count, ok := number(uint64(min(BlockChunks, len(b)/(fingerprintSize+1)+1)))
		if !ok || count > len(b)/(fingerprintSize+1) {
			return fail()
		}
		if count > 0 {
			block.Overrides = make([]Override, 0, count)
		}
		place := firstPlace(last)
		for range count {
			step, ok := number(BlockChunks)
			if !ok || step == 0 {
				return fail()
			}
			place += step
			f, ok := sum()
			if !ok {
				return fail()
			}
			block.Overrides = append(block.Overrides, Override{place, f})
		}
	}
	return nil
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

// Decode parses and validates a manifest, compressed or not. It fails with
// [ErrCorrupt], or with [ErrVersion] if the manifest is of another version. The
// result shares no memory with b.
func Decode(b []byte) (*Manifest, error) {
	if IsCompressed(b) {
		raw, err := DecompressManifest(b)
		if err != nil {
			return nil, err
		}
		b = raw
	}
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("decode: %w", corrupt("%d bytes are more than a manifest has", len(b)))
	}
	d := decoder{wire.NewFields(types[:]), b}
	if err := d.run(); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	m, err := d.manifest()
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return m, nil
}

// A decoder holds the known fields as they are found; what is of type bytes aliases the input.
type decoder struct {
	*wire.Fields
	rest []byte
}

// run reads all fields.
func (d *decoder) run() error {
	whole := d.rest
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
		if first && d.Uints[fieldMajor] != Version {
			return versionError(d.Uints[fieldMajor])
		}
	}
	return corrupt("it is empty or cut short")
}

// check compares all that comes before the last field with the fingerprint there.
func (d *decoder) check(typ protowire.Type, before []byte) error {
	if typ != protowire.BytesType {
		return corrupt("field %d has wire type %d", fieldCheck, typ)
	}
	v, n := protowire.ConsumeBytes(d.rest)
	if n != len(d.rest) || len(v) != checkSize {
		return corrupt("its fingerprint is not the last that it has")
	}
	if binary.BigEndian.Uint64(v) != xxh3.Hash(before) {
		return corrupt("it differs from its own fingerprint")
	}
	return nil
}

func versionError(major uint64) error {
	switch {
	case major == 0:
		return corrupt("format version 0")
	case major < Version:
		return fmt.Errorf("%w: it has version %d, which this program does not read any more; upload a new snapshot", ErrVersion, major)
	}
	return fmt.Errorf("%w: it has version %d, this program knows version %d; upgrade Boule to read it", ErrVersion, major, Version)
}

// manifest makes a valid manifest of the fields.
func (d *decoder) manifest() (*Manifest, error) {
	for _, num := range []protowire.Number{fieldHeader, fieldContents} {
		if got := len(d.Bytes[num]); got != fingerprintSize {
			return nil, corrupt("field %d has %d bytes, not %d", num, got, fingerprintSize)
		}
	}
	if d.Uints[fieldSize] > math.MaxInt64 {
		return nil, corrupt("size %d is out of range", d.Uints[fieldSize])
	}
	blocks, err := d.blocks()
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Header:    fingerprintOf(d.Bytes[fieldHeader]),
		VersionID: clone(d.Bytes[fieldVersionID]),
		Sequence:  d.Uints[fieldSequence],
		Size:      int64(d.Uints[fieldSize]),
		Generator: string(d.Bytes[fieldGenerator]),
		Writer:    string(d.Bytes[fieldWriter]),
		First:     clone(d.Bytes[fieldFirst]),
		Blocks:    blocks,
	}
	if m.SourceTime, err = d.sourceTime(); err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil {
		if m.Size > MaxSize {
			err = corrupt("size %d is out of range", m.Size)
		}
		return nil, err
	}
	if m.Whole() {
		if err := m.Expand(nil); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// blocks makes the index of the fields.
func (d *decoder) blocks() ([]Block, error) {
	list := d.Bytes[fieldBlocks]
	if len(list)%fingerprintSize != 0 {
		return nil, corrupt("the list of index blocks has %d bytes", len(list))
	}
	if d.Uints[fieldSize] > MaxSize {
		return nil, corrupt("size %d is out of range", d.Uints[fieldSize])
	}
	n := len(list) / fingerprintSize
	if want := BlockCount(Count(int64(d.Uints[fieldSize]))); n != want {
		return nil, corrupt("%d index blocks for %d bytes, which have %d", n, d.Uints[fieldSize], want)
	}
	var blocks []Block
	if n > 0 {
		blocks = make([]Block, n)
	}
	for i := range blocks {
		blocks[i].Stored = At(list, i)
		blocks[i].Digest = blocks[i].Stored
	}
	groups := d.Bytes[fieldOverrides]
	if err := parseGroups(groups, blocks); err != nil {
		return nil, err
	}
	if again := appendGroups(nil, blocks); !bytes.Equal(again, groups) {
		return nil, corrupt("the overrides are not in their shortest form")
	}
	if contents(blocks) != fingerprintOf(d.Bytes[fieldContents]) {
		return nil, corrupt("the index differs from its own fingerprint")
	}
	return blocks, nil
}

// clone is bytes.Clone that makes nil of every empty slice.
func clone(b []byte) []byte { return append([]byte(nil), b...) }

func (d *decoder) sourceTime() (time.Time, error) {
	secs, nanos := d.Uints[fieldSourceSeconds], d.Uints[fieldSourceNanos]
	switch {
	case secs > maxSeconds || nanos >= 1e9:
		return time.Time{}, corrupt("source time %d seconds, %d nanoseconds is out of range", secs, nanos)
	case d.Seen[fieldSourceSeconds]:
		return time.Unix(int64(secs), int64(nanos)).UTC(), nil
	case d.Seen[fieldSourceNanos]:
		return time.Time{}, corrupt("source time has nanoseconds without seconds")
	}
	return time.Time{}, nil
}
