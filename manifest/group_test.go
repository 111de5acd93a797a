package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/boule-db/boule/manifest"
)

// A group is one group of the overrides' field, to be put together wrongly.
type group struct {
	step   []byte
	digest manifest.Fingerprint
	count  []byte
	places [][]byte
	sums   []manifest.Fingerprint
}

func varint(v uint64) []byte { return protowire.AppendVarint(nil, v) }

func joinGroups(groups []group) []byte {
	var b []byte
	for _, g := range groups {
		b = append(b, g.step...)
		b, _ = g.digest.AppendBinary(b)
		b = append(b, g.count...)
		for i := range g.places {
			b = append(b, g.places[i]...)
			b, _ = g.sums[i].AppendBinary(b)
		}
	}
	return b
}

func TestDecodeOfWrongGroups(t *testing.T) {
	m, _ := indexed(t)
	raw, err := manifest.Encode(m)
	check(t, err)
	// The groups as FORMAT.md has them: of block 0, with places 1, 3, 700 and 4,095, and of block 2, with 0 to 9.
	groups := func() []group {
		a := group{step: varint(1), digest: m.Blocks[0].Digest, count: varint(4), places: [][]byte{varint(1), varint(2), varint(697), varint(3395)}}
		b := group{step: varint(2), digest: m.Blocks[2].Digest, count: varint(10)}
		for range 10 {
			b.places = append(b.places, varint(1))
		}
		for _, o := range m.Blocks[0].Overrides {
			a.sums = append(a.sums, o.Sum)
		}
		for _, o := range m.Blocks[2].Overrides {
			b.sums = append(b.sums, o.Sum)
		}
		return []group{a, b}
	}
	decode := func(b []byte) error {
		got, err := manifest.Decode(join(replaced(12, func(f *field) { f.data = b })(split(t, raw))))
		if err == nil {
			if diff := cmp.Diff(m, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		return err
	}
	check(t, decode(joinGroups(groups())))

	const malformed, shortest, range_, itself = "cut short or malformed", "shortest form", "which has", "its own fingerprint"
	for name, c := range map[string]struct {
		spoil func(g []group) []group
		want  string
	}{
		"first group missing":       {func(g []group) []group { g[1].step = varint(3); return g[1:] }, itself},
		"last group missing":        {func(g []group) []group { return g[:1] }, itself},
		"group twice":               {func(g []group) []group { g[1].step = varint(0); return g }, malformed},
		"group back":                {func(g []group) []group { g[1].step = varint(1<<64 - 1); return g }, malformed},
		"group beyond":              {func(g []group) []group { g[1].step = varint(3); return g }, malformed},
		"first group of none":       {func(g []group) []group { g[0].step = varint(0); return g }, malformed},
		"step of 2^63":              {func(g []group) []group { g[0].step = varint(1 << 63); return g }, malformed},
		"count too small":           {func(g []group) []group { g[1].count = varint(9); return g }, malformed},
		"count too large":           {func(g []group) []group { g[1].count = varint(11); return g }, malformed},
		"count of the next's":       {func(g []group) []group { g[0].count = varint(5); return g }, ""},
		"count of 4,097":            {func(g []group) []group { g[1].count = varint(4097); return g }, malformed},
		"count of 2^63":             {func(g []group) []group { g[1].count = varint(1 << 63); return g }, malformed},
		"place twice":               {func(g []group) []group { g[0].places[1] = varint(0); return g }, malformed},
		"place back":                {func(g []group) []group { g[0].places[1] = varint(1<<64 - 1); return g }, malformed},
		"place of the first chunk":  {func(g []group) []group { g[0].places[0] = varint(0); return g }, malformed},
		"place out of range":        {func(g []group) []group { g[0].places[3] = varint(3396); return g }, range_},
		"place out of range, short": {func(g []group) []group { g[1].places[9] = varint(2); return g }, range_},
		"place far out of range":    {func(g []group) []group { g[0].places[3] = varint(4097); return g }, malformed},
		"step not shortest":         {func(g []group) []group { g[0].step = []byte{0x81, 0}; return g }, shortest},
		"count not shortest":        {func(g []group) []group { g[0].count = []byte{0x84, 0}; return g }, shortest},
		"place not shortest":        {func(g []group) []group { g[0].places[1] = []byte{0x82, 0x80, 0}; return g }, shortest},
		"digest of another":         {func(g []group) []group { g[0].digest = g[1].digest; return g }, itself},
		"digest zero":               {func(g []group) []group { g[1].digest = manifest.NoBlock; return g }, ""},
		"digest of the stored one":  {func(g []group) []group { g[0].digest = m.Blocks[0].Stored; return g }, shortest},
		"stored as it is, empty": {func(g []group) []group {
			g[0] = group{step: varint(1), digest: m.Blocks[0].Stored, count: varint(0)}
			return g
		}, shortest},
	} {
		err := decode(joinGroups(c.spoil(groups())))
		wantIs(t, name, err, manifest.ErrCorrupt)
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, want %q", name, err, c.want)
		}
	}
	// That an override is missing, only the list of the block tells.
	g := groups()
	g[1].count, g[1].places = varint(9), g[1].places[:9]
	less, err := manifest.Decode(join(replaced(12, func(f *field) { f.data = joinGroups(g) })(split(t, raw))))
	check(t, err)
	_, err = less.Block(2, nil)
	wantIs(t, "override missing", err, manifest.ErrCorrupt)
	whole := joinGroups(groups())
	for n := range whole {
		wantIs(t, fmt.Sprintf("first %d of %d bytes", n, len(whole)), decode(whole[:n]), manifest.ErrCorrupt)
	}
	wantIs(t, "a byte behind", decode(append(whole, 1)), manifest.ErrCorrupt)
}

// TestDecodeOfNothing decodes a block that is neither stored nor described.
func TestDecodeOfNothing(t *testing.T) {
	raw, err := manifest.Encode(describe(content(1000)))
	check(t, err)
	none, _ := manifest.Sum(make([]byte, 16)).AppendBinary(nil)
	fields := dropped(12)(split(t, raw))
	fields = replaced(3, func(f *field) { f.data = none })(fields)
	_, err = manifest.Decode(join(fields))
	wantIs(t, "nothing", err, manifest.ErrCorrupt)
	if err != nil && !strings.Contains(err.Error(), "no digest") {
		t.Errorf("got %q", err)
	}
}
