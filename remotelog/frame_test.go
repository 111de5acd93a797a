package remotelog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

func TestFrameRoundTrip(t *testing.T) {
	sizes := map[remotelog.Kind]int{
		remotelog.KindChunk: manifest.ChunkSize, remotelog.KindDelta: remotelog.MaxDelta, remotelog.KindIndex: remotelog.MaxIndex, remotelog.KindPatch: remotelog.MaxIndex,
	}
	for kind, greatest := range sizes {
		for _, size := range []int{1, 27, 5000, greatest} {
			for name, raw := range map[string][]byte{"random": content(size, 1), "zeros": make([]byte, size)} {
				before := []byte("what comes before")
				b := remotelog.AppendFrame(before, kind, raw)
				f, ok := bytes.CutPrefix(b, before)
				if !ok || len(f) > len(raw)+remotelog.FrameHead || len(f) > remotelog.MaxFrame {
					t.Fatalf("kind %d, %d bytes of %s: got %d", kind, size, name, len(f))
				}
				gotKind, length, err := remotelog.FrameLen(append(bytes.Clone(f[:remotelog.FrameHead]), 7, 7))
				check(t, err)
				if gotKind != kind || length != len(f) {
					t.Errorf("kind %d, %d bytes of %s: got kind %d, %d of %d bytes", kind, size, name, gotKind, length, len(f))
				}
				gotKind, got, err := remotelog.OpenFrame(f)
				check(t, err)
				if gotKind != kind || !bytes.Equal(got, raw) {
					t.Errorf("kind %d, %d bytes of %s: got kind %d, %d bytes", kind, size, name, gotKind, len(got))
				}
				for other := range remotelog.Kind(6) {
					got, err := remotelog.DecodeFrame(f, other)
					if other == kind {
						check(t, err)
						continue
					}
					wantIs(t, "another kind", err, remotelog.ErrCorrupt)
					if got != nil {
						t.Errorf("kind %d as %d: got %d bytes", kind, other, len(got))
					}
				}
			}
		}
		wantPanic(t, "too large", func() { remotelog.AppendFrame(nil, kind, make([]byte, greatest+1)) })
		wantPanic(t, "nothing", func() { remotelog.AppendFrame(nil, kind, nil) })
	}
	wantPanic(t, "kind 0", func() { remotelog.AppendFrame(nil, 0, []byte{1}) })
	wantPanic(t, "a seal", func() { remotelog.AppendFrame(nil, remotelog.KindSeal, make([]byte, 24)) })
}

func TestFlippedBitsOfFrames(t *testing.T) {
	for name, f := range goldenFrames() {
		for i := range f {
			for bit := range 8 {
				f[i] ^= 1 << bit
				if _, got, err := remotelog.OpenFrame(f); !errors.Is(err, remotelog.ErrCorrupt) || got != nil {
					t.Fatalf("%s: bit %d of byte %d is flipped: got %d bytes, %v", name, bit, i, len(got), err)
				}
				f[i] ^= 1 << bit
			}
		}
		for n := range f {
			if _, _, err := remotelog.OpenFrame(f[:n]); !errors.Is(err, remotelog.ErrCorrupt) {
				t.Fatalf("%s: %d bytes of %d: got %v", name, n, len(f), err)
			}
		}
		_, _, err := remotelog.OpenFrame(append(f, 0))
		wantIs(t, name+", a byte more", err, remotelog.ErrCorrupt)
	}
}

// frame puts a frame together wrongly, but for its fingerprint.
func frame(kind, form byte, raw int, body []byte) []byte {
	b := []byte{kind, form}
	b = binary.BigEndian.AppendUint32(b, uint32(raw))
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return reseal(append(make([]byte, 16), append(b, body...)...))
}

// reseal gives b the right fingerprint.
func reseal(b []byte) []byte {
	sum, _ := manifest.Sum(b[16:]).AppendBinary(nil)
	return append(sum, b[16:]...)
}

