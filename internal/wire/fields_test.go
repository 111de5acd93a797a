package wire_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/internal/wire"
)

// consume reads all fields of a message that has a number as field 1 and bytes as field 3.
func consume(b []byte) (*wire.Fields, error) {
	f := wire.NewFields([]protowire.Type{wire.Unknown, protowire.VarintType, wire.Unknown, protowire.BytesType})
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return f, protowire.ParseError(n)
		}
		size, err := f.Consume(num, typ, b[n:])
		if err != nil {
			return f, err
		}
		b = b[n+size:]
	}
	return f, nil
}

func TestConsume(t *testing.T) {
	number := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 300)
	text := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), []byte("abc"))
	other := protowire.AppendFixed64(protowire.AppendTag(nil, 2, protowire.Fixed64Type), 7)
	later := protowire.AppendFixed32(protowire.AppendTag(nil, 1000, protowire.Fixed32Type), 7)
	f, err := consume(bytes.Join([][]byte{other, text, later, number, other}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if !f.Seen[1] || !f.Seen[3] || f.Seen[2] || f.Uints[1] != 300 || string(f.Bytes[3]) != "abc" {
		t.Errorf("got %+v", f)
	}
	for name, b := range map[string][]byte{
		"twice":      append(bytes.Clone(number), number...),
		"other type": protowire.AppendFixed32(protowire.AppendTag(nil, 1, protowire.Fixed32Type), 7),
		"cut short":  text[:len(text)-1],
		"group":      protowire.AppendTag(nil, 5, protowire.StartGroupType),
	} {
		if f, err := consume(b); err == nil {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}
