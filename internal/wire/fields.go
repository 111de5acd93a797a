package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Unknown is the type of a number that no known field has.
const Unknown protowire.Type = -1

// Fields are the known fields of a message as they are found. What is of type bytes aliases the input.
type Fields struct {
	Seen  []bool
	Uints []uint64
	Bytes [][]byte

	types []protowire.Type
}

// NewFields returns no fields yet of a message whose known fields have these types, by number.
func NewFields(types []protowire.Type) *Fields {
	n := len(types)
	return &Fields{Seen: make([]bool, n), Uints: make([]uint64, n), Bytes: make([][]byte, n), types: types}
}

// Consume reads the value of a field, whose tag came before b, or skips it if it is unknown, and returns its
// length. It fails if the value is not well-formed or of another type, or the field was there before.
func (f *Fields) Consume(num protowire.Number, typ protowire.Type, b []byte) (int, error) {
	known := int(num) < len(f.types) && f.types[num] != Unknown
	if known {
		if f.types[num] != typ {
			return 0, fmt.Errorf("field %d has wire type %d", num, typ)
		}
		if f.Seen[num] {
			return 0, fmt.Errorf("field %d occurs twice", num)
		}
		f.Seen[num] = true
	}
	var n int
	switch typ {
	case protowire.VarintType:
		var v uint64
		if v, n = protowire.ConsumeVarint(b); known && n >= 0 {
			f.Uints[num] = v
		}
	case protowire.BytesType:
		var v []byte
		if v, n = protowire.ConsumeBytes(b); known && n >= 0 {
			f.Bytes[num] = v
		}
	case protowire.Fixed32Type:
		_, n = protowire.ConsumeFixed32(b)
	case protowire.Fixed64Type:
		_, n = protowire.ConsumeFixed64(b)
	default: // groups
		return 0, fmt.Errorf("field %d has wire type %d", num, typ)
	}
	if n < 0 {
		return 0, fmt.Errorf("field %d: %w", num, protowire.ParseError(n))
	}
	return n, nil
}
