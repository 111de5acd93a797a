package remotelog

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Both serve any number of goroutines and keep no state between calls. There is no checksum of zstd's, since frames have
// a better one.
var (
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false)))
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecodeAllCapLimit(true)))
	})
)

// must returns v. The errors of these constructors are about their constant options.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// compress appends the compressed form of raw.
func compress(b, raw []byte) []byte { return zstdEncoder().EncodeAll(raw, b) }

// decompress returns the n bytes that b is the compressed form of. It allocates no more for them than n.
func decompress(b []byte, n int) ([]byte, error) {
	raw, err := zstdDecoder().DecodeAll(b, make([]byte, 0, n))
	if err != nil {
		return nil, corrupt("%w", err)
	}
	if len(raw) != n {
		return nil, corrupt("it holds %d bytes, not %d", len(raw), n)
	}
	return raw, nil
}
