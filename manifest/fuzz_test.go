package manifest_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

func FuzzDecode(f *testing.F) {
	ms := slices.Collect(maps.Values(golden))
	m, _ := indexed(f)
	for _, m := range append(ms, m) {
		b, err := manifest.Encode(m)
		check(f, err)
		f.Add(b)
		f.Add(manifest.Compress(b))
		fields := split(f, b)
		f.Add(join(append(fields, field{num: 20, typ: protowire.VarintType, uint: 5}))) // an unknown field
		f.Add(b[:len(b)/2])
		f.Add(joinAll(fields))
	}
	f.Add(protowire.AppendVarint([]byte{0x08}, 3))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzDecode(t, b)
		// Few inputs have the right check: give it to them all.
		fuzzDecode(t, field{num: checkField, typ: protowire.BytesType, data: checkOf(b)}.append(bytes.Clone(b)))
	})
}

// fuzzDecode tests that what Decode lets through is the same when encoded and decoded again.
func fuzzDecode(t *testing.T, b []byte) {
	m, err := manifest.Decode(b)
	if err != nil {
		if m != nil {
			t.Error("a manifest and an error")
		}
		return
	}
	if m.Whole() != (m.Chunks != nil || m.Size == 0) {
		t.Errorf("whole: %v, but it has %d chunks", m.Whole(), len(m.Chunks))
	}
	again, err := manifest.Encode(m)
	check(t, err)
	got, err := manifest.Decode(again)
	check(t, err)
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("(-decoded +decoded again):\n%s", diff)
	}
	third, err := manifest.Encode(got)
	check(t, err)
	if !bytes.Equal(third, again) {
		t.Error("encoded differently")
	}
}

func FuzzDecompressChunk(f *testing.F) {
	f.Add(manifest.Compress(content(1000)))
	f.Add(manifest.Compress(make([]byte, manifest.ChunkSize)))
	f.Add(content(100))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := manifest.DecompressChunk(manifest.Compress(b), manifest.Sum(b))
		if len(b) > manifest.ChunkSize {
			wantIs(t, "too large", err, manifest.ErrCorrupt)
		} else if err != nil || !bytes.Equal(got, b) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		if got, err := manifest.DecompressChunk(b, manifest.ZeroChunk); err == nil && len(got) != manifest.ChunkSize {
			t.Errorf("got %d bytes", len(got))
		}
	})
}

// contentsOf returns the fingerprint of the digests that the fields say, without a look at any rule.
func contentsOf(blocks, overrides []byte) manifest.Fingerprint {
	digests := bytes.Clone(blocks[:len(blocks)/16*16])
	number := func() (v uint64) {
		v, n := protowire.ConsumeVarint(overrides)
		overrides = overrides[max(n, 0):]
		return v
	}
	for at := number(); at > 0 && at <= uint64(len(digests)/16) && len(overrides) >= 16; at += number() {
		copy(digests[16*(at-1):], overrides[:16])
		overrides = overrides[16:]
		for count := number(); count > 0; count-- {
			number()
			if len(overrides) < 16 {
				return manifest.Sum(digests)
			}
			overrides = overrides[16:]
		}
		if len(overrides) == 0 {
			break
		}
	}
	return manifest.Sum(digests)
}

