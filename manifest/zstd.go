package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdMagic begins every zstd frame. No manifest begins like this: see FORMAT.md.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// maxWindow is the greatest window of a frame, so what decompressing one may keep
// in memory beside its result: the 8 MiB that RFC 8878 asks decoders to support.
const maxWindow = 8 << 20

// Both serve any number of goroutines and keep no state between calls.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		return must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithZeroFrames(true)))
	})
	chunkDecoder = sync.OnceValue(func() *zstd.Decoder {
		return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeAllCapLimit(true)))
	})
)

// must returns v. The errors of these constructors are about their constant options.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Compress returns b as a zstd frame, whatever b is, also if that is longer. Chunks
// and manifests are kept in stores so.
func Compress(b []byte) []byte { return encoder().EncodeAll(b, nil) }

// DecompressChunk returns the chunk named want that b is the compressed form of.
// It fails with [ErrCorrupt] if b is anything else.
func DecompressChunk(b []byte, want Fingerprint) ([]byte, error) {
	if !IsCompressed(b) {
		return nil, fmt.Errorf("decompress chunk %v: %w", want, corrupt("it is not compressed"))
	}
	chunk, err := chunkDecoder().DecodeAll(b, make([]byte, 0, ChunkSize))
	if err != nil {
		return nil, fmt.Errorf("decompress chunk %v: %w", want, corrupt("%w", err))
	}
	if got := Sum(chunk); got != want {
		return nil, fmt.Errorf("decompress chunk %v: %w", want, corrupt("it has the fingerprint %v", got))
	}
	return chunk, nil
}

// DecompressManifest returns the encoded manifest that b is the compressed form
// of, as it is; [Decode] checks it. It fails with [ErrCorrupt] if b is not
// compressed or holds more than MaxManifest bytes.
func DecompressManifest(b []byte) ([]byte, error) {
	raw, err := decompress(b, MaxManifest)
	if err != nil {
		return nil, fmt.Errorf("decompress manifest: %w", err)
	}
	return raw, nil
}

// decompress reads piece by piece, so that a frame gets no more memory than twice
// what it really holds, whatever it says that it holds.
func decompress(b []byte, limit int64) ([]byte, error) {
	if !IsCompressed(b) {
		return nil, corrupt("it is not compressed")
	}
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, corrupt("%w", err)
	}
	defer r.Close()
	var raw bytes.Buffer
	n, err := io.Copy(&raw, io.LimitReader(r, limit+1))
	switch {
	case err != nil && errors.Is(err, io.EOF):
		return nil, corrupt("%w", io.ErrUnexpectedEOF)
	case err != nil:
		return nil, corrupt("%w", err)
	case n > limit:
		return nil, corrupt("it holds more than %d bytes", limit)
	}
	return raw.Bytes(), nil
}

// IsCompressed says whether b, the stored form of a manifest or a chunk, is compressed.
func IsCompressed(b []byte) bool { return bytes.HasPrefix(b, zstdMagic) }
