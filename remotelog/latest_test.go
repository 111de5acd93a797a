package remotelog_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/boule-db/boule/remotelog"
)

func TestTail(t *testing.T) {
	header := []byte("a header of some length")
	with := func(random uint32) []byte { return remotelog.AppendTail(bytes.Clone(header), random) }
	for _, b := range [][]byte{header, with(0), with(1), with(1<<32 - 1)} {
		if err := remotelog.CheckTail(b, len(header)); err != nil {
			t.Errorf("%q: %v", b, err)
		}
	}
	if n := len(with(7)) - len(header); n != remotelog.TailSize {
		t.Errorf("a tail has %d bytes", n)
	}
	if bytes.Equal(with(7), with(8)) {
		t.Error("two tails are the same")
	}
	want := []byte{0, 0, 0, 7, 0xc5, 0x62, 0x31, 0x95}
	if got := with(7)[len(header):]; !bytes.Equal(got, want) {
		t.Errorf("the tail is %x, want %x", got, want)
	}
	bad := [][]byte{header[:len(header)-1]}
	whole := with(7)
	for n := len(header) + 1; n < len(whole); n++ {
		bad = append(bad, whole[:n])
	}
	for bit := range 8 * len(whole) {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		bad = append(bad, b)
	}
	for n := range 20 {
		if n > 0 && n != remotelog.TailSize {
			bad = append(bad, append(bytes.Clone(header), make([]byte, n)...))
		}
	}
	bad = append(bad, append(bytes.Clone(header), "12345678"...), append(whole, 0))
	for _, b := range bad {
		if err := remotelog.CheckTail(b, len(header)); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Errorf("%q: %v", b, err)
		}
	}
}
