package remotelog_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

func TestPatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := patches().Draw(t, "patch")
		raw := remotelog.AppendPatch([]byte("before"), want)[6:]
		got, err := remotelog.DecodePatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		cut := rapid.IntRange(0, len(raw)-1).Draw(t, "cut")
		if _, err := remotelog.DecodePatch(raw[:cut]); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Fatalf("cut at %d: got %v", cut, err)
		}
		if _, err := remotelog.DecodePatch(append(raw, 0)); !errors.Is(err, remotelog.ErrCorrupt) {
			t.Fatalf("a byte more: got %v", err)
		}
	})
}

// TestPatchesThatBreakRules must neither be encoded nor decoded.
func TestPatchesThatBreakRules(t *testing.T) {
	type list = []remotelog.Override
	for name, spoil := range map[string]func(l list) list{
		"none":            func(list) list { return nil },
		"twice":           func(l list) list { l[1].Place = l[0].Place; return l },
		"not in order":    func(l list) list { l[0], l[1] = l[1], l[0]; return l },
		"before it":       func(l list) list { l[0].Place = -1; return l },
		"behind it":       func(l list) list { l[2].Place = manifest.BlockChunks; return l },
		"nowhere":         func(l list) list { l[1].Chunk.Layers = nil; return l },
		"zeros somewhere": func(l list) list { l[1].Chunk.Sum = manifest.ZeroChunk; return l },
		"short":           func(l list) list { l[1].Chunk.Truncate(10000); return l },
		"entry 0":         func(l list) list { l[1].Chunk.Layers[0].Frame.Object.Entry = 0; return l },
		"length":          func(l list) list { l[1].Chunk.Layers[0].Frame.Length = 0; return l },
	} {
		var patch list
		for i, c := range packed(3, 3) {
			patch = append(patch, remotelog.Override{Place: 2 * i, Chunk: c})
		}
		bad := spoil(patch)
		_, err := remotelog.DecodePatch(remotelog.AppendPatchUnchecked(nil, bad))
		wantIs(t, name, err, remotelog.ErrCorrupt)
		wantPanic(t, name, func() { remotelog.AppendPatch(nil, bad) })
	}
	_, err := remotelog.DecodePatch(make([]byte, remotelog.MaxIndex+1))
	wantIs(t, "too long", err, remotelog.ErrCorrupt)
}
