package manifest_test

import (
	"bytes"
	"runtime"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/boule-db/boule/manifest"
)

func TestChunksRoundTrip(t *testing.T) {
	for name, chunk := range map[string][]byte{
		"empty":           {},
		"one byte":        {7},
		"zeros":           make([]byte, manifest.ChunkSize),
		"random":          content(manifest.ChunkSize),
		"short":           content(1000),
		"looks like zstd": append([]byte{0x28, 0xb5, 0x2f, 0xfd}, content(1000)...),
		"is zstd":         manifest.Compress(content(1000)),
	} {
		packed := manifest.Compress(chunk)
		if !bytes.HasPrefix(packed, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			t.Errorf("%s: not compressed", name)
		}
		got, err := manifest.DecompressChunk(packed, manifest.Sum(chunk))
		check(t, err)
		if !bytes.Equal(got, chunk) {
			t.Errorf("%s: got %d bytes, want %d", name, len(got), len(chunk))
		}
	}
}

func TestDecompressChunkOfOthers(t *testing.T) {
	chunk := content(30000)
	packed := manifest.Compress(chunk)
	flipped := bytes.Clone(packed)
	flipped[len(flipped)/2] ^= 1
	large := content(manifest.ChunkSize + 1)
	for name, c := range map[string]struct {
		b    []byte
		want manifest.Fingerprint
	}{
		"another":        {manifest.Compress(content(29999)), manifest.Sum(chunk)},
		"not compressed": {chunk, manifest.Sum(chunk)},
		"nothing":        {nil, manifest.Sum(nil)},
		"cut":            {packed[:len(packed)-1], manifest.Sum(chunk)},
		"cut short":      {packed[:3], manifest.Sum(chunk)},
		"damaged":        {flipped, manifest.Sum(chunk)},
		"tail":           {append(bytes.Clone(packed), "tail"...), manifest.Sum(chunk)},
		"too large":      {manifest.Compress(large), manifest.Sum(large)},
		"two frames":     {append(manifest.Compress(large[:40000]), manifest.Compress(large[40000:])...), manifest.Sum(large)},
		"bomb":           {bomb(t, 64<<20), manifest.ZeroChunk},
	} {
		got, err := manifest.DecompressChunk(c.b, c.want)
		wantIs(t, name, err, manifest.ErrCorrupt)
		if got != nil {
			t.Errorf("%s: got %d bytes", name, len(got))
		}
	}
}

func TestDecompressManifest(t *testing.T) {
	for _, size := range []int64{0, 1, 100000, manifest.MaxManifest} {
		want := content(size)
		got, err := manifest.DecompressManifest(manifest.Compress(want))
		check(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %d others", size, len(got))
		}
	}
	_, err := manifest.DecompressManifest(manifest.Compress(content(manifest.MaxManifest + 1)))
	wantIs(t, "too large", err, manifest.ErrCorrupt)
	_, err = manifest.DecompressManifest(content(1000))
	wantIs(t, "not compressed", err, manifest.ErrCorrupt)
	_, err = manifest.DecompressManifest(nil)
	wantIs(t, "nothing", err, manifest.ErrCorrupt)
}

// bomb returns few bytes that hold many.
func bomb(t testing.TB, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(1<<20))
	check(t, err)
	zeros := make([]byte, 1<<20)
	for n := 0; n < size; n += len(zeros) {
		_, err := w.Write(zeros)
		check(t, err)
	}
	check(t, w.Close())
	return b.Bytes()
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestBombs(t *testing.T) {
	b := bomb(t, manifest.MaxManifest+1)
	_, err := manifest.Decode(b)
	wantIs(t, "bomb", err, manifest.ErrCorrupt)

	// A frame's header says that 2^62 bytes follow, or that it needs a window of 1 GiB.
	for name, b := range map[string][]byte{
		"declared size":   {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0},
		"declared window": {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 1, 0, 0},
		"declared 200 MB": {0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x68, 0, 0, 0, 0x0c, 1, 0, 0},
		"field of 2^60":   {0x08, 0x02, 0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10},
		"blocks of 1 GiB": {0x08, 0x02, 0x5a, 0x80, 0x80, 0x80, 0x80, 0x04},
	} {
		for i := range 2 { // the first call makes the decoder
			n := allocated(func() {
				_, err := manifest.Decode(b)
				wantIs(t, name, err, manifest.ErrCorrupt)
				_, err = manifest.DecompressChunk(b, manifest.ZeroChunk)
				wantIs(t, name, err, manifest.ErrCorrupt)
			})
			if i == 1 && n > 32<<20 {
				t.Errorf("%s: %d bytes were allocated", name, n)
			}
		}
	}
}

func TestCompressConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			chunk := content(int64(1000 * (i + 1)))
			for range 50 {
				got, err := manifest.DecompressChunk(manifest.Compress(chunk), manifest.Sum(chunk))
				if err != nil || !bytes.Equal(got, chunk) {
					t.Errorf("%d: got %d bytes, %v", i, len(got), err)
				}
			}
		})
	}
	wg.Wait()
}
