package remotelog

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// TailSize is the length of a tail, which a copy of a header may have behind it: some puts of copies must differ from all others, even of the same header. It is random
// bytes, and the check of all that comes before.
const TailSize = 8

// AppendTail appends a tail to the copy of a header.
func AppendTail(header []byte, random uint32) []byte {
	b := binary.BigEndian.AppendUint32(header, random)
	return binary.BigEndian.AppendUint32(b, uint32(xxh3.Hash(b)>>32))
}

// CheckTail fails with [ErrCorrupt] unless the copy of a header, of so many bytes, ends with it, or with a tail.
func CheckTail(copied []byte, header int) error {
	switch extra := len(copied) - header; {
	case extra == 0:
		return nil
	case extra != TailSize:
		return corrupt("%d bytes behind the header", extra)
	}
	at := len(copied) - TailSize/2
	if binary.BigEndian.Uint32(copied[at:]) != uint32(xxh3.Hash(copied[:at])>>32) {
		return corrupt("%d bytes behind the header that are no tail", TailSize)
	}
	return nil
}
