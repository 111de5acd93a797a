package remotelog

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

// sumSize is the length of a fingerprint's binary form.
const sumSize = 16

// A cursor reads what is packed. Once something is cut short or out of range, it has failed and returns zeros.
type cursor struct {
	rest   []byte
	failed bool
}

func (c *cursor) fail() { c.rest, c.failed = nil, true }

// uint reads a varint that is as short as possible and not more than limit.
func (c *cursor) uint(limit uint64) uint64 {
	v, n := protowire.ConsumeVarint(c.rest)
	if n < 0 || v > limit || n != protowire.SizeVarint(v) {
		c.fail()
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

// uints reads n of them.
func (c *cursor) uints(n int, limit uint64) []uint64 {
	if n > len(c.rest) {
		c.fail()
		return nil
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = c.uint(limit)
	}
	return list
}

// bytes returns the next n bytes, which are part of the input; nil if there are not so many.
func (c *cursor) bytes(n int) []byte {
	if n > len(c.rest) {
		c.fail()
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

// mask reads a set of pages.
func (c *cursor) mask() uint16 {
	if b := c.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// sums returns n fingerprints in their binary form, to be read with manifest.At.
func (c *cursor) sums(n int) []byte { return c.bytes(n * sumSize) }

func appendSum(b []byte, f manifest.Fingerprint) []byte {
	b, _ = f.AppendBinary(b) // which never fails
	return b
}
