package remotelog_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boule-db/boule/remotelog"
)

func TestGarbage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g remotelog.Garbage
		for range rapid.IntRange(0, 5).Draw(t, "runs") {
			first := rapid.Uint64Range(1, remotelog.MaxNumber).Draw(t, "first")
			g.Pruned.Add(remotelog.Run{First: first, Last: min(first+rapid.Uint64Range(0, 1000).Draw(t, "more"), remotelog.MaxNumber)})
		}
		for range rapid.IntRange(0, 3).Draw(t, "batches") {
			b := remotelog.GarbageBatch{Removing: rapid.Bool().Draw(t, "removing")}
			if ms := rapid.Int64Range(0, 253402300799999).Draw(t, "found"); ms > 0 {
				b.Found = time.UnixMilli(ms).UTC()
			}
			id := remotelog.ObjectID{}
			for range rapid.IntRange(0, 20).Draw(t, "objects") {
				next := id
				switch next.Entry += rapid.Uint64Range(0, 300).Draw(t, "step"); {
				case next.Entry == 0:
					next.Entry = 1
				case rapid.Bool().Draw(t, "pack"):
					next.Part = uint32(rapid.Uint64Range(1, math.MaxUint32).Draw(t, "part"))
					next.Nonce = rapid.Uint64().Draw(t, "nonce")
				}
				if next.Compare(id) > 0 {
					b.Objects = append(b.Objects, remotelog.GarbageObject{ObjectID: next, Size: rapid.Int64Range(0, remotelog.MaxOffset).Draw(t, "size")})
					id = next
				}
			}
			if len(b.Objects) > 0 {
				g.Batches = append(g.Batches, b)
			}
		}
		b := remotelog.EncodeGarbage(name, g)
		got, err := remotelog.DecodeGarbage(name, b)
		if diff := cmp.Diff(g, got, cmp.AllowUnexported(remotelog.Pruned{})); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
		spoiled(t, b, func(b []byte) error {
			_, err := remotelog.DecodeGarbage(name, b)
			return err
		})
	})
	b := remotelog.EncodeGarbage(name, remotelog.Garbage{})
	if _, err := remotelog.DecodeGarbage("other", b); !errors.Is(err, remotelog.ErrCorrupt) {
		t.Errorf("of another replica: got %v, want %v", err, remotelog.ErrCorrupt)
	}
	if got := remotelog.GarbageKey("n"); got != "garbage/n" {
		t.Errorf("got %q", got)
	}
}

// TestGarbageOrder refuses objects that do not ascend, or are none.
func TestGarbageOrder(t *testing.T) {
	for what, ids := range map[string][]remotelog.ObjectID{
		"twice":    {{Entry: 2}, {Entry: 2}},
		"parts":    {{Entry: 2, Part: 2, Nonce: 1}, {Entry: 2, Part: 1, Nonce: 1}},
		"nonces":   {{Entry: 2, Part: 1, Nonce: 2}, {Entry: 2, Part: 1, Nonce: 1}},
		"none":     {},
		"zero":     {{}},
		"number":   {{Entry: remotelog.MaxNumber + 1}},
		"distance": {{Entry: remotelog.MaxNumber}, {Entry: remotelog.MaxNumber + 1}},
	} {
		b := remotelog.EncodeGarbage(name, remotelog.Garbage{Batches: []remotelog.GarbageBatch{{Objects: sized(1, ids...)}}})
		if g, err := remotelog.DecodeGarbage(name, b); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Errorf("%s: got %+v, %v, want %v", what, g, err, remotelog.ErrCorrupt)
		}
	}
}

func FuzzDecodeGarbage(f *testing.F) {
	f.Add(remotelog.EncodeGarbage(name, remotelog.Garbage{}))
	f.Add(remotelog.EncodeGarbage(name, garbage()))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = resealed(b)
		g, err := remotelog.DecodeGarbage(name, b)
		if err == nil && !bytes.Equal(remotelog.EncodeGarbage(name, g), b) {
			t.Errorf("%x has another form: %x", b, remotelog.EncodeGarbage(name, g))
		}
	})
}

// garbage returns a list with batches and objects of all kinds.
func garbage() remotelog.Garbage {
	list := pruned()
	return remotelog.Garbage{Pruned: list.Alone(), Batches: []remotelog.GarbageBatch{
		{Found: time.UnixMilli(1795700000123).UTC(), Removing: true, Objects: sized(
			1_000_000, remotelog.ObjectID{Entry: 1}, remotelog.ObjectID{Entry: 1, Part: 1, Nonce: 0x0123456789abcdef},
			remotelog.ObjectID{Entry: 1, Part: 2, Nonce: 0x0123456789abcdef}, remotelog.ObjectID{Entry: 700},
		)},
		{Objects: sized(0, remotelog.ObjectID{Entry: 2}, remotelog.ObjectID{Entry: remotelog.MaxNumber, Part: math.MaxUint32, Nonce: math.MaxUint64})},
	}}
}

// sized returns objects of so many bytes, and of one more each.
func sized(size int64, ids ...remotelog.ObjectID) (objects []remotelog.GarbageObject) {
	for i, id := range ids {
		objects = append(objects, remotelog.GarbageObject{ObjectID: id, Size: size + int64(i)})
	}
	return objects
}
