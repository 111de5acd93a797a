package remotelog_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/boule-db/boule/manifest"
	"github.com/boule-db/boule/remotelog"
)

func TestBlock(t *testing.T) {
	e, stored := small()
	want := slices.Clone(stored)
	for _, o := range e.Blocks[0].Overrides {
		want[o.Place] = o.Chunk
	}
	for name, stored := range map[string][]remotelog.Chunk{
		"as long as it is now": stored,
		"once longer":          append(slices.Clone(stored), packed(100, 7)...),
	} {
		got, err := e.Block(0, stored, nil)
		check(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// Once shorter: what is new is overridden.
	e.Blocks[0].Overrides = append(e.Blocks[0].Overrides[:3:3], remotelog.Override{Place: len(want) - 1, Chunk: want[len(want)-1]})
	got, err := e.Block(0, stored[:len(stored)-1], nil)
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("once shorter (-want +got):\n%s", diff)
	}
	// Patched, and partly overridden again; the patch is from when the database was longer.
	e, stored = small()
	newer := slices.Clone(stored)
	for _, o := range e.Blocks[0].Overrides {
		newer[o.Place] = o.Chunk
	}
	patch := []remotelog.Override{{Place: 5, Chunk: packed(6, 17)[5]}, {Place: 700, Chunk: packed(1, 18)[0]}, {Place: len(stored), Chunk: packed(1, 19)[0]}}
	patch[0].Chunk.Sum = sum(-5)
	newer[5] = patch[0].Chunk
	e.Blocks[0].Patch, e.Blocks[0].Digest = remotelog.Place{Object: remotelog.ObjectID{Entry: 4700}, Length: 100}, digest(newer)
	got, err = e.Block(0, stored, patch)
	check(t, err)
	if diff := cmp.Diff(newer, got); diff != "" {
		t.Errorf("patched (-want +got):\n%s", diff)
	}
	for name, patch := range map[string][]remotelog.Override{
		"no patch": nil, "half of it": patch[1:], "another": {{Place: 5, Chunk: packed(1, 20)[0]}}, "of a later entry": {{Place: 5, Chunk: packed(1, 5000)[0]}},
	} {
		_, err = e.Block(0, stored, patch)
		wantIs(t, name, err, remotelog.ErrCorrupt)
	}
	e.Blocks[0].Patch = remotelog.Place{}
	_, err = e.Block(0, stored, patch)
	wantIs(t, "patched, but not said", err, remotelog.ErrCorrupt)
	// Not stored at all.
	l := large()
	got, err = l.Block(2, nil, nil)
	check(t, err)
	if len(got) != 3 || digest(got) != l.Blocks[2].Digest {
		t.Errorf("not stored: got %d chunks", len(got))
	}
}

func TestBlockOfOthers(t *testing.T) {
	for name, spoil := range map[string]func(e *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk{
		"nothing stored": func(*remotelog.Entry, []remotelog.Chunk) []remotelog.Chunk { return nil },
		"stored, but not said": func(e *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			e.Blocks[0].Stored = remotelog.Place{}
			return stored
		},
		"too short": func(_ *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk { return stored[:len(stored)-1] },
		"another": func(_ *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			stored[9].Sum.Lo++
			return stored
		},
		"of a later entry": func(e *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			stored[9].Layers[0].Frame.Object.Entry = e.Number + 1
			return stored
		},
		"short once": func(_ *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			stored[9].Truncate(5000)
			return stored
		},
		"longer once": func(_ *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			last := &stored[len(stored)-1]
			last.Cover(0xffff, last.Layers[0].Frame)
			return stored
		},
		"another digest": func(e *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			e.Blocks[0].Digest = sum(1)
			return stored
		},
		"an override less": func(e *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			e.Blocks[0].Overrides = e.Blocks[0].Overrides[1:]
			return stored
		},
		"override out of it": func(e *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			e.Blocks[0].Overrides[0].Place = -1
			return stored
		},
		"override behind it": func(e *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			e.Blocks[0].Overrides[2].Place = len(stored)
			return stored
		},
		"short chunk of zeros": func(e *remotelog.Entry, stored []remotelog.Chunk) []remotelog.Chunk {
			stored[len(stored)-1] = remotelog.Chunk{Sum: manifest.ZeroChunk}
			chunks := slices.Clone(stored)
			for _, o := range e.Blocks[0].Overrides {
				chunks[o.Place] = o.Chunk
			}
			e.Blocks[0].Digest = digest(chunks)
			return stored
		},
	} {
		e, stored := small()
		got, err := e.Block(0, spoil(e, stored), nil)
		wantIs(t, name, err, remotelog.ErrCorrupt)
		if got != nil {
			t.Errorf("%s: got %d chunks", name, len(got))
		}
	}
	e, stored := small()
	for _, b := range []int{-1, 1, 1 << 40} {
		_, err := e.Block(b, stored, nil)
		wantIs(t, "no such block", err, remotelog.ErrCorrupt)
	}
}
