package remotelog_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// sealed returns a pack with some frames and its seal.
func sealed(id remotelog.ObjectID) []byte {
	pack := remotelog.AppendFrame(nil, remotelog.KindChunk, goldenChunk())
	pack = remotelog.AppendFrame(pack, remotelog.KindDelta, remotelog.AppendDeltas(nil, goldenDeltas()))
	return remotelog.AppendSeal(pack, name, id)
}

func tail(b []byte) []byte { return b[max(0, len(b)-remotelog.SealSize):] }

func TestSealRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := objects(rapid.Uint64Range(1, remotelog.MaxNumber).Draw(t, "number")).Draw(t, "pack")
		id.Part = max(id.Part, 1)
		before := content(rapid.IntRange(0, 300).Draw(t, "before"), 1)
		b := remotelog.AppendSeal(bytes.Clone(before), name, id)
		if !bytes.HasPrefix(b, before) || len(b) != len(before)+remotelog.SealSize {
			t.Fatalf("got %d bytes, there were %d", len(b), len(before))
		}
		if err := remotelog.CheckSeal(tail(b), name, id, int64(len(b))); err != nil {
			t.Fatal(err)
		}
		kind, n, err := remotelog.FrameLen(tail(b)[:remotelog.FrameHead])
		if kind != remotelog.KindSeal || n != remotelog.SealSize || err != nil {
			t.Fatalf("as a frame: kind %d, %d bytes, %v", kind, n, err)
		}
	})
}

// TestSealIsNoData: no place names a seal.
func TestSealIsNoData(t *testing.T) {
	seal := tail(sealed(remotelog.ObjectID{Entry: 1, Part: 1}))
	check(t, remotelog.CheckFrame(seal))
	_, raw, err := remotelog.OpenFrame(seal)
	wantIs(t, "open", err, remotelog.ErrCorrupt)
	if raw != nil {
		t.Errorf("got %d bytes", len(raw))
	}
	_, err = remotelog.DecodeFrame(seal, remotelog.KindSeal)
	wantIs(t, "decode", err, remotelog.ErrCorrupt)
}

func TestSealsThatAreWrong(t *testing.T) {
	id := remotelog.ObjectID{Entry: 7, Part: 2, Nonce: 0xfedcba9876543210}
	pack := sealed(id)
	seal := tail(pack)
	raw := seal[remotelog.FrameHead:]
	size := int64(len(pack))
	check(t, remotelog.CheckSeal(seal, name, id, size))
	other := func(change func(*remotelog.ObjectID)) []byte {
		id := id
		change(&id)
		return tail(sealed(id))
	}
	for what, b := range map[string][]byte{
		"of another entry":      other(func(id *remotelog.ObjectID) { id.Entry++ }),
		"of another part":       other(func(id *remotelog.ObjectID) { id.Part++ }),
		"of another attempt":    other(func(id *remotelog.ObjectID) { id.Nonce++ }),
		"of another replica":    tail(remotelog.AppendSeal(bytes.Clone(pack[:size-remotelog.SealSize]), name+"x", id)),
		"of a shorter one":      tail(remotelog.AppendSeal(bytes.Clone(pack[:size-remotelog.SealSize-1]), name, id)),
		"twice":                 tail(remotelog.AppendSeal(bytes.Clone(pack), name, id)),
		"cut":                   seal[:len(seal)-1],
		"long":                  append(bytes.Clone(seal), 0),
		"nothing":               nil,
		"what comes before":     pack[size-2*remotelog.SealSize : size-remotelog.SealSize],
		"another kind":          frame(6, 0, len(raw), raw),
		"a chunk":               frame(1, 0, len(raw), raw),
		"less in it":            frame(5, 0, len(raw)-1, raw[:len(raw)-1]),
		"more in it":            frame(5, 0, len(raw)+1, append(bytes.Clone(raw), 0)),
		"compressed":            frame(5, 1, len(raw), packZstd(t, raw)),
		"compressed, as if":     frame(5, 1, len(raw), raw),
		"an enormous length":    frame(5, 0, len(raw), binary.BigEndian.AppendUint64(bytes.Clone(raw[:16]), 1<<63|uint64(size-remotelog.SealSize))),
		"no fingerprint of it":  append(make([]byte, 16), seal[16:]...),
		"no fingerprint of key": frame(5, 0, len(raw), append(make([]byte, 16), raw[16:]...)),
	} {
		wantIs(t, what, remotelog.CheckSeal(b, name, id, size), remotelog.ErrCorrupt)
	}
	for _, n := range []int64{-1, 0, 1, remotelog.SealSize - 1, remotelog.SealSize, size - 1, size + 1} {
		wantIs(t, "another size", remotelog.CheckSeal(seal, name, id, n), remotelog.ErrCorrupt)
	}
	for i := range seal {
		for bit := range 8 {
			b := bytes.Clone(seal)
			b[i] ^= 1 << bit
			wantIs(t, "flipped", remotelog.CheckSeal(b, name, id, size), remotelog.ErrCorrupt)
		}
	}
}

