package remotelog

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/boule-db/boule/manifest"
)

// sealRaw is how many bytes are in the frame of a seal: the fingerprint of the key, and how many bytes come before.
const sealRaw = sumSize + 8

// SealSize is the length of a seal, the frame that each pack ends with. It says which pack that is, and how long: so a pack that is another
// one, or was cut between two frames, is known by its last bytes.
const SealSize = FrameHead + sealRaw

// AppendSeal appends the seal to all frames of a pack of the replica with that name.
func AppendSeal(pack []byte, name string, id ObjectID) []byte {
	start := len(pack)
	var head [FrameHead]byte
	pack = append(pack, head[:]...)
	pack = appendSum(pack, manifest.Sum([]byte(PackKey(name, id))))
	pack = binary.BigEndian.AppendUint64(pack, uint64(start))
	finish(pack[start:], KindSeal, asIs, sealRaw)
	return pack
}

// CheckSeal fails with [ErrCorrupt] unless tail, the last SealSize bytes of an object of that size, are the seal of the pack of that id, whole.
func CheckSeal(tail []byte, name string, id ObjectID, size int64) error {
	if len(tail) != SealSize || size < SealSize {
		return fmt.Errorf("check seal: %w", corrupt("%d bytes, of %d, are no seal", len(tail), size))
	}
	h, err := checkFrame(tail)
	if err == nil && h.kind != KindSeal {
		err = corrupt("it is of kind %d, not %d", h.kind, KindSeal)
	}
	if err != nil {
		return fmt.Errorf("check seal: %w", err)
	}
	raw := tail[FrameHead:]
	if !bytes.Equal(raw[:sumSize], appendSum(nil, manifest.Sum([]byte(PackKey(name, id))))) {
		return fmt.Errorf("check seal: %w", corrupt("it is that of another pack"))
	}
	if n := binary.BigEndian.Uint64(raw[sumSize:]); n != uint64(size-SealSize) {
		return fmt.Errorf("check seal: %w", corrupt("there are %d bytes before it, not %d", size-SealSize, n))
	}
	return nil
}
