package remotelog_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range golden(f) {
		b, err := remotelog.EncodeEntry(e)
		check(f, err)
		f.Add(b)
		f.Add(b[:len(b)/2])
		f.Add(b[12 : len(b)-11])
		fields := split(f, b)
		f.Add(join(append(fields, field{num: 24, uint: 5}))) // an unknown field
		for _, field := range fields {
			if field.num == 15 || field.num == 20 {
				f.Add(field.data)
			}
		}
	}
	base, err := remotelog.EncodeEntry(large())
	check(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzDecodeEntry(t, b)
		// Few inputs have the right head and check: give them to all, as the fields of an entry,
		fuzzDecodeEntry(t, seal(b))
		// and as the blocks of one that is right but for them.
		fields := split(t, base)
		at := slices.IndexFunc(fields, func(f field) bool { return f.num == 15 })
		fields[at].data = b
		fuzzDecodeEntry(t, join(fields))
		// or as the bundles.
		fuzzDecodeEntry(t, join(append(split(t, base), field{num: 20, typ: protowire.BytesType, data: b})))
	})
}

// fuzzDecodeEntry tests that what DecodeEntry lets through is the same when encoded and decoded again.
func fuzzDecodeEntry(t *testing.T, b []byte) {
	e, length, need, err := remotelog.DecodeEntry(b)
	if err != nil {
		if e != nil || length != 0 || need != 0 && (!errors.Is(err, remotelog.ErrShort) || need <= len(b)) {
			t.Errorf("got an entry of %d bytes, %d are needed, and %v", length, need, err)
		}
		return
	}
	again, err := remotelog.EncodeEntry(e)
	check(t, err)
	got, _, _, err := remotelog.DecodeEntry(again)
	check(t, err)
	if diff := cmp.Diff(e, got); diff != "" || length > len(b) {
		t.Errorf("%d bytes (-decoded +decoded again):\n%s", length, diff)
	}
	third, err := remotelog.EncodeEntry(got)
	check(t, err)
	if !bytes.Equal(third, again) {
		t.Error("encoded differently")
	}
	for b := range e.Blocks {
		_, err := e.Block(b, nil, nil)
		if err != nil && !errors.Is(err, remotelog.ErrCorrupt) {
			t.Errorf("block %d: %v", b, err)
		}
	}
}

func FuzzDecodeFrame(f *testing.F) {
	for _, b := range goldenFrames() {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add(frame(1, 1, 1000, packZstd(f, make([]byte, 1000))))
	f.Add(frame(3, 0, 5, []byte("index")))
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzFrame(t, b)
		if len(b) >= remotelog.FrameHead {
			fuzzFrame(t, reseal(b))
		}
		if len(b) > 0 && len(b) <= manifest.ChunkSize {
			got, err := remotelog.DecodeFrame(remotelog.AppendFrame(nil, remotelog.KindChunk, b), remotelog.KindChunk)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		}
	})
}

func fuzzFrame(t *testing.T, b []byte) {
	kind, raw, err := remotelog.OpenFrame(b)
	if err != nil {
		wantIs(t, "open", err, remotelog.ErrCorrupt)
		if kind != 0 || raw != nil {
			t.Errorf("got kind %d, %d bytes and %v", kind, len(raw), err)
		}
		return
	}
	limit := map[remotelog.Kind]int{remotelog.KindChunk: manifest.ChunkSize, remotelog.KindDelta: remotelog.MaxDelta, remotelog.KindIndex: remotelog.MaxIndex, remotelog.KindPatch: remotelog.MaxIndex}[kind]
	if len(raw) == 0 || len(raw) > limit {
		t.Errorf("kind %d: got %d bytes", kind, len(raw))
	}
	if k, n, err := remotelog.FrameLen(b); k != kind || n != len(b) || err != nil {
		t.Errorf("got kind %d, %d bytes, %v, want %d, %d", k, n, err, kind, len(b))
	}
}

func FuzzDecodeIndex(f *testing.F) {
	f.Add(remotelog.AppendIndex(nil, goldenIndex()))
	f.Add(remotelog.AppendIndex(nil, packed(5, 9)))
	_, scattered := many(30, true)
	f.Add(remotelog.AppendIndex(nil, scattered[:300]))
	f.Add(remotelog.AppendIndex(nil, []remotelog.Chunk{{Sum: manifest.ZeroChunk}}))
	large, list := large(), []remotelog.Chunk(nil)
	for _, o := range large.Blocks[0].Overrides {
		list = append(list, o.Chunk)
	}
	f.Add(remotelog.AppendIndex(nil, list))
	f.Fuzz(func(t *testing.T, raw []byte) {
		chunks, err := remotelog.DecodeIndex(raw)
		if err != nil {
			wantIs(t, "decode", err, remotelog.ErrCorrupt)
			return
		}
		if !bytes.Equal(remotelog.AppendIndex(nil, chunks), raw) {
			t.Error("two encodings of one index")
		}
	})
}

func FuzzDecodePatch(f *testing.F) {
	f.Add(remotelog.AppendPatch(nil, goldenPatch()))
	many, _ := many(30, true)
	f.Add(remotelog.AppendPatch(nil, many.Blocks[0].Overrides))
	f.Add(remotelog.AppendPatch(nil, large().Blocks[0].Overrides))
	f.Fuzz(func(t *testing.T, raw []byte) {
		patch, err := remotelog.DecodePatch(raw)
		if err != nil {
			wantIs(t, "decode", err, remotelog.ErrCorrupt)
			return
		}
		if !bytes.Equal(remotelog.AppendPatch(nil, patch), raw) {
			t.Error("two encodings of one patch")
		}
	})
}

func FuzzDecodeDeltas(f *testing.F) {
	f.Add(remotelog.AppendDeltas(nil, goldenDeltas()))
	f.Add(remotelog.AppendDeltas(nil, goldenDeltas()[:1]))
	f.Add(protowire.AppendVarint(nil, 1<<63))
	f.Fuzz(func(t *testing.T, raw []byte) {
		deltas, err := remotelog.DecodeDeltas(raw)
		if err != nil {
			wantIs(t, "decode", err, remotelog.ErrCorrupt)
			return
		}
		if !bytes.Equal(remotelog.AppendDeltas(nil, deltas), raw) {
			t.Error("two encodings of the same deltas")
		}
		c := remotelog.Chunk{Sum: sum(1), Layers: []remotelog.Layer{{Pages: deltas[0].Pages}}}
		_, err = c.Compose(deltas[0].Chunk, 60000, func(remotelog.Place) (remotelog.Kind, []byte, error) { return remotelog.KindDelta, raw, nil })
		wantIs(t, "compose", err, remotelog.ErrCorrupt)
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add("n", remotelog.EntryKey("n", 1))
	f.Add(name, remotelog.EntryKey(name, remotelog.MaxNumber))
	f.Add(name, remotelog.PackKey(name, remotelog.ObjectID{Entry: 1, Part: 2, Nonce: 3}))
	f.Add("", "log//0000000000000001")
	f.Fuzz(func(t *testing.T, name, key string) {
		if n, ok := remotelog.ParseEntryKey(name, key); ok && remotelog.EntryKey(name, n) != key {
			t.Errorf("%q: got %d", key, n)
		}
		if id, ok := remotelog.ParsePackKey(name, key); ok && remotelog.PackKey(name, id) != key {
			t.Errorf("%q: got %v", key, id)
		}
	})
}
