package remotelog

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

// prunedMagic is what the list of pruned entries begins with; the last byte is its version.
const prunedMagic = "boulegon\x01"

// MaxPruned is the length of the longest list of pruned entries.
const MaxPruned = 64 << 20

// EncodePruned returns the list of those entries of the replica with that name that are no recovery points any more, though their
// objects are still there, for the sake of frames in them. numbers ascend. It panics if they do not.
func EncodePruned(name string, numbers []uint64) []byte {
	b := appendSum([]byte(prunedMagic), NameSum(name))
	b = protowire.AppendVarint(b, uint64(len(numbers)))
	last := uint64(0)
	for _, n := range numbers {
		if n <= last || n > MaxNumber {
			panic(fmt.Sprintf("remotelog: EncodePruned: %d follows %d", n, last))
		}
		b = protowire.AppendVarint(b, n-last)
		last = n
	}
	return binary.BigEndian.AppendUint64(b, xxh3.Hash(b))
}

// DecodePruned is the reverse of EncodePruned. It fails with [ErrCorrupt] and [ErrVersion].
func DecodePruned(name string, b []byte) ([]uint64, error) {
	numbers, err := decodePruned(name, b)
	if err != nil {
		return nil, fmt.Errorf("decode list of pruned entries: %w", err)
	}
	return numbers, nil
}

func decodePruned(name string, b []byte) ([]uint64, error) {
	const last = len(prunedMagic) - 1
	switch {
	case len(b) <= last || string(b[:last]) != prunedMagic[:last] || b[last] == 0:
		return nil, corrupt("it does not begin as one does")
	case b[last] != prunedMagic[last]:
		return nil, fmt.Errorf("%w: it has version %d, this program knows %d", ErrVersion, b[last], prunedMagic[last])
	case len(b) < len(prunedMagic)+sumSize+1+checkSize:
		return nil, corrupt("it is cut short")
	}
	body := b[:len(b)-checkSize]
	if xxh3.Hash(body) != binary.BigEndian.Uint64(b[len(body):]) {
		return nil, corrupt("it differs from its check")
	}
	c := cursor{rest: body[len(prunedMagic):]}
	if manifest.At(c.sums(1), 0) != NameSum(name) {
		return nil, corrupt("it is that of another replica")
	}
	steps := c.uints(int(c.uint(uint64(len(body)))), MaxNumber)
	number := uint64(0)
	for i, step := range steps {
		number += step
		if step == 0 || number > MaxNumber {
			return nil, corrupt("its numbers do not ascend")
		}
		steps[i] = number
	}
	if c.failed || len(c.rest) > 0 {
		return nil, corrupt("it is cut short or malformed")
	}
	return steps, nil
}
