package manifest

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Version is the major version of the format that this package reads and writes.
const Version = 1

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
	fieldChunks        protowire.Number = 15
	fieldFirst         protowire.Number = 16
	fieldLast          protowire.Number = 16 // the last one that is known
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
	fieldChunks:        protowire.BytesType,
	fieldFirst:         protowire.BytesType,
	11:                 unknown, 12: unknown, 13: unknown, 14: unknown, 0: unknown,
}

const unknown protowire.Type = -1

// Encode returns the manifest's bytes, not compressed. Equal manifests have equal
// bytes. It fails if the manifest does not [Manifest.Validate].
func Encode(m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	const fixed = 256 // more than all fields of fixed size and all tags need
	b := make([]byte, 0, fixed+len(m.VersionID)+len(m.Generator)+len(m.Writer)+len(m.Chunks)*fingerprintSize+len(m.First))
	b = appendUint(b, fieldMajor, Version)
	b = protowire.AppendTag(b, fieldHeader, protowire.BytesType)
	b = protowire.AppendVarint(b, fingerprintSize)
	b = m.Header.append(b)
	b = protowire.AppendTag(b, fieldContents, protowire.BytesType)
	b = protowire.AppendVarint(b, fingerprintSize)
	contents := len(b) // known once the list is encoded
	b = append(b, make([]byte, fingerprintSize)...)
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
	if len(m.Chunks) > 0 {
		b = protowire.AppendTag(b, fieldChunks, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(m.Chunks)*fingerprintSize))
	}
	list := len(b)
	for _, f := range m.Chunks {
		b = f.append(b)
	}
	Sum(b[list:]).append(b[:contents])
	return appendBytes(b, fieldFirst, m.First), nil
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
// [ErrCorrupt], or with [ErrVersion] if the manifest is of a newer format. The
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
	d := decoder{rest: b}
	if err := d.run(); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	m, err := d.manifest()
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return m, nil
}

// A decoder holds the known fields as they are found; what is of type bytes
// aliases the input.
type decoder struct {
	rest  []byte
	seen  [fieldLast + 1]bool
	uints [fieldLast + 1]uint64
	bytes [fieldLast + 1][]byte
}

// run reads all fields.
func (d *decoder) run() error {
	for first := true; len(d.rest) > 0; first = false {
		num, typ, n := protowire.ConsumeTag(d.rest)
		if n < 0 {
			return corrupt("field: %w", protowire.ParseError(n))
		}
		if first && (num != fieldMajor || typ != protowire.VarintType) {
			return corrupt("it does not begin with a version")
		}
		d.rest = d.rest[n:]
		if err := d.field(num, typ); err != nil {
			return err
		}
		if first && d.uints[fieldMajor] != Version {
			return versionError(d.uints[fieldMajor])
		}
	}
	if !d.seen[fieldMajor] {
		return corrupt("it is empty")
	}
	return nil
}

func versionError(major uint64) error {
	if major == 0 {
		return corrupt("format version 0")
	}
	return fmt.Errorf("%w: it has version %d, this program knows version %d; upgrade Boule to read it", ErrVersion, major, Version)
}

// field reads the value of one field, or skips it if it is unknown.
func (d *decoder) field(num protowire.Number, typ protowire.Type) error {
	known := num <= fieldLast && types[num] != unknown
	if known {
		if types[num] != typ {
			return corrupt("field %d has wire type %d", num, typ)
		}
		if d.seen[num] {
			return corrupt("field %d occurs twice", num)
		}
		d.seen[num] = true
	}
	var n int
	switch typ {
	case protowire.VarintType:
		var v uint64
		if v, n = protowire.ConsumeVarint(d.rest); known && n >= 0 {
			d.uints[num] = v
		}
	case protowire.BytesType:
		var v []byte
		if v, n = protowire.ConsumeBytes(d.rest); known && n >= 0 {
			d.bytes[num] = v
		}
	case protowire.Fixed32Type:
		_, n = protowire.ConsumeFixed32(d.rest)
	case protowire.Fixed64Type:
		_, n = protowire.ConsumeFixed64(d.rest)
	default:
		return corrupt("field %d has wire type %d", num, typ)
	}
	if n < 0 {
		return corrupt("field %d: %w", num, protowire.ParseError(n))
	}
	d.rest = d.rest[n:]
	return nil
}

// manifest makes a valid manifest of the fields.
func (d *decoder) manifest() (*Manifest, error) {
	for _, num := range []protowire.Number{fieldHeader, fieldContents} {
		if got := len(d.bytes[num]); got != fingerprintSize {
			return nil, corrupt("field %d has %d bytes, not %d", num, got, fingerprintSize)
		}
	}
	if d.uints[fieldSize] > math.MaxInt64 {
		return nil, corrupt("size %d is out of range", d.uints[fieldSize])
	}
	list := d.bytes[fieldChunks]
	if len(list)%fingerprintSize != 0 {
		return nil, corrupt("the list of fingerprints has %d bytes", len(list))
	}
	if Sum(list) != fingerprintOf(d.bytes[fieldContents]) {
		return nil, corrupt("the list of fingerprints differs from its own fingerprint")
	}
	m := &Manifest{
		Header:    fingerprintOf(d.bytes[fieldHeader]),
		VersionID: clone(d.bytes[fieldVersionID]),
		Sequence:  d.uints[fieldSequence],
		Size:      int64(d.uints[fieldSize]),
		Generator: string(d.bytes[fieldGenerator]),
		Writer:    string(d.bytes[fieldWriter]),
		First:     clone(d.bytes[fieldFirst]),
	}
	var err error
	if m.SourceTime, err = d.sourceTime(); err != nil {
		return nil, err
	}
	if len(list) > 0 {
		m.Chunks = make([]Fingerprint, len(list)/fingerprintSize)
		for i := range m.Chunks {
			m.Chunks[i] = fingerprintOf(list[i*fingerprintSize:])
		}
	}
	if err := m.Validate(); err != nil {
		if m.Size > MaxSize {
			err = corrupt("size %d is out of range", m.Size)
		}
		return nil, err
	}
	return m, nil
}

// clone is bytes.Clone that makes nil of every empty slice.
func clone(b []byte) []byte { return append([]byte(nil), b...) }

func (d *decoder) sourceTime() (time.Time, error) {
	secs, nanos := d.uints[fieldSourceSeconds], d.uints[fieldSourceNanos]
	switch {
	case secs > maxSeconds || nanos >= 1e9:
		return time.Time{}, corrupt("source time %d seconds, %d nanoseconds is out of range", secs, nanos)
	case d.seen[fieldSourceSeconds]:
		return time.Unix(int64(secs), int64(nanos)).UTC(), nil
	case d.seen[fieldSourceNanos]:
		return time.Time{}, corrupt("source time has nanoseconds without seconds")
	}
	return time.Time{}, nil
}