func packZstd(t testing.TB, b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	check(t, err)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func TestFramesThatBreakRules(t *testing.T) {
	zeros := packZstd(t, make([]byte, 1000))
	b := frame(1, 1, 1000, zeros)
	_, raw, err := remotelog.OpenFrame(b)
	check(t, err)
	if len(raw) != 1000 {
		t.Fatalf("got %d bytes", len(raw))
	}
	shortStored := bytes.Clone(b)
	shortStored[25]--
	for name, b := range map[string][]byte{
		"kind 0":             frame(0, 1, 1000, zeros),
		"kind 5":             frame(5, 1, 1000, zeros),
		"form 2":             frame(1, 2, 1000, zeros),
		"as is":              frame(1, 0, 1000, zeros),
		"as is, compressed":  frame(1, 1, len(zeros), zeros),
		"less":               frame(1, 1, 999, zeros),
		"more":               frame(1, 1, 1001, zeros),
		"nothing":            frame(1, 0, 0, nil),
		"nothing, for bytes": frame(1, 1, 5, nil),
		"not compressed":     frame(1, 1, 1000, content(20, 1)),
		"cut":                frame(1, 1, 1000, zeros[:len(zeros)-1]),
		"a tail":             frame(1, 1, 1000, append(bytes.Clone(zeros), "tail"...)),
		"chunk too large":    frame(1, 0, 65537, make([]byte, 65537)),
		"delta too large":    frame(2, 0, remotelog.MaxDelta+1, make([]byte, remotelog.MaxDelta+1)),
		"index too large":    frame(3, 0, remotelog.MaxIndex+1, make([]byte, remotelog.MaxIndex+1)),
		"longer than said":   frame(1, 1, 100, zeros[:len(zeros)-2]),
		"stored less":        reseal(shortStored),
		"stored more":        frame(1, 1, 5, zeros),
		"a bomb":             frame(1, 1, 65536, packZstd(t, make([]byte, 64<<20))),
		"no fingerprint":     append(make([]byte, 16), b[16:]...),
	} {
		_, raw, err := remotelog.OpenFrame(b)
		wantIs(t, name, err, remotelog.ErrCorrupt)
		if raw != nil {
			t.Errorf("%s: got %d bytes", name, len(raw))
		}
	}
}

func TestDeltaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := deltas().Draw(t, "deltas")
		raw := remotelog.AppendDeltas([]byte("before"), want)[6:]
		got, err := remotelog.DecodeDeltas(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(want, got) { // cmp.Diff takes its time with so many bytes
			t.Fatal("got other deltas")
		}
		// One delta's bytes must not grow into those of the next.
		_ = append(got[0].Data, 1, 2, 3)
		if !bytes.Equal(remotelog.AppendDeltas(nil, got), raw) {
			t.Fatal("encoded differently")
		}
	})
}

func TestDeltasThatBreakRules(t *testing.T) {
	page := content(4096, 1)
	for name, list := range map[string][]remotelog.Delta{
		"none":             nil,
		"no pages":         {{Chunk: 1}},
		"negative":         {{Chunk: -1, Pages: 1, Data: page}},
		"behind the last":  {{Chunk: 1 << 24, Pages: 1, Data: page}},
		"twice":            {{Chunk: 1, Pages: 1, Data: page}, {Chunk: 1, Pages: 2, Data: page}},
		"not in order":     {{Chunk: 2, Pages: 1, Data: page}, {Chunk: 1, Pages: 2, Data: page}},
		"nothing":          {{Chunk: 1, Pages: 1}},
		"a page less":      {{Chunk: 1, Pages: 3, Data: page}},
		"a page more":      {{Chunk: 1, Pages: 1, Data: append(page, page...)}},
		"short within":     {{Chunk: 1, Pages: 1, Data: page[:4095]}, {Chunk: 2, Pages: 1, Data: page}},
		"more than fits":   tooMany(),
		"long and missing": {{Chunk: 1, Pages: 1, Data: append(page, 1)}, {Chunk: 2, Pages: 1, Data: page[:4095]}},
	} {
		wantPanic(t, name, func() { remotelog.AppendDeltas(nil, list) })
	}
	raw := func(heads string, data int) []byte { return append([]byte(heads), make([]byte, data)...) }
	_, err := remotelog.DecodeDeltas(raw("\x02\x01\x80\x00\x05\x00\x03", 2*4096+1))
	check(t, err)
	for name, raw := range map[string][]byte{
		"empty":            nil,
		"none":             raw("\x00", 0),
		"none, with data":  raw("\x00", 4096),
		"count too great":  raw("\x03\x01\x80\x00\x05\x00\x03", 2*4096+1),
		"count enormous":   raw("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 4096),
		"a long count":     raw("\x81\x00\x01\x00\x01", 4096),
		"step 0":           raw("\x01\x00\x00\x01", 4096),
		"second step 0":    raw("\x02\x01\x80\x00\x00\x00\x03", 2*4096+1),
		"step too great":   raw("\x01\x81\x80\x80\x08\x00\x01", 4096),
		"steps too great":  raw("\x02\x80\x80\x80\x08\x00\x01\x01\x00\x01", 2*4096),
		"step enormous":    raw("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x01", 4096),
		"a long step":      raw("\x01\x81\x00\x00\x01", 4096),
		"no pages":         raw("\x01\x01\x00\x00", 4096),
		"pages of nothing": raw("\x02\x01\x00\x01\x01\x00\x00", 4096),
		"head cut":         raw("\x01\x01\x00", 0),
		"no data":          raw("\x01\x01\x00\x01", 0),
		"a page less":      raw("\x01\x01\x00\x03", 4096),
		"a byte more":      raw("\x01\x01\x00\x03", 8193),
		"too long":         make([]byte, remotelog.MaxDelta+1),
	} {
		list, err := remotelog.DecodeDeltas(raw)
		wantIs(t, name, err, remotelog.ErrCorrupt)
		if list != nil {
			t.Errorf("%s: got %d deltas", name, len(list))
		}
	}
}

// tooMany has more pages than a frame.
func tooMany() []remotelog.Delta {
	list := make([]remotelog.Delta, 16)
	for i := range list {
		list[i] = remotelog.Delta{Chunk: int64(i), Pages: 0xffff, Data: make([]byte, manifest.ChunkSize)}
	}
	return list
}
