package remotelog

import (
	"encoding/binary"
	"fmt"

	"github.com/boule-db/boule/manifest"
)

// A Kind is what is in a frame.
type Kind byte

// The kinds of frames.
const (
	KindChunk Kind = 1 // a whole chunk, of 1 to 65536 bytes
	KindDelta Kind = 2 // some pages of some chunks
	KindIndex Kind = 3 // an index block with places
	KindPatch Kind = 4 // some chunks of an index block, with places
	KindSeal  Kind = 5 // what a pack ends with, see [AppendSeal]; no place names one
)

// Bounds of frames.
const (
	MaxDelta   = 1 << 20  // before it is compressed; a writer makes deltas of about 256 KiB
	MaxIndex   = 4 << 20  // before it is compressed; more than any index block has, and any patch of one
	maxUnknown = MaxIndex // of frames of kinds that are to come
	// FrameHead is how many bytes a frame has beside what is in it.
	FrameHead = sumSize + 2 + 4 + 4
	// MaxFrame is the length of the longest frame.
	MaxFrame = FrameHead + MaxIndex
)

// max returns how many bytes a frame of the kind may hold, 0 for one that there can't be. Kinds that are unknown may come, but no place names them.
func (k Kind) max() int {
	switch k {
	case KindChunk:
		return manifest.ChunkSize
	case KindDelta:
		return MaxDelta
	case KindIndex, KindPatch:
		return MaxIndex
	case KindSeal:
		return sealRaw
	case 0:
		return 0
	}
	return maxUnknown
}

// placed says whether places may name frames of the kind.
func (k Kind) placed() bool { return k >= KindChunk && k <= KindPatch }

// How the content of a frame is kept.
const (
	asIs       = 0
	compressed = 1
)

// AppendFrame appends a frame with raw in it, compressed unless that is longer. It panics if raw is empty or longer than the
// kind allows, or if it is a kind that no place names.
func AppendFrame(b []byte, kind Kind, raw []byte) []byte {
	if !kind.placed() || len(raw) == 0 || len(raw) > kind.max() {
		panic(fmt.Sprintf("remotelog: AppendFrame: %d bytes for kind %d", len(raw), kind))
	}
	start := len(b)
	var head [FrameHead]byte
	b = compress(append(b, head[:]...), raw)
	form := byte(compressed)
	if len(b)-start-FrameHead >= len(raw) {
		b, form = append(b[:start+FrameHead], raw...), asIs
	}
	finish(b[start:], kind, form, len(raw))
	return b
}

// finish writes the head of a frame that is there but for it.
func finish(frame []byte, kind Kind, form byte, raw int) {
	frame[sumSize], frame[sumSize+1] = byte(kind), form
	binary.BigEndian.PutUint32(frame[sumSize+2:], uint32(raw))
	binary.BigEndian.PutUint32(frame[sumSize+6:], uint32(len(frame)-FrameHead))
	appendSum(frame[:0], manifest.Sum(frame[sumSize:]))
}

// A frameHead is what a frame begins with, behind its fingerprint.
type frameHead struct {
	kind        Kind
	form        byte
	raw, stored int // lengths of what is in the frame, and of how it is kept
}

// parseHead checks all that the first FrameHead bytes of a frame alone can say.
func parseHead(b []byte) (h frameHead, err error) {
	if len(b) < FrameHead {
		return h, corrupt("a frame of %d bytes", len(b))
	}
	h = frameHead{kind: Kind(b[sumSize]), form: b[sumSize+1]}
	raw, stored := binary.BigEndian.Uint32(b[sumSize+2:]), binary.BigEndian.Uint32(b[sumSize+6:])
	limit := uint32(h.kind.max())
	switch {
	case limit == 0:
		return h, corrupt("a frame of kind %d", h.kind)
	case raw == 0 || raw > limit || stored == 0 || stored > raw:
		return h, corrupt("a frame of kind %d with %d bytes kept as %d", h.kind, raw, stored)
	case h.form > compressed || (h.form == asIs) != (raw == stored):
		return h, corrupt("a frame of form %d with %d bytes kept as %d", h.form, raw, stored)
	}
	h.raw, h.stored = int(raw), int(stored)
	return h, nil
}

// FrameLen returns the kind and the length of the frame that b begins with, of which FrameHead bytes are enough. So the frames in an
// object are found without any entry, also those of kinds that are unknown; whether they are sound, CheckFrame says. It fails with [ErrCorrupt].
func FrameLen(b []byte) (kind Kind, length int, err error) {
	h, err := parseHead(b)
	if err != nil {
		return 0, 0, err
	}
	return h.kind, FrameHead + h.stored, nil
}

// CheckFrame fails with [ErrCorrupt] unless b is exactly a frame that has its own fingerprint, so that no bit of it has changed.
func CheckFrame(b []byte) error {
	if _, err := checkFrame(b); err != nil {
		return fmt.Errorf("check frame: %w", err)
	}
	return nil
}

func checkFrame(b []byte) (h frameHead, err error) {
	if h, err = parseHead(b); err != nil {
		return h, err
	}
	if len(b) != FrameHead+h.stored {
		return h, corrupt("it has %d bytes, not %d", len(b), FrameHead+h.stored)
	}
	if got, want := manifest.Sum(b[sumSize:]), manifest.At(b, 0); got != want {
		return h, corrupt("it has the fingerprint %v, not %v", got, want)
	}
	return h, nil
}

// OpenFrame returns the kind of a frame and what is in it, verified by its own fingerprint. b is exactly the frame, of a kind that places may
// name. It allocates no more than what the kind allows, whatever b says. The result may be part of b. It fails with [ErrCorrupt].
func OpenFrame(b []byte) (kind Kind, raw []byte, err error) {
	h, err := checkFrame(b)
	if err == nil && !h.kind.placed() {
		err = corrupt("a frame of kind %d", h.kind)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("open frame: %w", err)
	}
	body := b[FrameHead:]
	if h.form == asIs {
		return h.kind, body[:len(body):len(body)], nil
	}
	if raw, err = decompress(body, h.raw); err != nil {
		return 0, nil, fmt.Errorf("open frame: %w", err)
	}
	return h.kind, raw, nil
}

// DecodeFrame is OpenFrame for a frame that must be of a kind.
func DecodeFrame(b []byte, want Kind) (raw []byte, err error) {
	kind, raw, err := OpenFrame(b)
	if err != nil {
		return nil, err
	}
	if kind != want {
		return nil, fmt.Errorf("open frame: %w", corrupt("it is of kind %d, not %d", kind, want))
	}
	return raw, nil
}