// FuzzIndex decodes manifests that are right but for the two fields of the index.
func FuzzIndex(f *testing.F) {
	m := describe(content(manifest.ChunkSize))
	raw, err := manifest.Encode(m)
	check(f, err)
	fields := split(f, raw)
	for _, n := range []int{2, 40, 4097} {
		m := large(n, 0)
		for _, stored := range []bool{false, true} {
			if stored {
				shelf{}.fold(f, m, 0)
			}
			raw, err := manifest.Encode(m)
			check(f, err)
			var blocks, overrides []byte
			for _, field := range split(f, raw) {
				switch field.num {
				case 11:
					blocks = field.data
				case 12:
					overrides = field.data
				}
			}
			f.Add(uint32(n), blocks, overrides[:min(len(overrides), 500)])
			f.Add(uint32(n), blocks, overrides)
		}
	}
	f.Fuzz(func(t *testing.T, chunks uint32, blocks, overrides []byte) {
		chunks = max(1, min(chunks, manifest.MaxSize/manifest.ChunkSize))
		contents, _ := contentsOf(blocks, overrides).AppendBinary(nil)
		spliced := slices.Clone(fields)
		for i := range spliced {
			switch f := &spliced[i]; f.num {
			case 3:
				f.data = contents
			case 6:
				f.uint = uint64(chunks) * manifest.ChunkSize
			case 11:
				f.data = blocks
			}
			if spliced[i].num == 11 && len(overrides) > 0 {
				spliced = slices.Insert(spliced, i+1, field{num: 12, typ: protowire.BytesType, data: overrides})
			}
		}
		b := join(spliced)
		m, err := manifest.Decode(b)
		if err != nil {
			wantIs(t, "decode", err, manifest.ErrCorrupt)
			return
		}
		if got := m.Contents(); got != contentsOf(blocks, overrides) {
			t.Errorf("got contents %v", got)
		}
		again, err := manifest.Encode(m)
		check(t, err)
		if !bytes.Equal(again, b) {
			t.Error("two encodings of one index")
		}
	})
}

func FuzzBlock(f *testing.F) {
	list := manifest.AppendList(nil, []manifest.Fingerprint{sum(1), sum(2), sum(3)})
	f.Add(list, []byte{0, 1, 5}, uint16(3), true, true)
	f.Add(list[:16], []byte{0, 1, 5, 0, 2, 9}, uint16(3), false, true)
	f.Add([]byte{}, []byte{0, 1, 5}, uint16(2), false, true)
	f.Add(content(manifest.ChunkSize), []byte{16, 0, 0, 15, 255, 0}, uint16(4096), true, false)
	f.Add(list, []byte{255, 255, 1}, uint16(3), false, true)
	first := content(manifest.ChunkSize)
	firstSum := manifest.Sum(first)
	f.Fuzz(func(t *testing.T, stored, overrides []byte, chunks uint16, named, right bool) {
		n := 1 + int(chunks)%manifest.BlockChunks
		block := manifest.Block{Digest: sum(1)}
		if len(stored) > 0 {
			block.Stored = manifest.Sum(stored)
			if !named {
				block.Stored.Lo ^= uint64(len(overrides) % 2)
			}
		}
		for ; len(overrides) >= 3; overrides = overrides[3:] {
			place := int(int16(uint16(overrides[0])<<8 | uint16(overrides[1]))) // also negative
			block.Overrides = append(block.Overrides, manifest.Override{Place: place, Sum: sum(int(overrides[2]))})
		}
		list, err := block.Apply(stored, n, &firstSum)
		if err != nil {
			wantIs(t, "apply", err, manifest.ErrCorrupt)
		} else {
			if len(list) != 16*n || manifest.At(list, 0) != firstSum {
				t.Fatalf("%d chunks: got %d bytes", n, len(list))
			}
			if right {
				block.Digest = manifest.Sum(list)
			}
		}
		m := &manifest.Manifest{Header: manifest.HeaderSum(first), Size: int64(n) * manifest.ChunkSize, First: first, Blocks: []manifest.Block{block}}
		read := func(manifest.Fingerprint) ([]byte, error) { return stored, nil }
		got, errBlock := m.Block(0, read)
		switch {
		case errBlock != nil:
			wantIs(t, "block", errBlock, manifest.ErrCorrupt)
			if got != nil || err == nil && right {
				t.Errorf("got %d bytes, %v", len(got), errBlock)
			}
		case manifest.Sum(got) != block.Digest || !bytes.Equal(got, list):
			t.Errorf("got a list that has the fingerprint %v, not %v", manifest.Sum(got), block.Digest)
		}
		// What can be encoded says the same when decoded.
		b, err := manifest.Encode(m)
		if err != nil {
			wantIs(t, "encode", err, manifest.ErrCorrupt)
			return
		}
		decoded, err := manifest.Decode(b)
		if err != nil {
			// Only what is wrong with the list may come to light there.
			if errBlock == nil {
				t.Errorf("decode: %v", err)
			}
			return
		}
		list, err = decoded.Block(0, read)
		if (err == nil) != (errBlock == nil) || !bytes.Equal(list, got) {
			t.Errorf("decoded: got %d bytes, %v, want %d, %v", len(list), err, len(got), errBlock)
		}
	})
}