// TestFramesOfLaterKinds are passed over by who walks, and nothing else.
func TestFramesOfLaterKinds(t *testing.T) {
	body := content(1000, 1)
	for _, kind := range []byte{6, 200, 255} {
		b := frame(kind, 0, len(body), body)
		got, n, err := remotelog.FrameLen(b)
		if err != nil || got != remotelog.Kind(kind) || n != len(b) {
			t.Errorf("kind %d: got kind %d, %d bytes, %v", kind, got, n, err)
		}
		check(t, remotelog.CheckFrame(b))
		_, _, err = remotelog.OpenFrame(b)
		wantIs(t, "open", err, remotelog.ErrCorrupt)
		b[500]++
		wantIs(t, "changed", remotelog.CheckFrame(b), remotelog.ErrCorrupt)
		wantPanic(t, "append", func() { remotelog.AppendFrame(nil, remotelog.Kind(kind), body) })
	}
	check(t, remotelog.CheckFrame(frame(6, 0, remotelog.MaxIndex, make([]byte, remotelog.MaxIndex))))
	for what, b := range map[string][]byte{
		"too long":  frame(6, 0, remotelog.MaxIndex+1, make([]byte, remotelog.MaxIndex+1)),
		"nothing":   frame(6, 0, 0, nil),
		"form":      frame(6, 2, len(body), body),
		"longer":    frame(6, 1, len(body)-1, body),
		"of kind 0": frame(0, 0, len(body), body),
	} {
		_, _, err := remotelog.FrameLen(b)
		wantIs(t, what, err, remotelog.ErrCorrupt)
	}
}

func TestGoldenSeal(t *testing.T) {
	id := remotelog.ObjectID{Entry: 4711, Part: 3, Nonce: 0x0123456789abcdef}
	b := file(t, "sealed.pack", sealed(id))
	check(t, remotelog.CheckSeal(tail(b), name, id, int64(len(b))))
}

func FuzzCheckSeal(f *testing.F) {
	id := remotelog.ObjectID{Entry: 4711, Part: 3, Nonce: 0x0123456789abcdef}
	pack := sealed(id)
	f.Add(pack)
	f.Add(tail(pack))
	f.Add(tail(sealed(remotelog.ObjectID{Entry: 4711, Part: 4})))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		try := func(b []byte) {
			if err := remotelog.CheckSeal(tail(b), name, id, int64(len(b))); err != nil {
				wantIs(t, "check", err, remotelog.ErrCorrupt)
			} else if !bytes.Equal(remotelog.AppendSeal(bytes.Clone(b[:len(b)-remotelog.SealSize]), name, id), b) {
				t.Error("two seals of one pack")
			}
		}
		try(b)
		if last := tail(b); len(last) == remotelog.SealSize { // few have the right fingerprint
			try(append(bytes.Clone(b[:len(b)-len(last)]), reseal(last)...))
			sum, _ := manifest.Sum([]byte(remotelog.PackKey(name, id))).AppendBinary(nil)
			last = append(append(bytes.Clone(last[:remotelog.FrameHead]), sum...), last[remotelog.FrameHead+16:]...)
			try(append(bytes.Clone(b[:len(b)-len(last)]), reseal(last)...))
		}
	})
}
