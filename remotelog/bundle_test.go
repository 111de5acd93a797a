package remotelog_test

import (
	"bytes"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

// TestBundlesThatBreakRules must neither be encoded nor decoded.
func TestBundlesThatBreakRules(t *testing.T) {
	for name, spoil := range map[string]func(e *remotelog.Entry){
		"bundled before itself":        func(e *remotelog.Entry) { e.Bundled = e.Number },
		"bundled before a later entry": func(e *remotelog.Entry) { e.Bundled = e.Number + 5 },
		"of no entry":                  func(e *remotelog.Entry) { e.Bundles[0].Lengths = nil },
		"of too many entries":          func(e *remotelog.Entry) { e.Bundles[0].Lengths = make([]int64, remotelog.MaxBundled+1) },
		"of too many entries together": func(e *remotelog.Entry) {
			e.Number, e.Bundles[2].Pack.Entry, e.Bundles[2].Lengths = 1e6, 1e6, append(make([]int64, remotelog.MaxBundled-7), 1)
		},
		"of entry 0":               func(e *remotelog.Entry) { e.Bundles[0].First = 0 },
		"of an entry too great":    func(e *remotelog.Entry) { e.Bundles[2].First = math.MaxUint64 - 1 },
		"overlap":                  func(e *remotelog.Entry) { e.Bundles[1].First = 4502 },
		"not in order":             func(e *remotelog.Entry) { e.Bundles[0], e.Bundles[1] = e.Bundles[1], e.Bundles[0] },
		"of itself":                func(e *remotelog.Entry) { e.Bundles[2].First = e.Number },
		"behind what it was for":   func(e *remotelog.Entry) { e.Bundles[0].Pack.Entry = 4502 },
		"made for a later entry":   func(e *remotelog.Entry) { e.Bundles[2].Pack.Entry = e.Number + 1 },
		"an entry, not a pack":     func(e *remotelog.Entry) { e.Bundles[2].Pack = remotelog.ObjectID{Entry: e.Number} },
		"no fingerprint":           func(e *remotelog.Entry) { e.Bundles[1].Sum = manifest.Fingerprint{} },
		"a negative length":        func(e *remotelog.Entry) { e.Bundles[1].Lengths[1] = -1 },
		"too long":                 func(e *remotelog.Entry) { e.Bundles[1].Lengths[1] = remotelog.MaxBundle - 1<<20 },
		"too long to be added up":  func(e *remotelog.Entry) { e.Bundles[1].Lengths[1] = math.MaxInt64 },
		"of nothing":               func(e *remotelog.Entry) { clear(e.Bundles[1].Lengths) },
		"a negative first of many": func(e *remotelog.Entry) { e.Bundles[1].First = 1 },
	} {
		e := bundled()
		spoil(e)
		// A distance of 0 says that there is none.
		wantBroken(t, name, e, name != "bundled before itself")
	}
}

// TestBundlesInOneForm changes the bytes of the bundles: equal ones have equal bytes.
func TestBundlesInOneForm(t *testing.T) {
	e := describe(0, 9)
	pack := remotelog.ObjectID{Entry: 9, Part: 1}
	e.Bundles = []remotelog.Bundle{{Pack: pack, Sum: sum(1), First: 3, Lengths: []int64{100, 0, 200}}}
	b, err := remotelog.EncodeEntry(e)
	check(t, err)
	fields := split(t, b)
	list := manifest.AppendList(nil, []manifest.Fingerprint{sum(1)})
	bytesOf := func(head []byte, tail ...byte) []byte { return append(append(bytes.Clone(head), list...), tail...) }
	want := bytesOf([]byte{3, 3, 0, 2}, 100, 0, 200, 1)
	at := -1
	for i, f := range fields {
		if f.num == 20 && bytes.Equal(f.data, want) {
			at = i
		}
	}
	if at < 0 {
		t.Fatalf("no field has %v: %v", want, fields)
	}
	for name, data := range map[string][]byte{
		"short":           want[:len(want)-1],
		"a byte behind":   append(bytes.Clone(want), 0),
		"a long varint":   bytesOf([]byte{3, 3, 0, 2}, 100, 0x80, 0, 200, 1),
		"a nonce of zero": bytesOf([]byte{3, 3, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0}, 100, 0, 200, 1),
		"no fingerprint":  {3, 3, 0, 2},
		"many lengths":    bytesOf([]byte{3, 0xff, 0x1f, 0, 2}, 100, 0, 200, 1),
		"of entry 10":     bytesOf([]byte{3, 3, 10, 2}, 100, 0, 200, 1),
		"distance":        protowire.AppendVarint(nil, math.MaxUint64),
	} {
		fields[at].data = data
		_, _, _, err := remotelog.DecodeEntry(join(fields))
		wantIs(t, name, err, remotelog.ErrCorrupt)
	}
}

func TestBundlePlaces(t *testing.T) {
	e := bundled()
	own := e.Own()
	if len(own) != 2 || own[0].First != 4600 || own[1].First != 4604 {
		t.Errorf("own: %+v", own)
	}
	b := own[0]
	if b.End() != 4604 || b.Size() != 1<<20+300+70000 {
		t.Errorf("ends before %d, has %d bytes", b.End(), b.Size())
	}
	place := b.Places()
	in := func(entry uint64, offset, length int64) remotelog.Place {
		return remotelog.Place{Object: remotelog.ObjectID{Entry: entry}, Offset: offset, Length: length}
	}
	for _, c := range []struct {
		p    remotelog.Place
		want int64 // offset, or -1
	}{
		{in(4600, 0, 100), 0},
		{in(4600, 1<<20-100, 100), 1<<20 - 100},
		{in(4600, 1<<20-99, 100), -1},
		{in(4601, 0, 1), -1},
		{in(4602, 200, 100), 1<<20 + 200},
		{in(4603, 0, 70000), 1<<20 + 300},
		{in(4599, 0, 100), -1},
		{in(4604, 0, 5), -1},
		{in(4602, -1, 100), -1},
		{remotelog.Place{Object: remotelog.ObjectID{Entry: 4602, Part: 1}, Length: 100}, -1},
	} {
		got, ok := place(c.p)
		want := remotelog.Place{}
		if c.want >= 0 {
			want = remotelog.Place{Object: b.Pack, Offset: c.want, Length: c.p.Length}
		}
		if got != want || ok != (c.want >= 0) {
			t.Errorf("%v is at %v, %v, want %v", c.p, got, ok, want)
		}
	}
}

func TestCheckFrame(t *testing.T) {
	b := remotelog.AppendFrame(nil, remotelog.KindChunk, content(500, 1))
	check(t, remotelog.CheckFrame(b))
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 4
		wantIs(t, "a bit", remotelog.CheckFrame(bad), remotelog.ErrCorrupt)
	}
	wantIs(t, "short", remotelog.CheckFrame(b[:len(b)-1]), remotelog.ErrCorrupt)
	wantIs(t, "long", remotelog.CheckFrame(append(b, 0)), remotelog.ErrCorrupt)
	wantIs(t, "nothing", remotelog.CheckFrame(nil), remotelog.ErrCorrupt)
}
