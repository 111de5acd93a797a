package remotelog

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/boule-db/boule/manifest"
)

// What is beside a log, and is replaced, is a list: a magic, of which the last byte is the version, the fingerprint of the name, a body,
// and the XXH3-64 of all that.

// sealList returns the object with that body.
func sealList(magic, name string, body []byte) []byte {
	b := appendSum([]byte(magic), NameSum(name))
	b = append(b, body...)
	return binary.BigEndian.AppendUint64(b, xxh3.Hash(b))
}

// openList is the reverse of sealList, and returns the version.
func openList(magic, name string, b []byte) (c *cursor, version byte, err error) {
	last := len(magic) - 1
	switch {
	case len(b) <= last || string(b[:last]) != magic[:last] || b[last] == 0:
		return nil, 0, corrupt("it does not begin as one does")
	case b[last] > magic[last]:
		return nil, 0, fmt.Errorf("%w: it has version %d, this program knows %d", ErrVersion, b[last], magic[last])
	case len(b) < len(magic)+sumSize+1+checkSize:
		return nil, 0, corrupt("it is cut short")
	}
	body := b[:len(b)-checkSize]
	if xxh3.Hash(body) != binary.BigEndian.Uint64(b[len(body):]) {
		return nil, 0, corrupt("it differs from its check")
	}
	c = &cursor{rest: body[len(magic):]}
	if manifest.At(c.sums(1), 0) != NameSum(name) {
		return nil, 0, corrupt("it is that of another replica")
	}
	return c, b[last], nil
}

// end fails unless all of a list was read.
func (c *cursor) end() error {
	if c.failed || len(c.rest) > 0 {
		return corrupt("it is cut short or malformed, or does not ascend")
	}
	return nil
}
